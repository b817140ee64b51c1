//! The public keys that a verifier trusts (RFC 7517 key set).

use std::collections::BTreeMap;
use std::fmt;

use aws_lc_rs::signature::ParsedPublicKey;
use serde::{Deserialize, Serialize};
use thiserror::Error;

use crate::algorithm::Algorithm;
use crate::jwk::PublicJwk;

const MAX_BYTES: usize = 256 * 1024;
const MAX_KEYS: usize = 32;

/// Public keys by their `kid`, each with the one algorithm that it is for.
#[derive(Default)]
pub struct KeySet {
    keys: BTreeMap<String, VerifyingKey>,
}

struct VerifyingKey {
    jwk: PublicJwk,
    public_key: ParsedPublicKey,
}

/// Why a key set was refused. It is refused whole: the one in force stays.
#[derive(Debug, Error)]
pub enum KeySetError {
    /// Larger than any key set of ours.
    #[error("failed to read the key set: more than {MAX_BYTES} bytes or {MAX_KEYS} keys")]
    TooLarge,
    /// Not a key set, or a key with members that we do not know.
    #[error("failed to read the key set as JSON")]
    Json(#[source] serde_json::Error),
    /// A key whose members do not make a key.
    #[error("failed to read key {index} of the key set: wrong or missing members")]
    Key {
        /// Its place, from 0.
        index: usize,
    },
    /// Two keys with one name.
    #[error("failed to read the key set: two keys have the same kid")]
    DuplicateKid,
}

#[derive(Serialize, Deserialize)]
struct Document<K> {
    keys: Vec<K>,
}

impl KeySet {
    /// Reads a JSON key set. One bad key refuses the set.
    pub fn parse(json: &[u8]) -> Result<Self, KeySetError> {
        if json.len() > MAX_BYTES {
            return Err(KeySetError::TooLarge);
        }
        let document: Document<PublicJwk> = serde_json::from_slice(json).map_err(KeySetError::Json)?;
        Self::from_keys(document.keys)
    }

    /// The set of these keys.
    pub fn from_keys(keys: impl IntoIterator<Item = PublicJwk>) -> Result<Self, KeySetError> {
        let mut set = Self::default();
        for (index, jwk) in keys.into_iter().enumerate() {
            if index == MAX_KEYS {
                return Err(KeySetError::TooLarge);
            }
            let public_key = jwk.to_public_key().ok_or(KeySetError::Key { index })?;
            let kid = jwk.kid().to_owned();
            if set.keys.insert(kid, VerifyingKey { jwk, public_key }).is_some() {
                return Err(KeySetError::DuplicateKid);
            }
        }
        Ok(set)
    }

    /// The set as JSON, sorted by `kid`: the same keys give the same bytes.
    pub fn render(&self) -> String {
        let keys: Vec<&PublicJwk> = self.keys.values().map(|key| &key.jwk).collect();
        serde_json::json!({ "keys": keys }).to_string()
    }

    /// The names of the keys, sorted.
    pub fn kids(&self) -> impl Iterator<Item = &str> {
        self.keys.keys().map(String::as_str)
    }

    /// Whether there is a key of this name.
    pub fn contains(&self, kid: &str) -> bool {
        self.keys.contains_key(kid)
    }

    /// The names of the keys, sorted, each with what it is for.
    pub fn algorithms(&self) -> impl Iterator<Item = (&str, Algorithm)> {
        self.keys.iter().map(|(kid, key)| (kid.as_str(), key.jwk.algorithm()))
    }

    /// How many keys there are.
    pub fn len(&self) -> usize {
        self.keys.len()
    }

    /// No key: no token verifies.
    pub fn is_empty(&self) -> bool {
        self.keys.is_empty()
    }

    pub(crate) fn find(&self, kid: &str) -> Option<(Algorithm, &ParsedPublicKey)> {
        self.keys.get(kid).map(|key| (key.jwk.algorithm(), &key.public_key))
    }
}

impl fmt::Debug for KeySet {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_set().entries(self.kids()).finish()
    }
}
