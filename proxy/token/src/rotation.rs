//! The life of signing keys: prepare, publish, acknowledged, activate, retire.
//!
//! A key signs only after every verifier has it, and verifiers keep it until the last token that it signed has ended.
//! [`Ring::advance`] makes one step at a time; the step counts when the ring has been written down, before the next.

use serde::{Deserialize, Serialize};

use crate::algorithm::Algorithm;
use crate::claims::LEEWAY_SECONDS;

/// More keys than this are not made: a key set has a bound, and verifiers keep every key until its tokens have ended.
/// A rotation that comes too often waits for the oldest key to go.
pub const MAX_KEYS: usize = 16;

/// The keys of one proxy and where each is in its life. Without the keys themselves: those are found by `kid`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Ring {
    keys: Vec<Key>,
}

/// One key's place in its life.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Key {
    /// Its name.
    pub kid: String,
    /// What it signs with.
    pub algorithm: Algorithm,
    /// Where it is.
    pub stage: Stage,
    /// The longest life, in seconds, that a token of this key may have been given.
    pub longest_ttl: i64,
}

/// Where a key is in its life.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Stage {
    /// It exists. Nobody but its owner knows it.
    Prepared,
    /// Verifiers are given it.
    Published,
    /// Verifiers have it, and it signs.
    Active {
        /// From when.
        since: i64,
    },
    /// It signs no more; verifiers keep it for what it signed.
    Retiring {
        /// Until when.
        until: i64,
    },
}

/// What the user asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Policy {
    /// The algorithm of new keys. A change of it makes a new key at once.
    pub algorithm: Algorithm,
    /// How long a key signs, in seconds.
    pub rotate_every: i64,
    /// The longest life of any token, in seconds.
    pub longest_ttl: i64,
}

/// What is so at the moment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Observed {
    /// Seconds since 1970.
    pub now: i64,
    /// Every ready verifier has exactly [`Ring::published`] of this ring in force.
    pub acknowledged: bool,
    /// No token that is good, or may be signed now, ends later than this; `None` when that cannot be told.
    pub covered_until: Option<i64>,
}

/// What is to be done next.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Step {
    /// Generate a key with this algorithm and write it down together with [`Ring::prepare`].
    Generate(Algorithm),
    /// Write this ring down, publish what it says, and ask again.
    Write(Ring),
    /// Nothing, until verifiers acknowledge or this second comes.
    Wait {
        /// When time alone makes the next step.
        until: Option<i64>,
    },
}

impl Ring {
    /// The keys in the order in which they were made.
    pub fn keys(&self) -> &[Key] {
        &self.keys
    }

    /// The names of the keys that verifiers are to have.
    pub fn published(&self) -> impl Iterator<Item = &str> {
        self.keys.iter().filter(|key| key.stage != Stage::Prepared).map(|key| key.kid.as_str())
    }

    /// The key that signs.
    pub fn active(&self) -> Option<&Key> {
        self.keys.iter().find(|key| matches!(key.stage, Stage::Active { .. }))
    }

    /// The key that signs a token of this lifetime; none while the ring does not yet know that there may be one so long.
    pub fn signer(&self, ttl: i64) -> Option<&Key> {
        self.active().filter(|key| key.longest_ttl >= ttl)
    }

    /// This ring with a key just generated. Verifiers do not get it before the next step.
    pub fn prepare(&self, kid: &str, algorithm: Algorithm) -> Self {
        let mut ring = self.clone();
        ring.keys.push(Key { kid: kid.to_owned(), algorithm, stage: Stage::Prepared, longest_ttl: 0 });
        ring
    }

    /// This ring without a key, whatever its stage: an emergency. Every token that it signed ends.
    pub fn revoke(&self, kid: &str) -> Self {
        Self { keys: self.keys.iter().filter(|key| key.kid != kid).cloned().collect() }
    }

    /// The next step. The same input gives the same step, and each moves at most one key on.
    pub fn advance(&self, policy: &Policy, observed: Observed) -> Step {
        let stepped = self
            .publish()
            .or_else(|| self.activate(policy, observed))
            .or_else(|| self.shorten(observed.covered_until))
            .or_else(|| self.remove_retired(observed.now))
            .or_else(|| self.remember_ttl(policy.longest_ttl));
        match stepped {
            Some(ring) => Step::Write(ring),
            None if self.wants_key(policy, observed.now) => Step::Generate(policy.algorithm),
            None => Step::Wait { until: self.next_due(policy) },
        }
    }

    fn publish(&self) -> Option<Self> {
        self.change(|key| key.stage == Stage::Prepared, |key| key.stage = Stage::Published)
    }

    /// The first key signs without waiting: there is no older one to sign instead, and whoever hands a token out
    /// waits for its row, which verifiers get together with the keys.
    fn activate(&self, policy: &Policy, observed: Observed) -> Option<Self> {
        if !observed.acknowledged && self.active().is_some() {
            return None;
        }
        let mut ring = self.change(
            |key| key.stage == Stage::Published,
            |key| {
                key.stage = Stage::Active { since: observed.now };
                key.longest_ttl = policy.longest_ttl;
            },
        )?;
        if let Some(former) = self.active()
            && let Some(key) = ring.keys.iter_mut().find(|key| key.kid == former.kid)
        {
            let longest = observed.now.saturating_add(key.longest_ttl);
            let until = observed.covered_until.map_or(longest, |covered| covered.min(longest));
            key.stage = Stage::Retiring { until: until.saturating_add(LEEWAY_SECONDS) };
        }
        Some(ring)
    }

    /// Long tokens that are gone keep no key. All keys at once: this is the same for each.
    fn shorten(&self, covered_until: Option<i64>) -> Option<Self> {
        let bound = covered_until?.saturating_add(LEEWAY_SECONDS);
        let mut ring = self.clone();
        for key in &mut ring.keys {
            if let Stage::Retiring { until } = &mut key.stage {
                *until = bound.min(*until);
            }
        }
        (ring != *self).then_some(ring)
    }

    fn remove_retired(&self, now: i64) -> Option<Self> {
        let over = |key: &&Key| matches!(key.stage, Stage::Retiring { until } if until <= now);
        self.keys.iter().find(over).map(|key| self.revoke(&key.kid))
    }

    /// A shorter life for new tokens does not shorten that of tokens already made.
    fn remember_ttl(&self, longest_ttl: i64) -> Option<Self> {
        self.change(
            |key| matches!(key.stage, Stage::Active { .. }) && key.longest_ttl < longest_ttl,
            |key| key.longest_ttl = longest_ttl,
        )
    }

    fn change(&self, which: impl Fn(&Key) -> bool, how: impl FnOnce(&mut Key)) -> Option<Self> {
        let mut ring = self.clone();
        ring.keys.iter_mut().find(|key| which(key)).map(how)?;
        Some(ring)
    }

    fn wants_key(&self, policy: &Policy, now: i64) -> bool {
        self.has_room()
            && self.active().is_none_or(|key| {
                key.algorithm != policy.algorithm || rotation_due(key, policy).is_some_and(|due| due <= now)
            })
    }

    /// One new key at a time, and not more than verifiers hold.
    fn has_room(&self) -> bool {
        let on_its_way = |key: &Key| matches!(key.stage, Stage::Prepared | Stage::Published);
        self.keys.len() < MAX_KEYS && !self.keys.iter().any(on_its_way)
    }

    fn next_due(&self, policy: &Policy) -> Option<i64> {
        let due = |key: &Key| match key.stage {
            Stage::Active { .. } if self.has_room() => rotation_due(key, policy),
            Stage::Retiring { until } => Some(until),
            Stage::Prepared | Stage::Published | Stage::Active { .. } => None,
        };
        self.keys.iter().filter_map(due).min()
    }
}

fn rotation_due(key: &Key, policy: &Policy) -> Option<i64> {
    match key.stage {
        Stage::Active { since } => Some(since.saturating_add(policy.rotate_every)),
        Stage::Prepared | Stage::Published | Stage::Retiring { .. } => None,
    }
}
