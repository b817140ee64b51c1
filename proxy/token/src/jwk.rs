//! A public key as JSON (RFC 7517), and what it verifies.

use aws_lc_rs::digest::{SHA256, digest};
use aws_lc_rs::signature::{
    ECDSA_P256_SHA256_FIXED, ED25519, ParsedPublicKey, RSA_PKCS1_2048_8192_SHA256,
    RSA_PKCS1_2048_8192_SHA384, RSA_PKCS1_2048_8192_SHA512, RsaPublicKeyComponents,
};
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde::{Deserialize, Serialize};

use crate::algorithm::Algorithm;

/// More would cost the verifier more than any token is worth: RSA of 4096 bits.
const MAX_RSA_MODULUS_BYTES: usize = 512;
const MIN_RSA_MODULUS_BYTES: usize = 256;
const MAX_KID_BYTES: usize = 128;

/// A public key for signatures. Members that we do not know are refused, private ones among them.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PublicJwk {
    alg: Algorithm,
    #[serde(skip_serializing_if = "Option::is_none")]
    crv: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    e: Option<String>,
    kid: String,
    kty: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    n: Option<String>,
    #[serde(rename = "use")]
    usage: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    x: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    y: Option<String>,
}

impl PublicJwk {
    /// The point of an uncompressed P-256 public key (`0x04`, x, y).
    pub(crate) fn es256(point: &[u8]) -> Option<Self> {
        let (x, y) = point.strip_prefix(&[4])?.split_at_checked(32)?;
        let (x, y) = (URL_SAFE_NO_PAD.encode(x), URL_SAFE_NO_PAD.encode(y));
        let mut jwk = Self::empty(Algorithm::Es256, "EC");
        (jwk.crv, jwk.x, jwk.y) = (Some("P-256".to_owned()), Some(x), Some(y));
        Some(jwk.named())
    }

    pub(crate) fn eddsa(public_key: &[u8]) -> Self {
        let mut jwk = Self::empty(Algorithm::EdDsa, "OKP");
        (jwk.crv, jwk.x) = (Some("Ed25519".to_owned()), Some(URL_SAFE_NO_PAD.encode(public_key)));
        jwk.named()
    }

    pub(crate) fn rsa(algorithm: Algorithm, modulus: &[u8], exponent: &[u8]) -> Self {
        let mut jwk = Self::empty(algorithm, "RSA");
        (jwk.n, jwk.e) = (Some(URL_SAFE_NO_PAD.encode(modulus)), Some(URL_SAFE_NO_PAD.encode(exponent)));
        jwk.named()
    }

    fn empty(alg: Algorithm, kty: &str) -> Self {
        let (kid, kty, usage) = (String::new(), kty.to_owned(), "sig".to_owned());
        Self { alg, crv: None, e: None, kid, kty, n: None, usage, x: None, y: None }
    }

    fn named(mut self) -> Self {
        self.kid = self.thumbprint();
        self
    }

    /// The name of the key in tokens and key sets.
    pub fn kid(&self) -> &str {
        &self.kid
    }

    /// The one algorithm that this key is for.
    pub fn algorithm(&self) -> Algorithm {
        self.alg
    }

    /// RFC 7638: SHA-256 over the required members in their order, base64url.
    fn thumbprint(&self) -> String {
        let text = |member: &Option<String>| member.clone().unwrap_or_default();
        let members = match self.alg {
            Algorithm::Es256 => {
                serde_json::json!({"crv": text(&self.crv), "kty": self.kty, "x": text(&self.x), "y": text(&self.y)})
            }
            Algorithm::EdDsa => {
                serde_json::json!({"crv": text(&self.crv), "kty": self.kty, "x": text(&self.x)})
            }
            Algorithm::Rs256 | Algorithm::Rs384 | Algorithm::Rs512 => {
                serde_json::json!({"e": text(&self.e), "kty": self.kty, "n": text(&self.n)})
            }
        };
        URL_SAFE_NO_PAD.encode(digest(&SHA256, members.to_string().as_bytes()))
    }

    /// The key ready to verify with; none when a member is missing, superfluous or wrong.
    pub(crate) fn to_public_key(&self) -> Option<ParsedPublicKey> {
        let named = !self.kid.is_empty() && self.kid.len() <= MAX_KID_BYTES;
        if !named || self.usage != "sig" {
            return None;
        }
        let Self { alg, crv, e, kid: _, kty, n, usage: _, x, y } = self;
        match (alg, kty.as_str(), crv.as_deref(), x, y, n, e) {
            (Algorithm::Es256, "EC", Some("P-256"), Some(x), Some(y), None, None) => es256_key(x, y),
            (Algorithm::EdDsa, "OKP", Some("Ed25519"), Some(x), None, None, None) => eddsa_key(x),
            (alg, "RSA", None, None, None, Some(n), Some(e)) if alg.is_rsa() => rsa_key(*alg, n, e),
            _ => None,
        }
    }
}

pub(crate) fn es256_key(x: &str, y: &str) -> Option<ParsedPublicKey> {
    let point = [&[4][..], &fixed(x)?, &fixed(y)?].concat();
    ParsedPublicKey::new(&ECDSA_P256_SHA256_FIXED, point).ok()
}

pub(crate) fn eddsa_key(x: &str) -> Option<ParsedPublicKey> {
    ParsedPublicKey::new(&ED25519, fixed(x)?).ok()
}

/// None also for a key that is too weak, or so long that verifying would cost more than a token is worth.
pub(crate) fn rsa_key(algorithm: Algorithm, n: &str, e: &str) -> Option<ParsedPublicKey> {
    let parameters = match algorithm {
        Algorithm::Rs256 => &RSA_PKCS1_2048_8192_SHA256,
        Algorithm::Rs384 => &RSA_PKCS1_2048_8192_SHA384,
        Algorithm::Rs512 => &RSA_PKCS1_2048_8192_SHA512,
        Algorithm::Es256 | Algorithm::EdDsa => return None,
    };
    let n = URL_SAFE_NO_PAD.decode(n).ok()?;
    let e = URL_SAFE_NO_PAD.decode(e).ok()?;
    if !(MIN_RSA_MODULUS_BYTES..=MAX_RSA_MODULUS_BYTES).contains(&n.len()) {
        return None;
    }
    RsaPublicKeyComponents { n, e }.to_parsed_public_key(parameters).ok()
}

fn fixed(text: &str) -> Option<[u8; 32]> {
    URL_SAFE_NO_PAD.decode(text).ok()?.try_into().ok()
}
