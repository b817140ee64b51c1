//! How long to wait before a provider is asked again. Pure: the lot is drawn elsewhere.

use std::time::Duration;

use vibectl_config::Retries;

/// The pause before the retry after `made` others: full jitter, anything from nothing to a ceiling that doubles, so that callers who
/// failed together do not come back together. A provider that said when to come back is given that time first, if that is no
/// longer than the longest pause; `None` if it is.
pub(super) fn pause(
    retries: &Retries,
    made: u32,
    retry_after: Option<Duration>,
    lot: u64,
) -> Option<Duration> {
    let cap = Duration::from_millis(retries.cap_ms.into());
    let asked = retry_after.unwrap_or_default();
    let doubled = Duration::from_millis(retries.base_ms.into()).saturating_mul(2_u32.saturating_pow(made));
    let ceiling = u64::try_from(doubled.min(cap).as_micros()).unwrap_or(u64::MAX);
    let jitter = Duration::from_micros(lot % ceiling.saturating_add(1).max(1));
    (asked <= cap).then(|| asked + jitter)
}

#[cfg(test)]
mod tests {
    use super::*;

    const RETRIES: Retries = Retries { attempts: 5, base_ms: 100, cap_ms: 1000 };

    fn longest(made: u32, retry_after: Option<Duration>) -> Option<Duration> {
        (0..2_000_000).step_by(997).filter_map(|lot| pause(&RETRIES, made, retry_after, lot)).max()
    }

    #[test]
    fn the_ceiling_of_the_jitter_doubles_up_to_the_cap() {
        for (made, ceiling) in [(0, 100), (1, 200), (2, 400), (3, 800), (4, 1000), (40, 1000)] {
            let longest = longest(made, None).expect("a pause");
            let ceiling = Duration::from_millis(ceiling);
            assert!(longest <= ceiling && longest > ceiling * 9 / 10, "{made}: {longest:?} of {ceiling:?}");
        }
        assert_eq!(pause(&RETRIES, 4, None, 0), Some(Duration::ZERO), "jitter is full");
    }

    #[test]
    fn e05_who_said_when_to_come_back_is_left_alone_until_then_and_not_waited_for_beyond_the_cap() {
        let second = Duration::from_secs(1);

        for lot in 0..1000 {
            assert!(pause(&RETRIES, 0, Some(second), lot).expect("within the cap") >= second);
        }
        assert_eq!(pause(&RETRIES, 0, Some(second + Duration::from_millis(1)), 0), None);
        assert_eq!(pause(&RETRIES, 0, Some(Duration::MAX), 7), None);
    }
}
