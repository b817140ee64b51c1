//! Which objects wait to be reconciled. A set: firing twice is one reconcile, so it can neither grow beyond the
//! number of objects nor lose one, and firing never blocks a watch.

use std::{
    collections::HashSet,
    sync::{Arc, Mutex, PoisonError},
};

use futures::{Stream, stream};
use kube::{Resource, runtime::reflector::ObjectRef};
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;

/// The waiting objects of one kind.
pub struct TriggerSet<K: Resource<DynamicType = ()>> {
    waiting: Mutex<HashSet<ObjectRef<K>>>,
    wake: Notify,
}

impl<K: Resource<DynamicType = ()>> Default for TriggerSet<K> {
    fn default() -> Self {
        Self { waiting: Mutex::new(HashSet::new()), wake: Notify::new() }
    }
}

impl<K: Resource<DynamicType = ()>> TriggerSet<K> {
    /// Asks for a reconcile of the object.
    pub fn fire(&self, object: ObjectRef<K>) {
        let added = self.waiting.lock().unwrap_or_else(PoisonError::into_inner).insert(object);
        if added {
            self.wake.notify_one();
        }
    }

    /// Takes the waiting objects one by one until `stop`. There is one taker: the controller.
    pub fn take_until(self: Arc<Self>, stop: CancellationToken) -> impl Stream<Item = ObjectRef<K>> {
        stream::unfold((self, stop), |(set, stop)| async move {
            loop {
                if stop.is_cancelled() {
                    return None;
                }
                if let Some(object) = set.take() {
                    return Some((object, (set, stop)));
                }
                tokio::select! {
                    () = set.wake.notified() => {}
                    () = stop.cancelled() => {}
                }
            }
        })
    }

    fn take(&self) -> Option<ObjectRef<K>> {
        let mut waiting = self.waiting.lock().unwrap_or_else(PoisonError::into_inner);
        let object = waiting.iter().next().cloned()?;
        waiting.take(&object)
    }
}

#[cfg(test)]
mod tests {
    use futures::StreamExt;
    use k8s_openapi::api::core::v1::Pod;

    use super::*;

    #[tokio::test]
    async fn an_object_fired_twice_is_taken_once_and_stop_ends_the_stream() {
        let set = Arc::new(TriggerSet::<Pod>::default());
        let stop = CancellationToken::new();
        set.fire(ObjectRef::new("a").within("ns"));
        set.fire(ObjectRef::new("a").within("ns"));
        set.fire(ObjectRef::new("b").within("ns"));

        let mut taken = Box::pin(Arc::clone(&set).take_until(stop.clone()));
        let mut names = vec![taken.next().await.unwrap().name, taken.next().await.unwrap().name];
        names.sort();
        stop.cancel();

        assert_eq!(names, ["a", "b"]);
        assert!(taken.next().await.is_none());
    }

    #[tokio::test]
    async fn an_object_fired_while_the_taker_waits_wakes_it() {
        let set = Arc::new(TriggerSet::<Pod>::default());
        let mut taken = Box::pin(Arc::clone(&set).take_until(CancellationToken::new()));

        let (object, ()) = tokio::join!(taken.next(), async {
            tokio::task::yield_now().await;
            set.fire(ObjectRef::new("late"));
        });

        assert_eq!(object.unwrap().name, "late");
    }
}
