//! What holds for all calls to one provider together: how many at once, how long each, how often again.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU32, Ordering::Relaxed},
    },
    time::{Duration, Instant},
};

use vibectl_config::Retries;

use super::budget::RetryBudget;

/// A provider as those see it who call it.
#[derive(Debug)]
pub struct Upstream {
    /// Whether it is asked again after a failure.
    pub retries: Retries,
    /// How many retries there are for all calls together.
    pub budget: RetryBudget,
    /// How long one call may take.
    pub total_timeout: Option<Duration>,
    max_concurrency: Option<u32>,
    running: Arc<AtomicU32>,
    key_refused: AtomicBool,
}

/// The place of one call among those that a provider has at once, until dropped.
#[derive(Debug)]
#[must_use = "the place is free again as soon as this is dropped"]
pub struct Place(Arc<AtomicU32>);

impl Upstream {
    /// What the config says of a provider. `running` counts its calls, those included that began under an earlier config.
    pub fn new(config: &vibectl_config::Provider, running: Arc<AtomicU32>) -> Self {
        Self {
            retries: config.retries,
            budget: RetryBudget::new(Instant::now()),
            total_timeout: config.total_timeout_seconds.map(|seconds| Duration::from_secs(seconds.into())),
            max_concurrency: config.max_concurrency,
            running,
            key_refused: AtomicBool::new(false),
        }
    }

    /// A place for one call, unless the provider is full. Nobody waits for one: a queue would only hide the trouble from callers
    /// who have retries, and other providers, of their own.
    pub fn place(&self) -> Option<Place> {
        let most = self.max_concurrency.unwrap_or(u32::MAX);
        let below = |running: u32| (running < most).then(|| running.saturating_add(1));
        self.running.fetch_update(Relaxed, Relaxed, below).ok()?;
        Some(Place(Arc::clone(&self.running)))
    }

    /// Notes whether the provider accepts our key.
    pub fn key_accepted(&self, accepted: bool) {
        // Nearly always it is known already, and a load is cheaper than a store.
        if self.key_refused.load(Relaxed) == accepted {
            self.key_refused.store(!accepted, Relaxed);
        }
    }

    /// Whether its last word was that it does not accept our key.
    pub fn refuses_key(&self) -> bool {
        self.key_refused.load(Relaxed)
    }

    /// Calls that it has now.
    pub fn running(&self) -> u32 {
        self.running.load(Relaxed)
    }

    /// The count itself, for the config that takes the place of this one.
    pub(super) fn count(&self) -> Arc<AtomicU32> {
        Arc::clone(&self.running)
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use vibectl_config::{Echo, Provider, ProviderKind};

    use super::*;

    fn upstream(max_concurrency: Option<u32>, running: &Arc<AtomicU32>) -> Upstream {
        let provider = Provider::new("p", ProviderKind::Echo(Echo::default()));
        Upstream::new(&Provider { max_concurrency, ..provider }, Arc::clone(running))
    }

    #[test]
    fn a_full_provider_has_no_place_until_a_call_ends() {
        let upstream = upstream(Some(2), &Arc::default());

        let (first, second) = (upstream.place(), upstream.place());
        assert!(first.is_some() && second.is_some() && upstream.place().is_none());
        drop(first);

        assert!(upstream.place().is_some());
    }

    #[test]
    fn calls_that_began_under_an_earlier_config_take_places_of_the_new_one() {
        let running = Arc::default();
        let before = upstream(None, &running);
        let places: Vec<_> = (0..3).map(|_| before.place()).collect();

        let after = upstream(Some(3), &before.count());

        assert!(after.place().is_none());
        drop(places);
        assert!(after.place().is_some());
        assert_eq!(after.running(), 0);
    }
}
