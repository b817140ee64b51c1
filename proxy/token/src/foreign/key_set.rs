//! The key set of another issuer (RFC 7517): read leniently where leniency is harmless, refused whole where it is not.

use std::collections::BTreeMap;
use std::fmt;

use aws_lc_rs::signature::ParsedPublicKey;
use serde::Deserialize;
use thiserror::Error;

use crate::algorithm::Algorithm;
use crate::jwk::{eddsa_key, es256_key, rsa_key};

/// The largest key set that is read; those of large providers have some ten kilobytes.
const MAX_BYTES: usize = 256 * 1024;
const MAX_KEYS: usize = 64;

/// The keys of another issuer that verify signatures we know.
#[derive(Default)]
pub struct ForeignKeySet {
    keys: BTreeMap<String, ForeignKey>,
}

/// A key with the one algorithm that it is for.
pub(super) struct ForeignKey {
    pub(super) algorithm: Algorithm,
    pub(super) public_key: ParsedPublicKey,
}

/// Why a key set was refused. It is refused whole: the one in force stays.
#[derive(Debug, Error)]
pub enum ForeignKeySetError {
    /// Larger than any issuer's.
    #[error("failed to read the issuer's key set: more than {MAX_BYTES} bytes or {MAX_KEYS} keys")]
    TooLarge,
    /// Not a key set.
    #[error("failed to read the issuer's key set as JSON")]
    Json(#[source] serde_json::Error),
    /// A key that is damaged, or too weak to mean anything.
    #[error(
        "failed to read key {kid:?} of the issuer's key set: damaged, or RSA of less than 2048 or more than 4096 bits"
    )]
    Key {
        /// Its name.
        kid: String,
    },
    /// Two keys with one name.
    #[error("failed to read the issuer's key set: two keys have the kid {kid:?}")]
    DuplicateKid {
        /// The name.
        kid: String,
    },
    /// No key that we could verify a signature with.
    #[error(
        "failed to use the issuer's key set: it has no signature key with a kid for RS256, RS384, RS512, ES256 or EdDSA"
    )]
    NoKey,
}

#[derive(Deserialize)]
struct Document {
    keys: Vec<Jwk>,
}

/// Members that are not named here (`x5c`, `x5t`, `key_ops` and the like) add nothing that we would use.
#[derive(Deserialize)]
struct Jwk {
    kty: String,
    kid: Option<String>,
    alg: Option<String>,
    #[serde(rename = "use")]
    usage: Option<String>,
    crv: Option<String>,
    x: Option<String>,
    y: Option<String>,
    n: Option<String>,
    e: Option<String>,
}

impl ForeignKeySet {
    /// Reads a JSON key set. Keys for other uses and algorithms are left out; a weak, damaged or ambiguous one refuses
    /// the set, since nobody could tell whose mistake that is.
    pub fn parse(json: &[u8]) -> Result<Self, ForeignKeySetError> {
        if json.len() > MAX_BYTES {
            return Err(ForeignKeySetError::TooLarge);
        }
        let Document { keys } = serde_json::from_slice(json).map_err(ForeignKeySetError::Json)?;
        if keys.len() > MAX_KEYS {
            return Err(ForeignKeySetError::TooLarge);
        }
        let mut set = Self::default();
        for jwk in keys {
            let Some((kid, algorithm)) = jwk.kid.clone().zip(jwk.algorithm()) else { continue };
            let public_key = jwk.public_key(algorithm).ok_or(ForeignKeySetError::Key { kid: kid.clone() })?;
            if set.keys.insert(kid.clone(), ForeignKey { algorithm, public_key }).is_some() {
                return Err(ForeignKeySetError::DuplicateKid { kid });
            }
        }
        if set.keys.is_empty() { Err(ForeignKeySetError::NoKey) } else { Ok(set) }
    }

    /// Whether there is a key of this name.
    pub fn contains(&self, kid: &str) -> bool {
        self.keys.contains_key(kid)
    }

    /// The names of the keys, sorted.
    pub fn kids(&self) -> impl Iterator<Item = &str> {
        self.keys.keys().map(String::as_str)
    }

    pub(super) fn find(&self, kid: &str) -> Option<&ForeignKey> {
        self.keys.get(kid)
    }
}

impl Jwk {
    /// The one algorithm that the key is for. Where the key does not say, its kind does; a token never does.
    fn algorithm(&self) -> Option<Algorithm> {
        if self.usage.as_deref().is_some_and(|usage| usage != "sig") {
            return None;
        }
        let by_kind = match (self.kty.as_str(), self.crv.as_deref()) {
            ("RSA", _) => Algorithm::Rs256,
            ("EC", Some("P-256")) => Algorithm::Es256,
            ("OKP", Some("Ed25519")) => Algorithm::EdDsa,
            _ => return None,
        };
        let Some(named) = &self.alg else { return Some(by_kind) };
        // The fully specified name of RFC 9864.
        let named = if named == "Ed25519" { Algorithm::EdDsa } else { named.parse().ok()? };
        (named == by_kind || (by_kind == Algorithm::Rs256 && named.is_rsa())).then_some(named)
    }

    fn public_key(&self, algorithm: Algorithm) -> Option<ParsedPublicKey> {
        match algorithm {
            Algorithm::Es256 => es256_key(self.x.as_ref()?, self.y.as_ref()?),
            Algorithm::EdDsa => eddsa_key(self.x.as_ref()?),
            Algorithm::Rs256 | Algorithm::Rs384 | Algorithm::Rs512 => {
                rsa_key(algorithm, self.n.as_ref()?, self.e.as_ref()?)
            }
        }
    }
}

impl fmt::Debug for ForeignKeySet {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_set().entries(self.kids()).finish()
    }
}
