//! Amounts of money, exactly: "12.0000975". Text in the API, since a floating point number is not what was counted.

use std::{borrow::Cow, fmt, str::FromStr};

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

/// Dollars, in millionths of millionths, which is how servers count them. It stops at eighteen million.
#[derive(Clone, Copy, Debug, Default, Eq, Ord, PartialEq, PartialOrd)]
pub struct Dollars(u64);

/// Digits after the point, and parts of a dollar.
const DIGITS: usize = 12;
const PARTS: u64 = 1_000_000_000_000;
/// What an amount looks like, for the schema.
const PATTERN: &str = r"^[0-9]{1,8}(\.[0-9]{1,12})?$";

impl Dollars {
    /// So many millionths of millionths.
    pub const fn from_picos(picos: u64) -> Self {
        Self(picos)
    }

    /// The sum of both.
    #[must_use]
    pub fn plus(self, other: Self) -> Self {
        Self(self.0.saturating_add(other.0))
    }

    /// What is left of it without the other; nothing where the other is more.
    #[must_use]
    pub fn less(self, other: Self) -> Self {
        Self(self.0.saturating_sub(other.0))
    }
}

/// As short as can be.
impl fmt::Display for Dollars {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let text = format!("{}.{:0DIGITS$}", self.0 / PARTS, self.0 % PARTS);
        formatter.write_str(text.trim_end_matches('0').trim_end_matches('.'))
    }
}

/// Text that is no amount.
#[derive(Debug, thiserror::Error)]
#[error("{0:?} is not an amount of dollars like \"12.5\"")]
pub struct ParseDollarsError(String);

impl FromStr for Dollars {
    type Err = ParseDollarsError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let parse = || {
            let (whole, part) = text.split_once('.').unwrap_or((text, "0"));
            let is_number = |digits: &str, most| {
                (1..=most).contains(&digits.len()) && digits.bytes().all(|byte| byte.is_ascii_digit())
            };
            let parts: u64 = format!("{part:0<DIGITS$}").parse().ok()?;
            let whole: u64 = Some(whole).filter(|whole| is_number(whole, 8))?.parse().ok()?;
            whole.checked_mul(PARTS)?.checked_add(parts).filter(|_| is_number(part, DIGITS))
        };
        parse().map(Self).ok_or_else(|| ParseDollarsError(text.to_owned()))
    }
}

impl Serialize for Dollars {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Dollars {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Cow::<str>::deserialize(deserializer)?.parse().map_err(de::Error::custom)
    }
}

impl JsonSchema for Dollars {
    fn schema_name() -> Cow<'static, str> {
        "Dollars".into()
    }

    fn inline_schema() -> bool {
        true
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({ "type": "string", "maxLength": 21, "pattern": PATTERN })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_amount_reads_as_what_it_was_to_the_last_digit() {
        for picos in [0, 1, 97_500_000, 400_000_000_000, PARTS, 12 * PARTS + 1, u64::MAX] {
            let dollars = Dollars::from_picos(picos);
            assert_eq!(dollars.to_string().parse::<Dollars>().unwrap(), dollars, "{dollars}");
        }
        assert_eq!(Dollars::from_picos(97_500_000).to_string(), "0.0000975");
    }

    #[test]
    fn what_is_no_amount_is_refused() {
        for text in ["", ".", "1.", ".1", "-1", "1e3", "0.0000000000001", "99999999", "x", "1.+2"] {
            assert!(text.parse::<Dollars>().is_err(), "{text}");
        }
    }
}
