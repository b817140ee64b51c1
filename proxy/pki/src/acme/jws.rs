//! Signed requests that make an account or change its key (RFC 8555, 7.3). All others are `instant-acme`'s.

use aws_lc_rs::{
    hmac,
    rand::SystemRandom,
    signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, KeyPair},
};
use base64::{Engine, prelude::BASE64_URL_SAFE_NO_PAD};
use rustls_pki_types::PrivatePkcs8KeyDer;
use serde_json::{Value, json};

use super::ExternalAccount;

/// The key cannot be used for signing.
#[derive(Debug, thiserror::Error)]
#[error("the account key cannot be used: it is not ECDSA on P-256")]
pub(super) struct KeyRejected;

/// An account key.
pub(super) struct AccountKey {
    pair: EcdsaKeyPair,
}

impl AccountKey {
    pub(super) fn new(key: &PrivatePkcs8KeyDer<'_>) -> Result<Self, KeyRejected> {
        let pair = EcdsaKeyPair::from_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, key.secret_pkcs8_der());
        Ok(Self { pair: pair.map_err(|_| KeyRejected)? })
    }

    /// The public half (RFC 7517); members in the order of RFC 7638.
    fn jwk(&self) -> Value {
        let point = self.pair.public_key().as_ref();
        // Uncompressed: one octet that says so, then both coordinates.
        let (x, y) = point.get(1..).unwrap_or_default().split_at(point.len().saturating_sub(1) / 2);
        json!({"crv": "P-256", "kty": "EC", "x": encode(x), "y": encode(y)})
    }

    /// A request to make an account.
    pub(super) fn new_account(
        &self,
        url: &str,
        nonce: &str,
        payload: &Value,
    ) -> Result<Vec<u8>, KeyRejected> {
        let protected = json!({"alg": "ES256", "jwk": self.jwk(), "nonce": nonce, "url": url});
        Ok(self.sign(&protected, payload)?.to_string().into_bytes())
    }

    /// A request to put `new` in the place of this key (RFC 8555, 7.3.5): signed by both.
    pub(super) fn key_change(
        &self,
        new: &Self,
        account: &str,
        url: &str,
        nonce: &str,
    ) -> Result<Vec<u8>, KeyRejected> {
        let inner = json!({"alg": "ES256", "jwk": new.jwk(), "url": url});
        let inner = new.sign(&inner, &json!({"account": account, "oldKey": self.jwk()}))?;
        let outer = json!({"alg": "ES256", "kid": account, "nonce": nonce, "url": url});
        Ok(self.sign(&outer, &inner)?.to_string().into_bytes())
    }

    /// A flattened JWS (RFC 7515, 7.2.2).
    fn sign(&self, protected: &Value, payload: &Value) -> Result<Value, KeyRejected> {
        let (protected, payload) = (encode(protected.to_string()), encode(payload.to_string()));
        let signed = format!("{protected}.{payload}");
        let signature = self.pair.sign(&SystemRandom::new(), signed.as_bytes()).map_err(|_| KeyRejected)?;
        Ok(json!({"protected": protected, "payload": payload, "signature": encode(signature)}))
    }

    /// Binds this key to an external account (RFC 8555, 7.3.4).
    pub(super) fn bind(&self, external: &ExternalAccount, url: &str) -> Value {
        let protected = json!({"alg": "HS256", "kid": external.key_id, "url": url});
        let (protected, payload) = (encode(protected.to_string()), encode(self.jwk().to_string()));
        let key = hmac::Key::new(hmac::HMAC_SHA256, &external.hmac_key);
        let tag = hmac::sign(&key, format!("{protected}.{payload}").as_bytes());
        json!({"protected": protected, "payload": payload, "signature": encode(tag)})
    }
}

fn encode(bytes: impl AsRef<[u8]>) -> String {
    BASE64_URL_SAFE_NO_PAD.encode(bytes)
}

#[cfg(test)]
mod tests {
    use aws_lc_rs::signature::{ECDSA_P256_SHA256_FIXED, UnparsedPublicKey};
    use zeroize::Zeroizing;

    use super::*;
    use crate::PrivateKey;

    fn key() -> AccountKey {
        let der = PrivateKey::generate().expect("a key").to_der().expect("DER");
        AccountKey::new(&PrivatePkcs8KeyDer::from(der.secret_der())).expect("P-256")
    }

    fn decoded(jws: &Value, member: &str) -> Vec<u8> {
        BASE64_URL_SAFE_NO_PAD.decode(jws[member].as_str().expect("text")).expect("base64url")
    }

    #[test]
    fn a_request_carries_the_key_that_signed_it() {
        let key = key();

        let bytes = key.new_account("https://a.example/new", "n1", &json!({"a": 1})).expect("signed");

        let jws: Value = serde_json::from_slice(&bytes).expect("JSON");
        let protected: Value = serde_json::from_slice(&decoded(&jws, "protected")).expect("JSON");
        assert_eq!(
            (protected["nonce"].as_str(), protected["url"].as_str()),
            (Some("n1"), Some("https://a.example/new"))
        );
        assert_eq!(protected["jwk"], key.jwk());
        let signed = format!(
            "{}.{}",
            jws["protected"].as_str().expect("text"),
            jws["payload"].as_str().expect("text")
        );
        UnparsedPublicKey::new(&ECDSA_P256_SHA256_FIXED, key.pair.public_key().as_ref())
            .verify(signed.as_bytes(), &decoded(&jws, "signature"))
            .expect("a good signature");
    }

    #[test]
    fn a_binding_says_which_external_account_and_signs_our_public_key() {
        let key = key();
        let external = ExternalAccount { key_id: "kid-1".to_owned(), hmac_key: Zeroizing::new(vec![7; 32]) };

        let binding = key.bind(&external, "https://a.example/new");

        let protected: Value = serde_json::from_slice(&decoded(&binding, "protected")).expect("JSON");
        assert_eq!(protected, json!({"alg": "HS256", "kid": "kid-1", "url": "https://a.example/new"}));
        assert_eq!(serde_json::from_slice::<Value>(&decoded(&binding, "payload")).expect("JSON"), key.jwk());
    }
}
