//! How long to wait after a failure. Pure: randomness is passed in.

use std::time::Duration;

use jiff::{Timestamp, fmt::rfc2822};

/// After the first, second, third failure in a row; later ones wait for the last of these.
const SCHEDULE: [Duration; 4] =
    [Duration::from_mins(1), Duration::from_mins(10), Duration::from_mins(100), Duration::from_hours(24)];

/// The longest that a server can make us wait.
pub const LONGEST: Duration = Duration::from_hours(24);
/// The shortest that a server can make us wait.
pub const SHORTEST: Duration = Duration::from_secs(1);
/// From this failure in a row on a server can only ask for more time than the schedule, not for less.
const PATIENCE: u32 = 4;

/// The wait after this many failures in a row. `retry_after` is what the server asked for, if it did.
///
/// A tenth is added at random, so that many servers that failed together do not come back together.
pub fn delay(failures: u32, retry_after: Option<Duration>, random: u16) -> Duration {
    let index = usize::try_from(failures.saturating_sub(1)).unwrap_or(usize::MAX).min(SCHEDULE.len() - 1);
    let scheduled = SCHEDULE.get(index).copied().unwrap_or(LONGEST);
    let wait = match retry_after {
        None => scheduled,
        Some(asked) if failures < PATIENCE => asked,
        Some(asked) => asked.max(scheduled),
    };
    let wait = wait.clamp(SHORTEST, LONGEST);
    wait + wait.mul_f64(f64::from(random) / f64::from(u16::MAX) / 10.0)
}

/// Reads the value of a `Retry-After` header: seconds, or a date (RFC 9110, 10.2.3). Garbage is as good as none.
pub fn retry_after(value: &str, now: Timestamp) -> Option<Duration> {
    let value = value.trim();
    if let Ok(seconds) = value.parse() {
        return Some(Duration::from_secs(seconds));
    }
    let date = rfc2822::DateTimeParser::new().parse_timestamp(value).ok()?;
    // A date that has passed means now.
    Some(Duration::try_from(date.duration_since(now)).unwrap_or(Duration::ZERO))
}

#[cfg(test)]
mod tests {
    use super::*;

    const MINUTE: Duration = Duration::from_mins(1);

    #[test]
    fn h05_without_a_word_of_the_server_the_waits_are_1_10_and_100_minutes_and_then_a_day() {
        let waits: Vec<_> = (1..=6).map(|failures| delay(failures, None, 0).as_secs() / 60).collect();

        assert_eq!(waits, [1, 10, 100, 1440, 1440, 1440]);
    }

    #[test]
    fn h05_jitter_only_adds_and_at_most_a_tenth() {
        assert_eq!(delay(1, None, 0), MINUTE);
        assert_eq!(delay(1, None, u16::MAX), MINUTE + MINUTE / 10);
    }

    #[test]
    fn h05_what_the_server_asks_for_is_obeyed_and_clamped() {
        let asked = |seconds| delay(1, Some(Duration::from_secs(seconds)), 0);

        assert_eq!(asked(1), Duration::from_secs(1));
        assert_eq!(asked(0), SHORTEST);
        assert_eq!(asked(3600), Duration::from_hours(1));
        assert_eq!(asked(u64::MAX), LONGEST);
    }

    #[test]
    fn h05_a_server_that_always_asks_for_a_second_gets_the_schedule_in_the_end() {
        assert_eq!(delay(4, Some(Duration::from_secs(1)), 0), LONGEST);
    }

    #[test]
    fn h05_retry_after_is_seconds_or_a_date_and_garbage_is_none() {
        let now: Timestamp = "1999-12-31T23:59:00Z".parse().expect("a time");

        assert_eq!(retry_after("120", now), Some(Duration::from_secs(120)));
        assert_eq!(retry_after("Fri, 31 Dec 1999 23:59:59 GMT", now), Some(Duration::from_secs(59)));
        assert_eq!(retry_after("Fri, 31 Dec 1999 23:58:00 GMT", now), Some(Duration::ZERO));
        for garbage in ["", "soon", "-5", "1.5", "Fri, 99 Dec 1999"] {
            assert_eq!(retry_after(garbage, now), None, "{garbage:?}");
        }
    }
}
