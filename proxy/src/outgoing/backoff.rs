//! How long to wait before somebody who failed is asked again: one rule for providers, key sets of other issuers and the webhook.
//! (ACME servers have a schedule of their own, since they count what is asked of them by the week.) Pure: lots are drawn elsewhere.

use std::time::Duration;

/// Exponential, with full jitter.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Backoff {
    /// The longest pause after the first failure; it doubles with each further one.
    pub(crate) base: Duration,
    /// No pause is longer.
    pub(crate) cap: Duration,
}

impl Backoff {
    /// The pause before the retry after `made` others: anything from nothing to a ceiling that doubles, so that those who failed
    /// together do not come back together.
    pub(crate) fn pause(self, made: u32, lot: u64) -> Duration {
        let doubled = self.base.saturating_mul(2_u32.saturating_pow(made));
        let ceiling = u64::try_from(doubled.min(self.cap).as_micros()).unwrap_or(u64::MAX);
        Duration::from_micros(lot % ceiling.saturating_add(1).max(1))
    }

    /// The same for one who said when to come back: that time first, if it is no longer than the cap; `None` if it is.
    pub(crate) fn pause_after(self, asked: Duration, made: u32, lot: u64) -> Option<Duration> {
        (asked <= self.cap).then(|| asked + self.pause(made, lot))
    }
}

/// A lot for one pause.
pub(crate) fn lot() -> u64 {
    uuid::Uuid::new_v4().as_u64_pair().0
}

#[cfg(test)]
mod tests {
    use super::*;

    const BACKOFF: Backoff = Backoff { base: Duration::from_millis(100), cap: Duration::from_secs(1) };

    #[test]
    fn the_ceiling_of_the_jitter_doubles_up_to_the_cap() {
        for (made, ceiling) in [(0, 100), (1, 200), (2, 400), (3, 800), (4, 1000), (40, 1000)] {
            let longest = (0..2_000_000).step_by(997).map(|lot| BACKOFF.pause(made, lot)).max();
            let (longest, ceiling) = (longest.unwrap_or_default(), Duration::from_millis(ceiling));
            assert!(longest <= ceiling && longest > ceiling * 9 / 10, "{made}: {longest:?} of {ceiling:?}");
        }
        assert_eq!(BACKOFF.pause(4, 0), Duration::ZERO, "jitter is full");
    }

    #[test]
    fn e05_who_said_when_to_come_back_is_left_alone_until_then_and_not_waited_for_beyond_the_cap() {
        let second = Duration::from_secs(1);

        for lot in 0..1000 {
            assert!(BACKOFF.pause_after(second, 0, lot).expect("within the cap") >= second);
        }
        assert_eq!(BACKOFF.pause_after(second + Duration::from_millis(1), 0, 0), None);
        assert_eq!(BACKOFF.pause_after(Duration::MAX, 0, 7), None);
    }
}
