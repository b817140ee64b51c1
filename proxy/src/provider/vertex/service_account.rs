//! The key file of a service account of Google, and what it signs (RFC 7523).

use aws_lc_rs::{
    rand::SystemRandom,
    signature::{RSA_PKCS1_SHA256, RsaKeyPair},
};
use base64::{Engine, prelude::BASE64_URL_SAFE_NO_PAD};
use jiff::Timestamp;
use reqwest::Url;
use rustls_pki_types::{PrivatePkcs8KeyDer, pem::PemObject};
use serde::{Deserialize, Serialize};
use thiserror::Error;
use vibectl_config::Secret;
use zeroize::Zeroizing;

/// What calls of models are part of. There is no narrower one.
const SCOPE: &str = "https://www.googleapis.com/auth/cloud-platform";

/// How long an assertion is good; it is used at once.
const ASSERTION_SECONDS: i64 = 300;

/// Why a key file is of no use. Shows nothing of it.
#[derive(Debug, Error, PartialEq, Eq)]
pub(crate) enum BadAccount {
    #[error("its service account key is not the JSON file that Google makes")]
    Json,
    #[error("its service account key is a file of another type: one of a service account is needed")]
    Kind,
    #[error("the private key in its service account key cannot be used")]
    Key,
    #[error("the token_uri in its service account key is not an https address")]
    TokenUrl,
}

/// Who asks for tokens.
#[derive(Debug)]
pub(super) struct ServiceAccount {
    email: String,
    key_id: Option<String>,
    key: RsaKeyPair,
    /// Where tokens are made.
    pub(super) token_url: Url,
}

/// Read first: files of other types have other fields.
#[derive(Deserialize)]
struct Kind {
    #[serde(rename = "type")]
    kind: String,
}

#[derive(Deserialize)]
struct File {
    client_email: String,
    private_key: String,
    #[serde(default)]
    private_key_id: Option<String>,
    token_uri: String,
}

#[derive(Serialize)]
struct Header<'a> {
    alg: &'static str,
    typ: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    kid: Option<&'a str>,
}

#[derive(Serialize)]
struct Claims<'a> {
    iss: &'a str,
    scope: &'static str,
    aud: &'a str,
    iat: i64,
    exp: i64,
}

impl ServiceAccount {
    /// Reads a key file. `plain`: tokens may come from an address without TLS, as the API itself has one.
    pub(super) fn parse(file: &Secret, plain: bool) -> Result<Self, BadAccount> {
        let text = file.expose();
        let Kind { kind } = serde_json::from_str(text).map_err(|_| BadAccount::Json)?;
        if kind != "service_account" {
            return Err(BadAccount::Kind);
        }
        let File { client_email, private_key, private_key_id, token_uri } =
            serde_json::from_str(text).map_err(|_| BadAccount::Json)?;
        let private_key = Zeroizing::new(private_key);
        let der = PrivatePkcs8KeyDer::from_pem_slice(private_key.as_bytes());
        let key = der.ok().and_then(|der| RsaKeyPair::from_pkcs8(der.secret_pkcs8_der()).ok());
        let key = key.ok_or(BadAccount::Key)?;
        let token_url = Url::parse(&token_uri).map_err(|_| BadAccount::TokenUrl)?;
        if !(token_url.scheme() == "https" || plain && token_url.scheme() == "http") || !token_url.has_host()
        {
            return Err(BadAccount::TokenUrl);
        }
        Ok(Self { email: client_email, key_id: private_key_id, key, token_url })
    }

    /// What a token is asked for with: the account's name and the time, signed. `None` when the key cannot sign.
    pub(super) fn assertion(&self, now: Timestamp) -> Option<String> {
        let iat = now.as_second();
        let header = Header { alg: "RS256", typ: "JWT", kid: self.key_id.as_deref() };
        let claims = Claims {
            iss: &self.email,
            scope: SCOPE,
            aud: self.token_url.as_str(),
            iat,
            exp: iat + ASSERTION_SECONDS,
        };
        let mut token = encode(&header)?;
        token.push('.');
        token.push_str(&encode(&claims)?);
        let mut signature = vec![0; self.key.public_modulus_len()];
        self.key.sign(&RSA_PKCS1_SHA256, &SystemRandom::new(), token.as_bytes(), &mut signature).ok()?;
        token.push('.');
        BASE64_URL_SAFE_NO_PAD.encode_string(signature, &mut token);
        Some(token)
    }
}

fn encode(part: &impl Serialize) -> Option<String> {
    serde_json::to_vec(part).ok().map(|json| BASE64_URL_SAFE_NO_PAD.encode(json))
}

#[cfg(test)]
pub(super) mod tests {
    use aws_lc_rs::{
        encoding::{AsDer, Pkcs8V1Der},
        rsa::{KeyPair, KeySize},
        signature::{KeyPair as _, RSA_PKCS1_2048_8192_SHA256, UnparsedPublicKey},
    };
    use base64::prelude::BASE64_STANDARD;
    use serde_json::{Value, json};

    use super::*;

    /// A key file as Google makes it, and the public key that belongs to it.
    pub(in super::super) fn key_file(token_uri: &str) -> (Secret, Vec<u8>) {
        let key = KeyPair::generate(KeySize::Rsa2048).expect("a key");
        let der = AsDer::<Pkcs8V1Der<'_>>::as_der(&key).expect("PKCS 8");
        let pem = format!(
            "-----BEGIN PRIVATE KEY-----\n{}\n-----END PRIVATE KEY-----\n",
            BASE64_STANDARD.encode(der.as_ref())
        );
        let file = json!({
            "type": "service_account", "project_id": "p", "private_key_id": "kid-1", "private_key": pem,
            "client_email": "caller@p.iam.gserviceaccount.com", "client_id": "1", "token_uri": token_uri,
        });
        (Secret::new(file.to_string()), key.public_key().as_ref().to_vec())
    }

    fn refused(file: &str, plain: bool) -> Option<BadAccount> {
        ServiceAccount::parse(&Secret::new(file), plain).err()
    }

    #[test]
    fn an_assertion_says_who_asks_for_what_and_is_signed_by_the_key_of_the_file() {
        let (file, public_key) = key_file("https://oauth2.example.org/token");
        let account = ServiceAccount::parse(&file, false).expect("a good file");

        let assertion =
            account.assertion("2026-01-01T00:00:00Z".parse().expect("a time")).expect("a signature");

        let (signed, signature) = assertion.rsplit_once('.').expect("three parts");
        let signature = BASE64_URL_SAFE_NO_PAD.decode(signature).expect("base64");
        UnparsedPublicKey::new(&RSA_PKCS1_2048_8192_SHA256, public_key)
            .verify(signed.as_bytes(), &signature)
            .expect("signed by the key");
        let parts: Vec<Value> = signed
            .split('.')
            .map(|part| BASE64_URL_SAFE_NO_PAD.decode(part).expect("base64"))
            .map(|part| serde_json::from_slice(&part).expect("JSON"))
            .collect();
        assert_eq!(parts[0], json!({"alg": "RS256", "typ": "JWT", "kid": "kid-1"}));
        assert_eq!(
            parts[1],
            json!({
                "iss": "caller@p.iam.gserviceaccount.com", "scope": SCOPE,
                "aud": "https://oauth2.example.org/token", "iat": 1_767_225_600, "exp": 1_767_225_900,
            })
        );
    }

    #[test]
    fn a_file_that_is_of_no_use_says_what_is_wrong_and_shows_nothing() {
        let file = |change: fn(&mut Value)| {
            let mut file: Value = serde_json::from_str(key_file("https://x/token").0.expose()).expect("JSON");
            change(&mut file);
            file.to_string()
        };

        assert_eq!(refused("hunter2", false), Some(BadAccount::Json));
        assert_eq!(refused(r#"{"type": "service_account"}"#, false), Some(BadAccount::Json));
        assert_eq!(refused(r#"{"type": "authorized_user"}"#, false), Some(BadAccount::Kind));
        assert_eq!(
            refused(&file(|file| file["private_key"] = "hunter2".into()), false),
            Some(BadAccount::Key)
        );
        for (address, plain, expected) in [
            ("http://x/token", false, Some(BadAccount::TokenUrl)),
            ("http://x/token", true, None),
            ("file:///etc/passwd", true, Some(BadAccount::TokenUrl)),
            ("x", true, Some(BadAccount::TokenUrl)),
        ] {
            assert_eq!(refused(key_file(address).0.expose(), plain), expected, "{address}");
        }
    }
}
