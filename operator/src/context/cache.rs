//! A read-only view of watched objects, and of what could not be read.

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt::Debug,
    sync::{Arc, PoisonError, RwLock},
};

use futures::FutureExt;
use kube::{
    Resource, ResourceExt,
    runtime::reflector::{ObjectRef, Store, store::Writer},
};

/// Objects of one kind, as last seen by its watch. Clones share the same view.
pub struct Cache<K: Resource<DynamicType = ()> + Clone + 'static> {
    store: Store<K>,
    gaps: Arc<RwLock<Gaps>>,
}

/// What exists but cannot be read: its last good state must not be taken for "gone".
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Gaps {
    /// Namespaces that the API server does not let us read (any more).
    pub namespaces: BTreeSet<String>,
    /// UIDs of objects that do not fit our types, with `namespace/name`.
    pub objects: BTreeMap<String, String>,
    /// The kind itself cannot be read, anywhere.
    pub kind: Option<NoAccess>,
}

/// Why a whole kind cannot be read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum NoAccess {
    /// The API server does not know it.
    NotServed,
    /// The API server does not let us.
    Forbidden,
}

/// Whether a cache tells what there is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Availability {
    /// It does.
    Complete,
    /// The first list is not in yet.
    NotYet,
    /// It cannot.
    No(NoAccess),
}

impl<K: Resource<DynamicType = ()> + Clone + 'static> Cache<K> {
    /// An empty cache and the writer that fills it.
    pub fn new() -> (Self, Writer<K>) {
        let writer = Writer::default();
        let cache = Self { store: writer.as_reader(), gaps: Arc::default() };
        (cache, writer)
    }

    /// A cache that is complete and holds exactly these objects, for tests and for dry runs.
    pub fn of(objects: impl IntoIterator<Item = K>) -> Self {
        use kube::runtime::watcher::Event;
        let (cache, mut writer) = Self::new();
        writer.apply_watcher_event(&Event::Init);
        for object in objects {
            writer.apply_watcher_event(&Event::InitApply(object));
        }
        writer.apply_watcher_event(&Event::InitDone);
        cache
    }

    /// The object of this name.
    pub fn get(&self, namespace: &str, name: &str) -> Option<Arc<K>> {
        self.store.get(&ObjectRef::new(name).within(namespace))
    }

    /// The object of this name, of a kind without namespaces.
    pub fn get_cluster(&self, name: &str) -> Option<Arc<K>> {
        self.store.get(&ObjectRef::new(name))
    }

    /// Every object that fits, in no particular order. The predicate must be cheap: it holds up the watch.
    pub fn filter(&self, predicate: impl Fn(&K) -> bool) -> Vec<Arc<K>> {
        self.store.state_filter(predicate)
    }

    /// Every object of this namespace that carries this label.
    pub fn labelled(&self, namespace: &str, label: &str, value: &str) -> Vec<Arc<K>> {
        self.filter(|object| {
            object.meta().namespace.as_deref() == Some(namespace)
                && object.labels().get(label).is_some_and(|found| found == value)
        })
    }

    /// The object with this UID.
    pub fn by_uid(&self, uid: &str) -> Option<Arc<K>> {
        self.store.find(|object| object.meta().uid.as_deref() == Some(uid))
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.store.len()
    }

    /// True when there are none.
    pub fn is_empty(&self) -> bool {
        self.store.is_empty()
    }

    /// Ready when the first complete list is in.
    pub async fn ready(&self) -> bool {
        self.store.wait_until_ready().await.is_ok()
    }

    /// Whether it tells what there is in this namespace.
    pub fn availability(&self, namespace: &str) -> Availability {
        let gaps = self.gaps();
        if let Some(why) = gaps.kind {
            return Availability::No(why);
        }
        if gaps.namespaces.contains(namespace) {
            return Availability::No(NoAccess::Forbidden);
        }
        // Asked once, without waiting.
        if self.ready().now_or_never() == Some(true) { Availability::Complete } else { Availability::NotYet }
    }

    /// What could not be read.
    pub fn gaps(&self) -> Gaps {
        self.gaps.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// The underlying store, for the controller.
    pub fn store(&self) -> Store<K> {
        self.store.clone()
    }

    pub(crate) fn change_gaps(&self, change: impl FnOnce(&mut Gaps)) {
        change(&mut self.gaps.write().unwrap_or_else(PoisonError::into_inner));
    }
}

impl<K: Resource<DynamicType = ()> + Clone + 'static> Clone for Cache<K> {
    fn clone(&self) -> Self {
        Self { store: self.store.clone(), gaps: Arc::clone(&self.gaps) }
    }
}
