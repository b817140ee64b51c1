//! Tokens that are bound to a client's certificate (RFC 8705, section 3): of no use to whoever steals them.

use aws_lc_rs::digest::{SHA256, digest};
use base64::Engine;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use serde::{Deserialize, Serialize};

/// The claim `cnf` with the one method that we can check. A token that names another method is not accepted: what it asks
/// for would not be done.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Confirmation {
    #[serde(rename = "x5t#S256")]
    certificate_sha256: String,
}

impl Confirmation {
    /// Binds a token to the certificate with this DER.
    pub fn of_certificate(der: &[u8]) -> Self {
        Self { certificate_sha256: BASE64_URL_SAFE_NO_PAD.encode(digest(&SHA256, der)) }
    }

    /// Whether a certificate with this SHA-256 is the one. The thumbprint is public, so nothing is given away by comparing.
    pub fn is_of(&self, certificate_sha256: &[u8; 32]) -> bool {
        self.certificate_sha256 == BASE64_URL_SAFE_NO_PAD.encode(certificate_sha256)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_claim_is_written_as_the_rfc_has_it_and_read_back() {
        let confirmation = Confirmation::of_certificate(b"a certificate");

        let text = serde_json::to_string(&confirmation).unwrap();

        assert_eq!(text, r#"{"x5t#S256":"gazXYhQPppKhQoItL75NxvVLyqUB9oqzflru0Lr-TZk"}"#);
        assert_eq!(serde_json::from_str::<Confirmation>(&text).unwrap(), confirmation);
    }

    #[test]
    fn only_the_same_certificate_is_it() {
        let sum = |der: &[u8]| -> [u8; 32] { digest(&SHA256, der).as_ref().try_into().unwrap() };
        let confirmation = Confirmation::of_certificate(b"mine");

        assert!(confirmation.is_of(&sum(b"mine")));
        assert!(!confirmation.is_of(&sum(b"another")));
    }

    #[test]
    fn a_method_that_cannot_be_checked_is_refused() {
        for text in [r"{}", r#"{"jkt":"x"}"#, r#"{"x5t#S256":"x","jwk":{}}"#, r#"{"x5t#S256":1}"#] {
            assert!(serde_json::from_str::<Confirmation>(text).is_err(), "{text}");
        }
    }
}
