//! How long a token lasts, as people write it: `30`, `30d`, `12m`, `1y`.

use std::str::FromStr;

use thiserror::Error;

const SECONDS_PER_DAY: i64 = 86_400;
/// A number of days from 1 to 36500.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Lifetime {
    days: u32,
}

/// The text is not a lifetime.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
#[error(
    "expected a number of days from 1 to 36500, or a number with d (days), m (months of 30 days) or y (years of 365 days), such as 30d, 12m or 1y"
)]
pub struct LifetimeError;

impl Lifetime {
    /// More is a slip of the finger.
    pub const MAX_DAYS: u32 = 36_500;

    /// A lifetime of so many days.
    pub fn from_days(days: u32) -> Result<Self, LifetimeError> {
        if (1..=Self::MAX_DAYS).contains(&days) { Ok(Self { days }) } else { Err(LifetimeError) }
    }

    /// The lifetime in seconds.
    pub fn seconds(self) -> i64 {
        i64::from(self.days) * SECONDS_PER_DAY
    }
}

impl FromStr for Lifetime {
    type Err = LifetimeError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let text = text.trim();
        let (number, days_each) = match text.chars().last().map(|unit| unit.to_ascii_lowercase()) {
            Some('d') => (text.get(..text.len() - 1), 1),
            Some('m') => (text.get(..text.len() - 1), 30),
            Some('y') => (text.get(..text.len() - 1), 365),
            _ => (Some(text), 1),
        };
        let number =
            number.filter(|number| number.bytes().all(|byte| byte.is_ascii_digit())).ok_or(LifetimeError)?;
        let number: u32 = number.parse().map_err(|_| LifetimeError)?;
        Self::from_days(number.checked_mul(days_each).ok_or(LifetimeError)?)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn days(text: &str) -> Option<u32> {
        text.parse().ok().map(|lifetime: Lifetime| lifetime.days)
    }

    #[test]
    fn days_months_and_years_are_read_as_the_original_reads_them() {
        assert_eq!(days("30"), Some(30));
        assert_eq!(days("30d"), Some(30));
        assert_eq!(days(" 12M "), Some(360));
        assert_eq!(days("1y"), Some(365));
        assert_eq!(days("100Y"), Some(36_500));
    }

    #[test]
    fn what_is_no_lifetime_is_refused() {
        for text in [
            "",
            "d",
            "1w",
            "12h",
            "1.5d",
            "0d",
            "-5d",
            "+5d",
            "1 d",
            "101y",
            "9999999999999999999",
            "1\u{661}d",
            "\u{212a}",
        ] {
            assert_eq!(days(text), None, "{text:?}");
        }
    }

    proptest! {
        #[test]
        fn no_text_panics_or_gives_less_than_a_day(text in "\\PC{0,12}") {
            if let Ok(lifetime) = text.parse::<Lifetime>() {
                prop_assert!(lifetime.seconds() >= SECONDS_PER_DAY);
            }
        }
    }
}
