//! One watched kind: keeps a cache complete and tells who should be reconciled.
//!
//! A watch may span one scope (the whole cluster) or several (one per namespace). The cache becomes ready when every
//! scope has been listed, or has turned out to be forbidden to us: one namespace without a role must not hold up the
//! others. After that, a new list of one scope changes only that scope, and what has gone in between is told.

use std::fmt::Debug;

use futures::{Stream, StreamExt, stream::SelectAll};
use kube::{
    Api, Client, Resource,
    core::{DeserializeGuard, NamespaceResourceScope, PartialObjectMeta},
    runtime::{
        WatchStreamExt,
        reflector::store::Writer,
        watcher::{self, Event},
    },
};
use serde::de::DeserializeOwned;

use self::fold::Fold;
use crate::context::cache::Cache;

mod fold;

/// What happened to one object.
#[derive(Debug)]
pub enum Change<'a, K> {
    /// It exists, new or changed or listed again.
    Present(&'a K),
    /// Its deletion was seen.
    Deleted(&'a K),
    /// It was not there any more when listing again.
    Missing(&'a K),
}

impl<'a, K> Change<'a, K> {
    /// The object, as it is or was.
    pub fn object(&self) -> &'a K {
        match self {
            Self::Present(object) | Self::Deleted(object) | Self::Missing(object) => object,
        }
    }
}

/// A stream of events of one scope. `K` may have failed to decode.
pub type Events<K> =
    futures::stream::BoxStream<'static, (usize, watcher::Result<Event<DeserializeGuard<K>>>)>;

/// The scopes to watch: the whole cluster, or some namespaces.
pub fn scopes(watched: &[String]) -> Vec<Option<String>> {
    if watched.is_empty() { vec![None] } else { watched.iter().cloned().map(Some).collect() }
}

/// Watches objects of kind `K` in each scope. `trim` takes out of each what nobody reads, beside the managed fields.
pub fn objects<K>(
    client: &Client,
    scopes: &[Option<String>],
    config: &watcher::Config,
    trim: fn(&mut K),
) -> SelectAll<Events<K>>
where
    K: Resource<DynamicType = (), Scope = NamespaceResourceScope>,
    K: Clone + DeserializeOwned + Debug + Send + Sync + 'static,
{
    let streams = scopes.iter().enumerate().map(|(index, scope)| {
        let api: Api<DeserializeGuard<K>> = match scope {
            Some(namespace) => Api::namespaced(client.clone(), namespace),
            None => Api::all(client.clone()),
        };
        let stream = watcher::watcher(api, config.clone()).default_backoff().modify(move |object| {
            object.meta_mut().managed_fields = None;
            if let Ok(object) = &mut object.0 {
                trim(object);
            }
        });
        stream.map(move |event| (index, event)).boxed()
    });
    streams.collect()
}

/// Watches names, labels and annotations only.
pub fn metadata<K>(apis: Vec<Api<PartialObjectMeta<K>>>) -> SelectAll<Events<PartialObjectMeta<K>>>
where
    K: Resource<DynamicType = ()> + Clone + DeserializeOwned + Debug + Send + Sync + 'static,
{
    let streams = apis.into_iter().enumerate().map(|(index, api)| {
        let stream = watcher::watcher(api, watcher::Config::default()).default_backoff();
        let stream = stream.modify(|object| object.metadata.managed_fields = None);
        stream.map(move |event| (index, event.map(guarded))).boxed()
    });
    streams.collect()
}

/// Metadata always fits.
fn guarded<K>(event: Event<K>) -> Event<DeserializeGuard<K>> {
    let good = |object| DeserializeGuard(Ok(object));
    match event {
        Event::Apply(object) => Event::Apply(good(object)),
        Event::Delete(object) => Event::Delete(good(object)),
        Event::Init => Event::Init,
        Event::InitApply(object) => Event::InitApply(good(object)),
        Event::InitDone => Event::InitDone,
    }
}

/// Follows the streams until they end, which a healthy watch never does.
pub async fn follow<K>(
    scopes: &[Option<String>],
    mut events: impl Stream<Item = (usize, watcher::Result<Event<DeserializeGuard<K>>>)> + Unpin,
    cache: Cache<K>,
    writer: Writer<K>,
    on_change: impl Fn(Change<'_, K>),
) where
    K: Resource<DynamicType = ()> + Clone + 'static,
{
    let mut fold = Fold::new(scopes, cache, writer);
    while let Some((scope, event)) = events.next().await {
        match event {
            Ok(event) => fold.event(scope, event, &on_change),
            Err(error) => fold.failed(scope, &error),
        }
    }
}

/// Follows the streams without keeping anything: `on_touch` gets every object that is listed, changed or deleted.
pub async fn touched<K>(
    mut events: impl Stream<Item = (usize, watcher::Result<Event<DeserializeGuard<K>>>)> + Unpin,
    on_touch: impl Fn(&K),
) where
    K: Resource<DynamicType = ()>,
{
    while let Some((_, event)) = events.next().await {
        match event {
            Ok(Event::Apply(object) | Event::InitApply(object) | Event::Delete(object)) => {
                _ = object.0.map(|object| on_touch(&object));
            }
            Ok(Event::Init | Event::InitDone) => {}
            Err(error) => tracing::warn!(kind = %K::kind(&()), %error, "watch failed; it is tried again"),
        }
    }
}
