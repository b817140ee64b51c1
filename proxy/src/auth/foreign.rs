//! Tokens of other issuers: who may issue, with which keys, and what was verified lately.

mod fetch;
mod source;

use std::sync::Arc;

use vibectl_token::Rejection;
use vibectl_token::foreign::{
    ForeignClaims, ForeignExpectation, ForeignKeySet, Issuer, KeySource, parse_issuers, verify_foreign,
};

pub(super) use self::source::Refresh;
use self::source::Source;
#[cfg(test)]
pub(super) use self::source::tests::Provider;
use crate::auth::cause::{Cause, Denied};
use crate::auth::verified::{TokenDigest, VerifiedTokens};
use crate::cli::outcome::chain;
use crate::metrics::family::Family;
use crate::provider::address::AddressRule;

/// The issuers in force.
#[derive(Debug)]
pub(super) struct Issuers {
    file: Vec<u8>,
    issuers: Vec<Known>,
}

/// One of them.
#[derive(Clone, Debug)]
pub(super) struct Known {
    issuer: Issuer,
    keys: Keys,
}

#[derive(Clone, Debug)]
enum Keys {
    /// They came with the list.
    Inline(Arc<KeysInForce>),
    /// They are fetched, and change.
    Fetched(Source),
}

/// A key set, with the tokens that it verified.
#[derive(Debug, Default)]
struct KeysInForce {
    set: ForeignKeySet,
    verified: VerifiedTokens<ForeignClaims>,
}

impl Issuers {
    /// Reads a list. Keys that have to be fetched come later; those of an issuer that was there before are kept.
    pub(super) fn decode(
        file: &[u8],
        last: Option<&Self>,
        rule: AddressRule,
        fetches: &Arc<Family<1>>,
    ) -> Result<Self, String> {
        let issuers = parse_issuers(file).map_err(|error| chain(&error))?;
        let known = |issuer| Known::of(issuer, last, rule, fetches);
        Ok(Self { file: file.to_owned(), issuers: issuers.into_iter().map(known).collect::<Result<_, _>>()? })
    }

    /// Issuers that stand in no list. One that cannot be used stays as it was, if it was there; the reasons come with it.
    pub(super) fn of_config(
        issuers: Vec<Issuer>,
        last: Option<&Self>,
        fetches: &Arc<Family<1>>,
    ) -> (Self, Vec<String>) {
        let mut problems = Vec::new();
        let known = |issuer: Issuer| {
            let name = issuer.name.clone();
            Known::of(issuer, last, AddressRule::Any, fetches)
                .map_err(|reason| problems.push(format!("issuer {name}: {reason}")))
                .ok()
                .or_else(|| last?.named(&name).cloned())
        };
        let issuers = issuers.into_iter().filter_map(known).collect();
        (Self { file: Vec::new(), issuers }, problems)
    }

    /// The one of this name, as it is in force.
    pub(super) fn named(&self, name: &str) -> Option<&Known> {
        self.issuers.iter().find(|known| known.issuer.name == name)
    }

    pub(super) fn file(&self) -> &[u8] {
        &self.file
    }

    /// Whether tokens of the issuer of this name are judged at all.
    pub(super) fn trusts(&self, name: &str) -> bool {
        self.named(name).is_some()
    }

    /// The one with this `iss`, if its tokens are ours to judge.
    pub(super) fn with_iss(&self, issuer: &str) -> Option<&Known> {
        self.issuers.iter().find(|known| known.issuer.issuer == issuer)
    }
}

impl Known {
    /// With the keys that it had, where nothing about it has changed.
    fn of(
        issuer: Issuer,
        last: Option<&Issuers>,
        rule: AddressRule,
        fetches: &Arc<Family<1>>,
    ) -> Result<Self, String> {
        if let Some(same) = last.and_then(|last| last.issuers.iter().find(|known| known.issuer == issuer)) {
            return Ok(same.clone());
        }
        let keys = match &issuer.keys {
            KeySource::Inline(keys) => {
                Keys::Inline(Arc::new(KeysInForce::parse(keys.to_string().as_bytes())?))
            }
            KeySource::Url(_) | KeySource::Discovery => Keys::Fetched(Source::start(&issuer, rule, fetches)?),
        };
        Ok(Self { issuer, keys })
    }

    /// As it was configured.
    pub(super) fn issuer(&self) -> &Issuer {
        &self.issuer
    }

    /// What rows and rules call it.
    pub(super) fn name(&self) -> &str {
        &self.issuer.name
    }

    /// What a good token says.
    pub(super) fn verify(&self, token: &str, now: i64) -> Result<Arc<ForeignClaims>, Denied> {
        let keys = match &self.keys {
            Keys::Inline(keys) => Arc::clone(keys),
            Keys::Fetched(source) => source.keys().ok_or_else(|| self.without_keys(Cause::Unavailable))?,
        };
        let expected = ForeignExpectation { issuer: &self.issuer.issuer, audiences: &self.issuer.audiences };
        keys.verify(&expected, token, now).map_err(|rejection| match rejection {
            Rejection::UnknownKey => self.without_keys(rejection),
            rejection => rejection.into(),
        })
    }

    /// A refusal that newer keys may turn into an acceptance.
    fn without_keys(&self, cause: impl Into<Denied>) -> Denied {
        let refresh = match &self.keys {
            Keys::Inline(_) => None,
            Keys::Fetched(source) => Some(source.refresh()),
        };
        Denied { refresh, ..cause.into() }
    }
}

impl KeysInForce {
    fn parse(json: &[u8]) -> Result<Self, String> {
        let set = ForeignKeySet::parse(json).map_err(|error| chain(&error))?;
        Ok(Self { set, verified: VerifiedTokens::default() })
    }

    fn verify(
        &self,
        expected: &ForeignExpectation<'_>,
        token: &str,
        now: i64,
    ) -> Result<Arc<ForeignClaims>, Rejection> {
        let digest = TokenDigest::of(token);
        if let Some(claims) = self.verified.get(&digest) {
            claims.check_time(now)?;
            return Ok(claims);
        }
        let claims = Arc::new(verify_foreign(&self.set, expected, token, now)?);
        self.verified.put(&digest, Arc::clone(&claims), now);
        Ok(claims)
    }
}
