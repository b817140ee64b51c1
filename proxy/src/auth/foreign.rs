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
use crate::auth::verified::{TokenDigest, VerifiedTokens};
use crate::auth::cause::{Cause, Denied};
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
#[derive(Debug)]
pub(super) struct Known {
    issuer: Issuer,
    keys: Keys,
}

#[derive(Debug)]
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
        let known = |issuer: Issuer| {
            let before = last.and_then(|last| last.issuers.iter().find(|known| known.issuer == issuer));
            let keys = match (before, &issuer.keys) {
                (Some(Known { keys: Keys::Fetched(source), .. }), _) => Keys::Fetched(source.clone()),
                (_, KeySource::Inline(keys)) => {
                    Keys::Inline(Arc::new(KeysInForce::parse(keys.to_string().as_bytes())?))
                }
                (_, KeySource::Url(_) | KeySource::Discovery) => {
                    Keys::Fetched(Source::start(&issuer, rule, fetches)?)
                }
            };
            Ok::<_, String>(Known { issuer, keys })
        };
        Ok(Self { file: file.to_owned(), issuers: issuers.into_iter().map(known).collect::<Result<_, _>>()? })
    }

    pub(super) fn file(&self) -> &[u8] {
        &self.file
    }

    /// Whether tokens of the issuer of this name are judged at all.
    pub(super) fn trusts(&self, name: &str) -> bool {
        self.issuers.iter().any(|known| known.issuer.name == name)
    }

    /// The one with this `iss`, if its tokens are ours to judge.
    pub(super) fn of(&self, issuer: &str) -> Option<&Known> {
        self.issuers.iter().find(|known| known.issuer.issuer == issuer)
    }
}

impl Known {
    /// What rows call it.
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
