//! How long to wait before a failing object is tried again: per object, exponential, with full jitter.
//!
//! Pure: the instant and the random fraction are passed in. A delay grows once for each delay that ran out, not
//! once for each trigger, so that a burst of events during an outage does not push an object to the maximum
//! (kubernetes/kubernetes#132805).

use std::{
    collections::HashMap,
    hash::Hash,
    time::{Duration, Instant},
};

/// Ceiling of the first delay.
pub const FIRST: Duration = Duration::from_secs(1);
/// Ceiling of every later delay.
pub const MAXIMUM: Duration = Duration::from_secs(300);
/// No delay is shorter: full jitter alone may return zero, and a hot loop helps nobody.
const SHORTEST: Duration = Duration::from_millis(50);

/// The failing objects, and when each may be tried again.
#[derive(Debug)]
pub struct Backoff<K> {
    entries: HashMap<K, Entry>,
}

#[derive(Debug, Clone, Copy)]
struct Entry {
    failures: u32,
    until: Instant,
}

impl<K> Default for Backoff<K> {
    fn default() -> Self {
        Self { entries: HashMap::new() }
    }
}

impl<K: Eq + Hash> Backoff<K> {
    /// Records a failure at `now` and tells how long to wait; `fraction` is a random number from 0 to 1.
    pub fn failed(&mut self, key: K, now: Instant, fraction: f64) -> Duration {
        let earlier = self.entries.get(&key).copied();
        if let Some(entry) = earlier.filter(|entry| now < entry.until) {
            return entry.until.duration_since(now).max(SHORTEST);
        }
        let failures = earlier.map_or(0, |entry| entry.failures);
        let delay = ceiling(failures).mul_f64(fraction.clamp(0.0, 1.0)).max(SHORTEST);
        self.entries.insert(key, Entry { failures: failures.saturating_add(1), until: now + delay });
        delay
    }

    /// Forgets the failures of an object that was reconciled, or that is gone.
    pub fn succeeded(&mut self, key: &K) {
        self.entries.remove(key);
    }

    /// How many objects are failing now.
    pub fn len(&self) -> usize {
        self.entries.len()
    }

    /// True when no object is failing.
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }
}

/// The longest delay after that many earlier failures.
fn ceiling(failures: u32) -> Duration {
    FIRST.saturating_mul(2_u32.saturating_pow(failures)).min(MAXIMUM)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn after(start: Instant, seconds: u64) -> Instant {
        start + Duration::from_secs(seconds)
    }

    #[test]
    fn delays_double_up_to_five_minutes() {
        let mut backoff = Backoff::default();
        let mut now = Instant::now();
        let mut delays = Vec::new();

        for _ in 0..11 {
            let delay = backoff.failed("a", now, 1.0);
            delays.push(delay.as_secs());
            now += delay;
        }

        assert_eq!(delays, [1, 2, 4, 8, 16, 32, 64, 128, 256, 300, 300]);
    }

    #[test]
    fn a_burst_of_triggers_counts_as_one_failure() {
        let mut backoff = Backoff::default();
        let start = Instant::now();

        assert_eq!(backoff.failed("a", start, 1.0), Duration::from_secs(1));
        for _ in 0..100 {
            assert_eq!(backoff.failed("a", start, 1.0), Duration::from_secs(1));
        }

        assert_eq!(backoff.failed("a", after(start, 1), 1.0), Duration::from_secs(2));
    }

    #[test]
    fn success_starts_over_and_one_object_does_not_slow_another() {
        let mut backoff = Backoff::default();
        let start = Instant::now();
        backoff.failed("a", start, 1.0);
        backoff.failed("a", after(start, 1), 1.0);

        backoff.succeeded(&"a");

        assert!(backoff.is_empty());
        assert_eq!(backoff.failed("a", after(start, 2), 1.0), Duration::from_secs(1));
        assert_eq!(backoff.failed("b", after(start, 2), 1.0), Duration::from_secs(1));
    }

    #[test]
    fn jitter_spreads_over_the_whole_delay_but_never_to_zero() {
        let mut backoff = Backoff::default();
        let start = Instant::now();

        assert_eq!(backoff.failed("none", start, 0.0), SHORTEST);
        assert_eq!(backoff.failed("half", start, 0.5), Duration::from_millis(500));
    }
}
