//! `providers[].retries`: whether a provider that failed in passing is asked once more.

use crate::decode::Cursor;

/// Retries of one route of a provider, after every other route has failed too. They are per provider and not for the whole server:
/// how soon a failure passes is a property of who failed, a model server next door or somebody's API.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Retries {
    /// How often the same route is asked again; 0: never.
    pub attempts: u32,
    /// The longest pause before the first retry; it doubles with each. The pause itself is drawn between zero and that.
    pub base_ms: u32,
    /// The longest pause at all; a provider that wants to be left alone for longer is not waited for.
    pub cap_ms: u32,
}

impl Default for Retries {
    /// One, since callers have retries of their own, and theirs and ours multiply.
    fn default() -> Self {
        Self { attempts: 1, base_ms: 200, cap_ms: 5000 }
    }
}

/// More only keeps callers waiting.
const MAX_ATTEMPTS: u32 = 5;
/// A minute.
const MAX_PAUSE_MS: u32 = 60_000;

impl Retries {
    pub(super) fn decode(cursor: &Cursor<'_>) -> Self {
        let default = Self::default();
        let mut section = cursor.section();
        let mut pause =
            |key, default| section.read(key, |cursor| cursor.integer(1..=MAX_PAUSE_MS)).unwrap_or(default);
        let (base_ms, cap_ms) = (pause("base_ms", default.base_ms), pause("cap_ms", default.cap_ms));
        let attempts = section.read("attempts", |cursor| cursor.integer(0..=MAX_ATTEMPTS));
        section.finish();
        if base_ms > cap_ms {
            cursor.mistake(format!("base_ms ({base_ms}) is longer than cap_ms ({cap_ms})"));
        }
        Self { attempts: attempts.unwrap_or(default.attempts), base_ms, cap_ms }
    }
}

serialize_differences!(Retries { attempts, base_ms, cap_ms });
