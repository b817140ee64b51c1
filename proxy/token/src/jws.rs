//! The compact form of a signed token (RFC 7515): three base64url parts.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use crate::rejection::Rejection;

/// The header. Ours hold nothing else, and what we do not know we refuse: `crit`, `b64`, `jku`, `jwk`, `x5u`, `x5c`.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Header {
    pub(crate) alg: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) kid: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) typ: Option<String>,
}

/// A token taken apart; nothing of it is verified. `H` says which headers are acceptable.
pub(crate) struct Unverified<'a, H = Header> {
    pub(crate) header: H,
    /// What the signature is over.
    pub(crate) signed: &'a str,
    pub(crate) signature: Vec<u8>,
    claims: &'a str,
}

impl<'a, H: DeserializeOwned> Unverified<'a, H> {
    /// Takes a token of at most `limit` bytes apart.
    pub(crate) fn parse(token: &'a str, limit: usize) -> Result<Self, Rejection> {
        if token.len() > limit {
            return Err(Rejection::TooLong);
        }
        let (signed, signature) = token.rsplit_once('.').ok_or(Rejection::Malformed)?;
        let (header, claims) = signed.split_once('.').ok_or(Rejection::Malformed)?;
        if claims.contains('.') {
            return Err(Rejection::Malformed);
        }
        let header = URL_SAFE_NO_PAD.decode(header).map_err(|_| Rejection::Malformed)?;
        let header = object(&header).ok_or(Rejection::Header)?;
        let signature = URL_SAFE_NO_PAD.decode(signature).map_err(|_| Rejection::Malformed)?;
        Ok(Self { header, signed, signature, claims })
    }

    /// The claims. Nothing may be decided by them before the signature is verified, but which key is to verify it.
    pub(crate) fn claims<C: DeserializeOwned>(&self) -> Result<C, Rejection> {
        let claims = URL_SAFE_NO_PAD.decode(self.claims).map_err(|_| Rejection::Malformed)?;
        object(&claims).ok_or(Rejection::Claims)
    }
}

/// What a signature is to be made over.
pub(crate) fn signing_input(header: &Header, claims: &impl Serialize) -> Result<String, serde_json::Error> {
    let header = URL_SAFE_NO_PAD.encode(serde_json::to_vec(header)?);
    let claims = URL_SAFE_NO_PAD.encode(serde_json::to_vec(claims)?);
    Ok(format!("{header}.{claims}"))
}

/// The signed token.
pub(crate) fn assemble(mut signing_input: String, signature: &[u8]) -> String {
    signing_input.push('.');
    URL_SAFE_NO_PAD.encode_string(signature, &mut signing_input);
    signing_input
}

/// Derived structs also read JSON lists; a header or claims are an object.
fn object<T: DeserializeOwned>(json: &[u8]) -> Option<T> {
    json.starts_with(b"{").then(|| serde_json::from_slice(json).ok()).flatten()
}
