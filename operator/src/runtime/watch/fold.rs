//! Folds the events of all scopes of a watch into one cache.

use std::collections::HashSet;

use kube::{
    Resource,
    api::ObjectMeta,
    core::{DeserializeGuard, error_boundary::InvalidObject},
    runtime::{
        reflector::{ObjectRef, store::Writer},
        watcher::{self, Event},
    },
};

use super::Change;
use crate::context::cache::{Cache, NoAccess};

/// The cache in the making.
pub(super) struct Fold<K: Resource<DynamicType = ()> + Clone + 'static> {
    cache: Cache<K>,
    writer: Writer<K>,
    scopes: Vec<Scope<K>>,
    ready: bool,
}

/// One scope: what is known of it, and the list that is coming in.
struct Scope<K: Resource<DynamicType = ()>> {
    namespace: Option<String>,
    listed: bool,
    known: HashSet<ObjectRef<K>>,
    listing: HashSet<ObjectRef<K>>,
}

impl<K: Resource<DynamicType = ()> + Clone + 'static> Fold<K> {
    pub(super) fn new(scopes: &[Option<String>], cache: Cache<K>, mut writer: Writer<K>) -> Self {
        let scope = |namespace: &Option<String>| Scope {
            namespace: namespace.clone(),
            listed: false,
            known: HashSet::new(),
            listing: HashSet::new(),
        };
        writer.apply_watcher_event(&Event::Init);
        Self { cache, writer, scopes: scopes.iter().map(scope).collect(), ready: false }
    }

    pub(super) fn event(
        &mut self,
        index: usize,
        event: Event<DeserializeGuard<K>>,
        on_change: &impl Fn(Change<'_, K>),
    ) {
        match event {
            Event::Init => self.scope(index, |scope| scope.listing.clear()),
            Event::InitApply(object) => {
                let reference = self.present(object, on_change);
                self.scope(index, |scope| _ = scope.listing.insert(reference));
            }
            Event::InitDone => self.listed(index, on_change),
            Event::Apply(object) => {
                let reference = self.present(object, on_change);
                self.scope(index, |scope| _ = scope.known.insert(reference));
            }
            Event::Delete(object) => self.deleted(index, object, on_change),
        }
    }

    /// A namespace that we may not read is a gap, not a reason to hold up the others. A kind that is not there at all is told once:
    /// it may belong to something that is not installed.
    pub(super) fn failed(&mut self, index: usize, error: &watcher::Error) {
        let why = no_access(error);
        let known = self.cache.gaps().kind;
        if why != Some(NoAccess::NotServed) || known != why {
            tracing::warn!(kind = %K::kind(&()), %error, "watch failed; it is tried again");
        }
        let Some(why) = why else { return };
        match self.scopes.get(index).and_then(|scope| scope.namespace.clone()) {
            Some(namespace) => {
                self.cache.change_gaps(|gaps| {
                    gaps.namespaces.insert(namespace);
                    gaps.kind = gaps.kind.or(Some(why).filter(|why| *why == NoAccess::NotServed));
                });
                self.scope(index, |scope| scope.listed = true);
                self.become_ready();
            }
            None => self.cache.change_gaps(|gaps| gaps.kind = Some(why)),
        }
    }

    fn present(&mut self, object: DeserializeGuard<K>, on_change: &impl Fn(Change<'_, K>)) -> ObjectRef<K> {
        match object.0 {
            Ok(object) => {
                let uid = object.meta().uid.clone().unwrap_or_default();
                self.cache.change_gaps(|gaps| _ = gaps.objects.remove(&uid));
                on_change(Change::Present(&object));
                let reference = ObjectRef::from_obj(&object);
                self.writer.apply_watcher_event(&if self.ready {
                    Event::Apply(object)
                } else {
                    Event::InitApply(object)
                });
                reference
            }
            Err(invalid) => self.malformed(&invalid),
        }
    }

    /// An object that does not fit our types leaves the cache, but counts as existing.
    fn malformed(&mut self, invalid: &InvalidObject) -> ObjectRef<K> {
        let namespace = invalid.metadata.namespace.clone().unwrap_or_default();
        let name = invalid.metadata.name.clone().unwrap_or_default();
        tracing::warn!(kind = %K::kind(&()), namespace, name, error = %invalid.error, "object cannot be read");
        let reference = ObjectRef::new(&name).within(&namespace);
        let uid = invalid.metadata.uid.clone().unwrap_or_default();
        self.cache.change_gaps(|gaps| _ = gaps.objects.insert(uid, format!("{namespace}/{name}")));
        if let Some(object) = self.cache.store().get(&reference) {
            self.writer.apply_watcher_event(&Event::Delete(object.as_ref().clone()));
        }
        reference
    }

    fn deleted(&mut self, index: usize, object: DeserializeGuard<K>, on_change: &impl Fn(Change<'_, K>)) {
        let meta = object.meta();
        let uid = meta.uid.clone().unwrap_or_default();
        self.cache.change_gaps(|gaps| _ = gaps.objects.remove(&uid));
        let reference = reference_of(meta);
        self.scope(index, |scope| _ = scope.known.remove(&reference));
        if let Ok(object) = object.0 {
            on_change(Change::Deleted(&object));
            self.writer.apply_watcher_event(&Event::Delete(object));
        }
    }

    /// The list of one scope is complete: what was known before and is not in it is gone.
    fn listed(&mut self, index: usize, on_change: &impl Fn(Change<'_, K>)) {
        let Some(scope) = self.scopes.get_mut(index) else { return };
        scope.listed = true;
        let known = std::mem::take(&mut scope.listing);
        let before = std::mem::replace(&mut scope.known, known);
        let gone: Vec<_> = before.difference(&scope.known).cloned().collect();
        let namespace = scope.namespace.clone();
        self.cache.change_gaps(|gaps| {
            gaps.kind = None;
            namespace.map(|namespace| gaps.namespaces.remove(&namespace));
        });
        self.become_ready();
        for reference in gone {
            self.missing(&reference, on_change);
        }
    }

    fn missing(&mut self, reference: &ObjectRef<K>, on_change: &impl Fn(Change<'_, K>)) {
        let place = format!("{}/{}", reference.namespace.as_deref().unwrap_or_default(), reference.name);
        self.cache.change_gaps(|gaps| gaps.objects.retain(|_, known| *known != place));
        if let Some(object) = self.cache.store().get(reference) {
            on_change(Change::Missing(&object));
            self.writer.apply_watcher_event(&Event::Delete(object.as_ref().clone()));
        }
    }

    fn become_ready(&mut self) {
        if self.ready || !self.scopes.iter().all(|scope| scope.listed) {
            return;
        }
        self.ready = true;
        self.writer.apply_watcher_event(&Event::InitDone);
        let known: HashSet<_> = self.scopes.iter().flat_map(|scope| scope.known.iter().cloned()).collect();
        for stale in self.cache.filter(|object| !known.contains(&ObjectRef::from_obj(object))) {
            self.writer.apply_watcher_event(&Event::Delete(stale.as_ref().clone()));
        }
    }

    fn scope(&mut self, index: usize, change: impl FnOnce(&mut Scope<K>)) {
        if let Some(scope) = self.scopes.get_mut(index) {
            change(scope);
        }
    }
}

fn reference_of<K: Resource<DynamicType = ()>>(meta: &ObjectMeta) -> ObjectRef<K> {
    let reference = ObjectRef::new(meta.name.as_deref().unwrap_or_default());
    match meta.namespace.as_deref() {
        Some(namespace) => reference.within(namespace),
        None => reference,
    }
}

fn no_access(error: &watcher::Error) -> Option<NoAccess> {
    let (watcher::Error::InitialListFailed(kube::Error::Api(status))
    | watcher::Error::WatchStartFailed(kube::Error::Api(status))
    | watcher::Error::WatchError(status)) = error
    else {
        return None;
    };
    match status.code {
        403 => Some(NoAccess::Forbidden),
        404 => Some(NoAccess::NotServed),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use std::cell::RefCell;

    use futures::stream;
    use k8s_openapi::api::core::v1::ConfigMap;
    use kube::{ResourceExt, core::Status};

    use super::{super::follow, *};

    fn config_map(namespace: &str, name: &str) -> ConfigMap {
        let mut object = ConfigMap::default();
        object.metadata.namespace = Some(namespace.to_owned());
        object.metadata.name = Some(name.to_owned());
        object.metadata.uid = Some(format!("uid-{name}"));
        object
    }

    fn good(namespace: &str, name: &str) -> DeserializeGuard<ConfigMap> {
        DeserializeGuard(Ok(config_map(namespace, name)))
    }

    fn bad(namespace: &str, name: &str) -> DeserializeGuard<ConfigMap> {
        let metadata = config_map(namespace, name).metadata;
        DeserializeGuard(Err(InvalidObject { error: "missing field".to_owned(), metadata }))
    }

    fn refusal() -> watcher::Error {
        let status = Status::failure("no", "Forbidden").with_code(403);
        watcher::Error::InitialListFailed(kube::Error::Api(Box::new(status)))
    }

    type Scripted = Vec<(usize, watcher::Result<Event<DeserializeGuard<ConfigMap>>>)>;

    async fn play(namespaces: &[&str], events: Scripted) -> (Cache<ConfigMap>, Vec<String>, bool) {
        let scopes: Vec<_> = namespaces.iter().map(|name| Some((*name).to_owned())).collect();
        let (cache, writer) = Cache::new();
        let told = RefCell::new(Vec::new());
        let note = |change: Change<'_, ConfigMap>| {
            let verb = match change {
                Change::Present(_) => "present",
                Change::Deleted(_) => "deleted",
                Change::Missing(_) => "missing",
            };
            told.borrow_mut().push(format!("{verb} {}", change.object().name_any()));
        };
        follow(&scopes, stream::iter(events), cache.clone(), writer, note).await;
        // The writer is dropped, so this tells whether the cache ever became ready.
        let ready = cache.ready().await;
        (cache, told.into_inner(), ready)
    }

    #[tokio::test]
    async fn the_cache_is_ready_only_when_every_scope_is_listed() {
        let first: Scripted =
            vec![(0, Ok(Event::Init)), (0, Ok(Event::InitApply(good("a", "x")))), (0, Ok(Event::InitDone))];
        let (_, _, ready) = play(&["a", "b"], first).await;
        assert!(!ready);

        let both = vec![
            (0, Ok(Event::Init)),
            (0, Ok(Event::InitApply(good("a", "x")))),
            (0, Ok(Event::InitDone)),
            (0, Ok(Event::Apply(good("a", "early")))),
            (0, Ok(Event::Delete(good("a", "x")))),
            (1, Ok(Event::Init)),
            (1, Ok(Event::InitApply(good("b", "y")))),
            (1, Ok(Event::InitDone)),
        ];
        let (cache, _, ready) = play(&["a", "b"], both).await;

        assert!(ready);
        assert!(cache.get("a", "x").is_none(), "deleted before the other scope was listed");
        assert!(cache.get("a", "early").is_some());
        assert!(cache.get("b", "y").is_some());
    }

    #[tokio::test]
    async fn a_forbidden_namespace_is_a_gap_and_the_others_go_on() {
        let events = vec![
            (0, Err(refusal())),
            (1, Ok(Event::Init)),
            (1, Ok(Event::InitApply(good("b", "y")))),
            (1, Ok(Event::InitDone)),
        ];
        let (cache, _, ready) = play(&["a", "b"], events).await;

        assert!(ready);
        assert!(cache.gaps().namespaces.contains("a"));
        assert!(cache.get("b", "y").is_some());
    }

    #[tokio::test]
    async fn a_namespace_that_turns_unreadable_keeps_its_objects() {
        let events = vec![
            (0, Ok(Event::Init)),
            (0, Ok(Event::InitApply(good("a", "x")))),
            (0, Ok(Event::InitDone)),
            (0, Err(refusal())),
        ];
        let (cache, _, _) = play(&["a"], events).await;

        assert!(cache.get("a", "x").is_some());
        assert!(cache.gaps().namespaces.contains("a"));
    }

    #[tokio::test]
    async fn a_new_list_of_one_scope_tells_what_is_missing_and_leaves_the_others_alone() {
        let events = vec![
            (0, Ok(Event::Init)),
            (0, Ok(Event::InitApply(good("a", "x")))),
            (0, Ok(Event::InitDone)),
            (1, Ok(Event::Init)),
            (1, Ok(Event::InitApply(good("b", "y")))),
            (1, Ok(Event::InitDone)),
            (0, Ok(Event::Init)),
            (0, Ok(Event::InitDone)),
        ];
        let (cache, told, _) = play(&["a", "b"], events).await;

        assert_eq!(told, ["present x", "present y", "missing x"]);
        assert!(cache.get("a", "x").is_none());
        assert!(cache.get("b", "y").is_some());
    }

    #[tokio::test]
    async fn a_malformed_object_is_a_gap_until_it_fits_again_or_is_gone() {
        let events = vec![
            (0, Ok(Event::Init)),
            (0, Ok(Event::InitApply(bad("a", "x")))),
            (0, Ok(Event::InitApply(good("a", "y")))),
            (0, Ok(Event::InitDone)),
        ];
        let (cache, _, ready) = play(&["a"], events).await;
        assert!(ready);
        assert_eq!(cache.gaps().objects.get("uid-x").map(String::as_str), Some("a/x"));
        assert!(cache.get("a", "y").is_some());

        let listed = |object| {
            vec![
                (0, Ok(Event::Init)),
                (0, Ok(Event::InitApply(bad("a", "x")))),
                (0, Ok(Event::InitDone)),
                (0, Ok(object)),
            ]
        };
        for last in [Event::Apply(good("a", "x")), Event::Delete(bad("a", "x"))] {
            let (cache, _, _) = play(&["a"], listed(last)).await;
            assert!(cache.gaps().objects.is_empty());
        }
    }
}
