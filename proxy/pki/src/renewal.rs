//! When a certificate is renewed. Pure: the clock and the jitter are passed in.

use jiff::{SignedDuration, Timestamp};

/// From when until when a certificate is valid.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Lifetime {
    /// First moment of validity.
    pub not_before: Timestamp,
    /// Last moment of validity.
    pub not_after: Timestamp,
}

impl Lifetime {
    /// Two thirds of the actual lifetime, whatever was asked for: an issuer may have cut it short.
    pub fn renew_at(&self) -> Timestamp {
        self.at(2, 3)
    }

    /// Half-way between [`Self::renew_at`] and the end: whoever renews should have done so.
    pub fn overdue_at(&self) -> Timestamp {
        self.at(5, 6)
    }

    /// Up to a tenth of the lifetime before [`Self::renew_at`], so that replicas do not renew in step.
    ///
    /// `random` is any number, drawn by the caller.
    pub fn renew_at_with_jitter(&self, random: u16) -> Timestamp {
        let tenth = self.length() / 10;
        let early = tenth.as_millis() * i128::from(random) / i128::from(u16::MAX);
        let early = SignedDuration::from_millis(i64::try_from(early).unwrap_or(0));
        self.renew_at().checked_sub(early).unwrap_or(self.not_before)
    }

    /// True from `not_before` through `not_after`.
    pub fn contains(&self, now: Timestamp) -> bool {
        self.not_before <= now && now <= self.not_after
    }

    /// Whole days until the end, rounded down; negative once it has passed.
    pub fn days_left(&self, now: Timestamp) -> i64 {
        self.not_after.duration_since(now).as_secs().div_euclid(24 * 60 * 60)
    }

    /// The moment at which `part` of `whole` parts of the lifetime have passed.
    pub(crate) fn at(&self, part: i32, whole: i32) -> Timestamp {
        self.not_before.checked_add(self.length() / whole * part).unwrap_or(self.not_after)
    }

    fn length(&self) -> SignedDuration {
        self.not_after.duration_since(self.not_before).max(SignedDuration::ZERO)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const DAY: i64 = 24 * 60 * 60;

    fn days(from: i64, until: i64) -> Lifetime {
        Lifetime { not_before: second(from * DAY), not_after: second(until * DAY) }
    }

    fn second(second: i64) -> Timestamp {
        Timestamp::from_second(second).expect("in range")
    }

    #[test]
    fn renewal_is_due_at_two_thirds_of_the_actual_lifetime() {
        assert_eq!(days(100, 190).renew_at(), second(160 * DAY));
        assert_eq!(days(100, 190).overdue_at(), second(175 * DAY));
    }

    #[test]
    fn jitter_only_brings_renewal_forward_and_by_no_more_than_a_tenth() {
        let lifetime = days(0, 90);

        assert_eq!(lifetime.renew_at_with_jitter(0), second(60 * DAY));
        assert_eq!(lifetime.renew_at_with_jitter(u16::MAX), second(51 * DAY));
    }

    #[test]
    fn an_upside_down_lifetime_is_due_at_its_start() {
        assert_eq!(days(9, 3).renew_at(), second(9 * DAY));
        assert_eq!(days(9, 3).renew_at_with_jitter(u16::MAX), second(9 * DAY));
    }

    #[test]
    fn days_left_round_down_and_go_below_zero() {
        let lifetime = days(0, 10);

        assert_eq!(lifetime.days_left(second(0)), 10);
        assert_eq!(lifetime.days_left(second(1)), 9);
        assert_eq!(lifetime.days_left(second(10 * DAY)), 0);
        assert_eq!(lifetime.days_left(second(10 * DAY + 1)), -1);
        assert!(lifetime.contains(second(10 * DAY)) && !lifetime.contains(second(10 * DAY + 1)));
    }
}
