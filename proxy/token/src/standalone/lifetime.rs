//! How long a token lasts, as people write it: `30`, `30d`, `12m`, `1y`.

use std::str::FromStr;

use thiserror::Error;

const SECONDS_PER_DAY: i64 = 86_400;
/// More is a slip of the finger.
const MAX_DAYS: i64 = 36_500;

/// A number of days from 1 to 36500.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Lifetime {
    days: i64,
}

/// The text is not a lifetime.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
#[error(
    "expected a number of days from 1 to 36500, or a number with d (days), m (months of 30 days) or y (years of 365 days), such as 30d, 12m or 1y"
)]
pub struct LifetimeError;

impl Lifetime {
    /// A lifetime of so many days.
    pub fn from_days(days: i64) -> Result<Self, LifetimeError> {
        if (1..=MAX_DAYS).contains(&days) { Ok(Self { days }) } else { Err(LifetimeError) }
    }

    /// The lifetime in seconds.
    pub fn seconds(self) -> i64 {
        self.days * SECONDS_PER_DAY
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
        let number: i64 = number.parse().map_err(|_| LifetimeError)?;
        Self::from_days(number.checked_mul(days_each).ok_or(LifetimeError)?)
    }
}
