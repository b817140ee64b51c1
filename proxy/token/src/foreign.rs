//! Tokens that others issue: the service accounts of a Kubernetes cluster, an OpenID Connect provider (RFC 8725).
//!
//! They prove who calls and nothing else: what the caller may do stands in the row that names it. So what is required
//! is less than of our own tokens (`typ` and `jti` differ from issuer to issuer) and the rest is the same: the key is
//! chosen by issuer and `kid`, brings its one algorithm, and issuer, audience and times must be right.

mod issuers;
mod key_set;
mod value;

use std::collections::BTreeMap;

use serde::Deserialize;
use serde::de::IgnoredAny;

use crate::claims::LEEWAY_SECONDS;
use crate::jws::Unverified;
use crate::rejection::Rejection;
use crate::verify::MAX_TOKEN_BYTES;

pub use issuers::{Issuer, IssuersError, KeySource, MAX_ISSUERS, parse_issuers, render_issuers};
pub use key_set::{ForeignKeySet, ForeignKeySetError};
use value::Claims;
pub use value::Value;

/// More audiences than this are nobody's.
const MAX_AUDIENCES: usize = 16;
/// Types of tokens that identify somebody; absent is one too (RFC 7519, 5.1). Ours and `at+jwt` of others are the same.
const TYPES: [&str; 2] = ["JWT", "at+jwt"];

/// The claim that names the subject in its issuer's own words.
pub const SUBJECT: &str = "sub";

/// Whose tokens are accepted, and for whom they must be.
#[derive(Clone, Copy, Debug)]
pub struct ForeignExpectation<'a> {
    /// The exact `iss`.
    pub issuer: &'a str,
    /// One of these must be in `aud`.
    pub audiences: &'a [String],
}

/// What a verified token of another issuer says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ForeignClaims {
    /// `sub`, never empty.
    pub subject: String,
    /// When it was issued, in seconds since 1970, where it says so.
    pub issued_at: Option<i64>,
    /// When it ends.
    pub expires_at: i64,
    claims: BTreeMap<String, Value>,
}

impl ForeignClaims {
    /// The values of a claim: of a text that text, of a list of texts each; of anything else none.
    pub fn values<'a>(&'a self, claim: &str) -> impl Iterator<Item = &'a str> {
        self.claims.get(claim).into_iter().flat_map(Value::texts)
    }

    /// Whether it says to be good only with something else that its holder shows (RFC 7800).
    pub fn is_bound(&self) -> bool {
        self.claims.contains_key("cnf")
    }

    /// Whether it is still, or yet, in time.
    pub fn check_time(&self, now: i64) -> Result<(), Rejection> {
        if self.expires_at.saturating_add(LEEWAY_SECONDS) <= now { Err(Rejection::Expired) } else { Ok(()) }
    }
}

/// `crit` and `b64` change what the rest means, so they are refused. Others (`x5t`, say) are not looked at: no key and no
/// address in a header is ever used.
#[derive(Deserialize)]
struct Header {
    alg: String,
    kid: Option<String>,
    typ: Option<String>,
    crit: Option<IgnoredAny>,
    b64: Option<IgnoredAny>,
}

#[derive(Deserialize)]
struct Presented {
    iss: String,
    sub: String,
    aud: Value,
    exp: i64,
    iat: Option<i64>,
    nbf: Option<i64>,
    #[serde(flatten)]
    others: Claims,
}

#[derive(Deserialize)]
struct IssuerOnly {
    iss: String,
}

/// Who says to have issued the token. Nothing of it is verified: only good for finding the keys to verify it with.
pub fn claimed_issuer(token: &str) -> Result<String, Rejection> {
    let unverified: Unverified<'_, Header> = Unverified::parse(token, MAX_TOKEN_BYTES)?;
    unverified.claims().map(|IssuerOnly { iss }| iss)
}

/// What `token` says, if a key of the issuer signed it for one of the audiences and it is in time.
pub fn verify_foreign(
    keys: &ForeignKeySet,
    expected: &ForeignExpectation<'_>,
    token: &str,
    now: i64,
) -> Result<ForeignClaims, Rejection> {
    let unverified: Unverified<'_, Header> = Unverified::parse(token, MAX_TOKEN_BYTES)?;
    let Header { alg, kid, typ, crit, b64 } = &unverified.header;
    let known_type = typ.as_ref().is_none_or(|typ| TYPES.iter().any(|known| known.eq_ignore_ascii_case(typ)));
    if crit.is_some() || b64.is_some() || !known_type {
        return Err(Rejection::Header);
    }
    let kid = kid.as_deref().ok_or(Rejection::Header)?;
    let key = keys.find(kid).ok_or(Rejection::UnknownKey)?;
    if alg != key.algorithm.name() {
        return Err(Rejection::Algorithm);
    }
    key.public_key
        .verify_sig(unverified.signed.as_bytes(), &unverified.signature)
        .map_err(|_| Rejection::Signature)?;
    judged(unverified.claims()?, expected, now)
}

fn judged(
    presented: Presented,
    expected: &ForeignExpectation<'_>,
    now: i64,
) -> Result<ForeignClaims, Rejection> {
    let Presented { iss, sub, aud, exp, iat, nbf, others } = presented;
    if iss != expected.issuer {
        return Err(Rejection::Issuer);
    }
    let mut audiences = aud.texts();
    if aud.len() > MAX_AUDIENCES || !audiences.any(|one| expected.audiences.iter().any(|ours| ours == one)) {
        return Err(Rejection::Audience);
    }
    let starts = [iat, nbf].into_iter().flatten();
    if sub.is_empty() || exp < 0 || starts.clone().any(|time| time < 0) {
        return Err(Rejection::Claims);
    }
    if starts.max().is_some_and(|start| start > now.saturating_add(LEEWAY_SECONDS)) {
        return Err(Rejection::NotYetValid);
    }
    let Claims(mut claims) = others;
    claims.insert(SUBJECT.to_owned(), Value::Text(sub.clone()));
    let claims = ForeignClaims { subject: sub, issued_at: iat, expires_at: exp, claims };
    claims.check_time(now)?;
    Ok(claims)
}

#[cfg(test)]
mod tests;
