//! Verifies a token of a cluster (RFC 8725).

use serde::de::DeserializeOwned;

use crate::claims::{Claims, Expectation};
use crate::jws::Unverified;
use crate::key_set::KeySet;
use crate::rejection::Rejection;

/// A token of ours with the largest key and names has less than half of this.
pub const MAX_TOKEN_BYTES: usize = 8192;

/// RFC 9068's type, so that a token for something else signed by the same key would not pass (RFC 8725, 3.11).
pub(crate) const TOKEN_TYPE: &str = "at+jwt";

/// A token whose signature, issuer, audience and times are right.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Verified {
    /// What it says.
    pub claims: Claims,
    /// The key that signed it: the token is good only while that key is.
    pub kid: String,
}

/// What `token` says, if a key of the set signed it for the expected audience and it is in time.
///
/// The key is chosen by `kid` alone and brings its algorithm. Whether the holder may call is up to the access table.
pub fn verify(
    keys: &KeySet,
    expected: &Expectation<'_>,
    token: &str,
    now: i64,
) -> Result<Verified, Rejection> {
    let (claims, kid): (Claims, String) = verify_signature(keys, token)?;
    claims.check(expected, now)?;
    Ok(Verified { claims, kid })
}

/// What a token of our type says and the name of the key of the set that signed it. The claims are not judged yet.
pub(crate) fn verify_signature<C: DeserializeOwned>(
    keys: &KeySet,
    token: &str,
) -> Result<(C, String), Rejection> {
    let unverified: Unverified<'_> = Unverified::parse(token, MAX_TOKEN_BYTES)?;
    if unverified.header.typ.as_deref() != Some(TOKEN_TYPE) {
        return Err(Rejection::Header);
    }
    let kid = unverified.header.kid.as_deref().ok_or(Rejection::Header)?;
    let (algorithm, public_key) = keys.find(kid).ok_or(Rejection::UnknownKey)?;
    if unverified.header.alg != algorithm.name() {
        return Err(Rejection::Algorithm);
    }
    public_key
        .verify_sig(unverified.signed.as_bytes(), &unverified.signature)
        .map_err(|_| Rejection::Signature)?;
    Ok((unverified.claims()?, kid.to_owned()))
}

#[cfg(test)]
mod refusals;
