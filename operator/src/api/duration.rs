//! Durations as Kubernetes writes them: "90s", "720h", "1h30m".

use std::{borrow::Cow, fmt, str::FromStr, time};

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

/// A span of time that is not negative.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub struct Duration(time::Duration);

impl Duration {
    /// So many hours.
    pub const fn from_hours(hours: u64) -> Self {
        Self(time::Duration::from_secs(hours * 3600))
    }

    /// So many seconds.
    pub const fn from_secs(seconds: u64) -> Self {
        Self(time::Duration::from_secs(seconds))
    }

    /// Whole seconds, rounded up so that something short does not become nothing.
    pub fn as_secs_ceil(self) -> u64 {
        self.0.as_secs() + u64::from(self.0.subsec_nanos() > 0)
    }
}

impl From<Duration> for time::Duration {
    fn from(duration: Duration) -> Self {
        duration.0
    }
}

/// The largest unit that needs no fraction, so that "720h" stays "720h".
impl fmt::Display for Duration {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (self.0.as_secs(), self.0.subsec_millis()) {
            (seconds, 0) if seconds > 0 && seconds % 3600 == 0 => write!(formatter, "{}h", seconds / 3600),
            (seconds, 0) if seconds > 0 && seconds % 60 == 0 => write!(formatter, "{}m", seconds / 60),
            (seconds, 0) => write!(formatter, "{seconds}s"),
            (0, millis) => write!(formatter, "{millis}ms"),
            (seconds, millis) => write!(formatter, "{seconds}s{millis}ms"),
        }
    }
}

impl FromStr for Duration {
    type Err = ParseDurationError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let bad = || ParseDurationError(text.to_owned());
        // The parser of kube panics on what a Duration cannot hold: 32 characters of digits would be enough.
        if text.is_empty()
            || text.len() > MAX_LENGTH
            || text.split(|c: char| !c.is_ascii_digit()).any(|d| d.len() > 9)
        {
            return Err(bad());
        }
        let parsed: kube::core::Duration = text.parse().map_err(|_| bad())?;
        if parsed.is_negative() { Err(bad()) } else { Ok(Self(parsed.into())) }
    }
}

impl Serialize for Duration {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Duration {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Cow::<str>::deserialize(deserializer)?.parse().map_err(de::Error::custom)
    }
}

impl JsonSchema for Duration {
    fn schema_name() -> Cow<'static, str> {
        "Duration".into()
    }

    fn inline_schema() -> bool {
        true
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({ "type": "string", "maxLength": MAX_LENGTH, "pattern": PATTERN })
    }
}

/// Text that is no duration.
#[derive(Debug, thiserror::Error)]
#[error("{0:?} is not a duration like \"90s\", \"15m\" or \"720h\"")]
pub struct ParseDurationError(String);

const MAX_LENGTH: usize = 32;
/// What a duration looks like, for the schema.
pub(super) const PATTERN: &str = r"^([0-9]{1,9}(\.[0-9]{1,9})?(h|m|s|ms))+$";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_usual_spellings_survive_a_round_trip() {
        for text in ["720h", "90s", "15m", "250ms", "1s500ms", "0s"] {
            assert_eq!(text.parse::<Duration>().unwrap().to_string(), text);
        }
        assert_eq!("1h30m".parse::<Duration>().unwrap().to_string(), "90m");
        assert_eq!("1.5h".parse::<Duration>().unwrap().to_string(), "90m");
    }

    #[test]
    fn what_is_no_duration_is_refused_and_nothing_panics() {
        for text in ["", "5", "h", "-5m", "1d", "99999999999999999999999999999h", "1e300h", "NaNh", "infs"] {
            assert!(text.parse::<Duration>().is_err(), "{text}");
        }
    }
}
