//! What to make of an ACME server's suggestion when to renew (ARI, RFC 9773). Pure.

use std::time::Duration;

use jiff::{SignedDuration, Timestamp};

use crate::renewal::Lifetime;

/// The server is asked at least this often, whatever it says.
pub const LONGEST_SILENCE: Duration = Duration::from_hours(12);
/// And not more often than this.
pub const SHORTEST_SILENCE: Duration = Duration::from_mins(1);

/// The suggested window, if it makes sense for this certificate: it begins before it ends, is not longer than the certificate
/// lives, and ends, at the latest, when a twentieth of the lifetime is left. A window in the past is sensible: it means now.
pub fn usable(start: Timestamp, end: Timestamp, lifetime: &Lifetime) -> Option<(Timestamp, Timestamp)> {
    let latest = lifetime.at(19, 20);
    let lifetime = lifetime.not_after.duration_since(lifetime.not_before);
    let sensible = start < end && start <= latest && end.duration_since(start) <= lifetime;
    sensible.then(|| (start, end.min(latest).max(start)))
}

/// The moment in the window that this random number picks; the same number picks the same moment.
pub fn pick((start, end): (Timestamp, Timestamp), random: u16) -> Timestamp {
    let length = end.duration_since(start).as_millis();
    let offset = length * i128::from(random) / i128::from(u16::MAX);
    let offset = SignedDuration::from_millis(i64::try_from(offset).unwrap_or(0));
    start.checked_add(offset).unwrap_or(start)
}

/// How long until the server is asked again, given what it asked for. Up to a tenth earlier, so that many servers do not
/// ask together, and a tenth of a short lifetime at most.
pub fn silence(asked: Option<Duration>, lifetime: &Lifetime, random: u16) -> Duration {
    let length = lifetime.not_after.duration_since(lifetime.not_before);
    let tenth = Duration::try_from(length / 10).unwrap_or(Duration::ZERO).max(SHORTEST_SILENCE);
    let asked = asked.unwrap_or(LONGEST_SILENCE / 2).clamp(SHORTEST_SILENCE, LONGEST_SILENCE);
    let silence = asked.min(tenth);
    silence.mul_f64(1.0 - f64::from(random) / f64::from(u16::MAX) / 10.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    const DAY: i64 = 24 * 60 * 60;

    fn day(day: i64) -> Timestamp {
        Timestamp::from_second(day * DAY).expect("in range")
    }

    fn ninety() -> Lifetime {
        Lifetime { not_before: day(0), not_after: day(90) }
    }

    #[test]
    fn h07_a_window_in_the_future_and_one_in_the_past_are_used() {
        assert_eq!(usable(day(50), day(52), &ninety()), Some((day(50), day(52))));
        assert_eq!(usable(day(-9), day(-7), &ninety()), Some((day(-9), day(-7))));
    }

    #[test]
    fn h07_an_inverted_window_and_one_in_2099_are_not() {
        assert_eq!(usable(day(52), day(50), &ninety()), None);
        assert_eq!(usable(day(50), day(50), &ninety()), None);
        assert_eq!(usable(day(47_000), day(47_010), &ninety()), None);
        assert_eq!(usable(day(89), day(91), &ninety()), None);
        assert_eq!(usable(day(-50), day(50), &ninety()), None);
    }

    #[test]
    fn h07_a_window_that_reaches_beyond_the_end_is_cut() {
        let (start, end) = usable(day(80), day(100), &ninety()).expect("usable");

        assert_eq!(start, day(80));
        assert!(end < day(90), "{end}");
    }

    #[test]
    fn h07_the_moment_is_within_the_window_and_stays_where_it_is() {
        let window = (day(50), day(52));

        assert_eq!(pick(window, 0), day(50));
        assert_eq!(pick(window, u16::MAX), day(52));
        assert_eq!(pick(window, 999), pick(window, 999));
    }

    #[test]
    fn h07_the_server_is_asked_at_least_twice_a_day_and_at_most_once_a_minute() {
        for (asked, least, most) in [
            (Some(Duration::ZERO), 54, 60),
            (Some(Duration::from_hours(6)), 6 * 3240, 6 * 3600),
            (Some(Duration::from_hours(999)), 12 * 3240, 12 * 3600),
            (None, 6 * 3240, 6 * 3600),
        ] {
            for random in [0, u16::MAX] {
                let silence = silence(asked, &ninety(), random).as_secs();
                assert!((least..=most).contains(&silence), "{asked:?} {random}: {silence}");
            }
        }
    }

    #[test]
    fn h07_a_short_life_is_asked_about_more_often() {
        let hour = Lifetime { not_before: day(0), not_after: day(0) + SignedDuration::from_hours(1) };

        assert_eq!(silence(Some(Duration::from_hours(6)), &hour, 0), Duration::from_mins(6));
    }
}
