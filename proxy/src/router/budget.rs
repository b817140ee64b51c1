//! How many retries a provider gets: a fifth of its calls and a few more. Without it an outage doubles the load on whoever is down, at
//! the time when it can bear it least.
//!
//! linkerd's rule: each call pays a fifth of a retry into a bucket, each retry takes one out; time pays a little too, so that a server
//! with few calls has retries at all. Going on to another provider is no retry: each is asked once by each call, whatever happens.

use std::{
    sync::{
        Mutex, PoisonError,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
    time::Instant,
};

/// Retries in thousandths: what a call pays in.
const PER_CALL: u64 = 200;
/// What a second pays in.
const PER_SECOND: u64 = 100;
/// What the bucket holds, and begins with.
const MOST: u64 = 10_000;
/// What a retry takes out.
const RETRY: u64 = 1_000;

/// The budget of one provider. A call costs one addition; only a retry takes the lock.
#[derive(Debug)]
pub struct RetryBudget {
    calls: AtomicU64,
    bucket: Mutex<Bucket>,
}

#[derive(Debug)]
struct Bucket {
    level: u64,
    /// What of calls and time has been paid in.
    calls: u64,
    at: Instant,
}

impl RetryBudget {
    /// A full one.
    pub fn new(now: Instant) -> Self {
        Self { calls: AtomicU64::new(0), bucket: Mutex::new(Bucket { level: MOST, calls: 0, at: now }) }
    }

    /// Counts a call.
    pub fn called(&self) {
        self.calls.fetch_add(1, Relaxed);
    }

    /// Takes a retry out, if there is one.
    pub fn take(&self, now: Instant) -> bool {
        let calls = self.calls.load(Relaxed);
        let mut bucket = self.bucket.lock().unwrap_or_else(PoisonError::into_inner);
        let by_calls = calls.saturating_sub(bucket.calls).saturating_mul(PER_CALL);
        let time =
            now.saturating_duration_since(bucket.at).as_millis().saturating_mul(PER_SECOND.into()) / 1000;
        let by_time = u64::try_from(time).unwrap_or(MOST);
        if by_time > 0 {
            bucket.at = now;
        }
        bucket.calls = bucket.calls.max(calls);
        bucket.level = bucket.level.saturating_add(by_calls).saturating_add(by_time).min(MOST);
        let Some(rest) = bucket.level.checked_sub(RETRY) else { return false };
        bucket.level = rest;
        true
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn e05_in_an_outage_retries_are_a_fifth_of_the_calls_and_ten_more() {
        let now = Instant::now();
        let budget = RetryBudget::new(now);

        let mut retries = 0;
        for _ in 0..1000 {
            budget.called();
            retries += u32::from(budget.take(now));
        }

        // The very first call pays into a bucket that is full.
        assert_eq!(retries, 200 + 10 - 1);
    }

    #[test]
    fn time_alone_brings_a_retry_in_ten_seconds_and_never_more_than_ten() {
        let mut now = Instant::now();
        let budget = RetryBudget::new(now);
        while budget.take(now) {}

        let mut waited = 0;
        while !budget.take(now) {
            now += Duration::from_secs(1);
            waited += 1;
        }
        assert_eq!(waited, 10);

        now += Duration::from_secs(86_400);
        assert_eq!((0..100).filter(|_| budget.take(now)).count(), 10);
    }
}
