//! Runs the reconciles of one kind: ten at once, one per object, failing ones by our own back-off.

use std::{
    convert::Infallible,
    fmt::Debug,
    future::Future,
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, Instant},
};

use futures::StreamExt;
use kube::{
    Resource, ResourceExt,
    runtime::{
        controller::{self, Action, Config, applier},
        reflector::ObjectRef,
    },
};
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;

use super::{chance::fraction, triggers::TriggerSet};
use crate::{
    backoff::Backoff,
    context::{Context, cache::Cache},
    metrics::{Kind, Outcome},
};

/// Reconciles of one kind at once.
const CONCURRENCY: u16 = 10;
/// Events of one object within this time are one reconcile.
const DEBOUNCE: Duration = Duration::from_millis(100);
/// Every object is looked at again after that time, give or take a fifth: no watch is a guarantee of delivery.
const RESYNC: Duration = Duration::from_secs(600);
/// Each call is bounded by itself; this bounds them together, so that none can occupy a place for ever.
const DEADLINE: Duration = Duration::from_secs(120);

/// How a reconcile ended well.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Done {
    /// Whether something was written.
    pub outcome: Outcome,
    /// When to look again, if time alone changes something; at the latest after the resync.
    pub again: Option<Duration>,
}

impl Done {
    /// Nothing had to be written, and nothing is known to come.
    pub fn unchanged() -> Self {
        Self { outcome: Outcome::Unchanged, again: None }
    }

    /// Something was written.
    pub fn changed() -> Self {
        Self { outcome: Outcome::Changed, again: None }
    }

    /// The same, to be looked at again after `delay`.
    pub fn again_after(self, delay: Duration) -> Self {
        Self { again: Some(self.again.map_or(delay, |known| known.min(delay))), ..self }
    }
}

/// What the controller of one kind needs.
pub struct Controller<K: Resource<DynamicType = ()> + Clone + 'static> {
    /// For metrics.
    pub kind: Kind,
    /// Where objects are read from.
    pub cache: Cache<K>,
    /// Which objects wait.
    pub triggers: Arc<TriggerSet<K>>,
}

impl<K> Controller<K>
where
    K: Resource<DynamicType = ()> + Clone + Debug + Send + Sync + 'static,
{
    /// Reconciles until `stop`, and lets those that have begun come to their end.
    pub async fn run<F, R, E>(self, context: Arc<Context>, stop: CancellationToken, reconcile: F)
    where
        F: Fn(Arc<K>, Arc<Context>) -> R + Clone + Send + Sync + 'static,
        R: Future<Output = Result<Done, E>> + Send + 'static,
        E: std::error::Error + Send + Sync + 'static,
    {
        let Self { kind, cache, triggers } = self;
        let backoff = Arc::new(Mutex::new(Backoff::default()));
        let failing = Arc::clone(&backoff);
        let attempt = move |object: Arc<K>, context: Arc<Context>| {
            let (reconcile, backoff) = (reconcile.clone(), Arc::clone(&backoff));
            Box::pin(async move {
                let begun = Instant::now();
                let key = place(object.as_ref());
                let ended = timeout(DEADLINE, reconcile(object, Arc::clone(&context))).await;
                let (action, outcome) = match ended {
                    Ok(Ok(done)) => (succeeded(&backoff, &key, done), done.outcome),
                    Ok(Err(error)) => (failed(&backoff, &key, kind, &chain(&error)), Outcome::Error),
                    Err(_) => (failed(&backoff, &key, kind, "it took too long"), Outcome::Error),
                };
                context.metrics.reconciled(kind, outcome, begun.elapsed());
                context.metrics.failing(kind, lock(&backoff).len());
                Ok::<_, Infallible>(action)
            })
        };
        let never_called = |_: Arc<K>, error: &Infallible, _: Arc<Context>| match *error {};
        let queue = triggers.take_until(stop).map(Ok::<ObjectRef<K>, Infallible>);
        let config = Config::default().concurrency(CONCURRENCY).debounce(DEBOUNCE);
        let results = applier(attempt, never_called, context, cache.store(), queue, config);
        results
            .for_each(|result| {
                if let Err(controller::Error::ObjectNotFound(reference)) = result {
                    let namespace = reference.namespace.as_deref().unwrap_or_default();
                    lock(&failing).succeeded(&format!("{namespace}/{}", reference.name));
                }
                std::future::ready(())
            })
            .await;
    }
}

fn succeeded(backoff: &Mutex<Backoff<String>>, key: &String, done: Done) -> Action {
    lock(backoff).succeeded(key);
    let resync = RESYNC.mul_f64(0.8 + 0.4 * fraction());
    Action::requeue(done.again.map_or(resync, |again| again.min(resync)))
}

fn failed(backoff: &Mutex<Backoff<String>>, key: &str, kind: Kind, error: &str) -> Action {
    let delay = lock(backoff).failed(key.to_owned(), Instant::now(), fraction());
    tracing::warn!(?kind, object = key, error, again_in_ms = delay.as_millis(), "reconcile failed");
    Action::requeue(delay)
}

fn place<K: Resource<DynamicType = ()>>(object: &K) -> String {
    format!("{}/{}", object.namespace().unwrap_or_default(), object.name_any())
}

/// The error with its causes in one line.
pub fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        text = format!("{text}: {error}");
        cause = error.source();
    }
    text
}

fn lock(backoff: &Mutex<Backoff<String>>) -> std::sync::MutexGuard<'_, Backoff<String>> {
    backoff.lock().unwrap_or_else(PoisonError::into_inner)
}
