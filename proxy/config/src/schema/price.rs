//! `models[].routes[].price`: what a provider asks for a model. Exact: what is written in decimals is kept in millionths.

use std::{fmt, str::FromStr};

use serde::{Serialize, Serializer};
use thiserror::Error;

use crate::decode::Cursor;

/// Dollars for a million tokens of each kind. It belongs to a route and not to a model: the same model costs differently elsewhere.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct Price {
    /// Tokens of prompts.
    pub input: Rate,
    /// Of these, those that the provider had seen before; absent: as all others.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cached_input: Option<Rate>,
    /// Tokens of answers.
    pub output: Rate,
}

/// Dollars for a million tokens, in millionths; so it is also the millionth part of a millionth of a dollar for one token.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Rate(u64);

/// A text that is no price.
#[derive(Debug, Error, PartialEq, Eq)]
#[error("expected dollars, such as 2.50: up to six digits, and up to six after the point")]
pub struct NoRate;

/// Digits before the point, and after it.
const DIGITS: usize = 6;
/// Parts of a dollar that a rate counts.
const PARTS: u64 = 1_000_000;

impl Rate {
    /// Millionths of a dollar for a million tokens.
    pub fn micros(self) -> u64 {
        self.0
    }

    /// So many millionths of a dollar for a million tokens; `None` for more than can be written.
    pub fn from_micros(micros: u64) -> Option<Self> {
        (micros < 10_u64.pow(6) * PARTS).then_some(Self(micros))
    }
}

impl FromStr for Rate {
    type Err = NoRate;

    fn from_str(text: &str) -> Result<Self, NoRate> {
        let (whole, part) = text.split_once('.').unwrap_or((text, "0"));
        let is_number = |digits: &str| {
            (1..=DIGITS).contains(&digits.len()) && digits.bytes().all(|byte| byte.is_ascii_digit())
        };
        if !is_number(whole) || !is_number(part) {
            return Err(NoRate);
        }
        let number = |digits: &str| digits.parse::<u64>().map_err(|_| NoRate);
        Ok(Self(number(whole)? * PARTS + number(&format!("{part:0<DIGITS$}"))?))
    }
}

/// As short as it can be written without losing anything.
impl fmt::Display for Rate {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let text = format!("{}.{:06}", self.0 / PARTS, self.0 % PARTS);
        out.write_str(text.trim_end_matches('0').trim_end_matches('.'))
    }
}

/// As text: a floating point number is not what was written.
impl Serialize for Rate {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl Price {
    pub(super) fn decode(cursor: &Cursor<'_>) -> Self {
        let mut section = cursor.section();
        let price = Self {
            input: section.required("input", Cursor::rate).unwrap_or_default(),
            cached_input: section.read("cached_input", Cursor::rate),
            output: section.required("output", Cursor::rate).unwrap_or_default(),
        };
        section.finish();
        price
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_rate_is_kept_to_the_last_digit() {
        for (written, micros, shown) in [
            ("2.50", 2_500_000, "2.5"),
            ("0", 0, "0"),
            ("0.000001", 1, "0.000001"),
            ("0.1", 100_000, "0.1"),
            ("10", 10_000_000, "10"),
            ("999999.999999", 999_999_999_999, "999999.999999"),
        ] {
            let rate: Rate = written.parse().expect(written);
            assert_eq!((rate.micros(), rate.to_string().as_str()), (micros, shown), "{written}");
            assert_eq!((rate.to_string().parse(), Rate::from_micros(micros)), (Ok(rate), Some(rate)));
        }
        assert_eq!(Rate::from_micros(1_000_000_000_000), None);
    }

    #[test]
    fn what_is_no_price_is_refused() {
        for text in
            ["", ".5", "5.", "-1", "+1", "1e3", "1_000", "1,5", "0.0000001", "1000000", "0x1", " 1", "١"]
        {
            assert_eq!(text.parse::<Rate>(), Err(NoRate), "{text:?}");
        }
    }
}
