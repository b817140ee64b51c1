//! Answers to challenges: what proves that a name is ours, and who makes it visible.

use std::fmt;

use aws_lc_rs::digest::{SHA256, digest};
use base64::{Engine, prelude::BASE64_URL_SAFE_NO_PAD};
use rcgen::{CertificateParams, CustomExtension, DistinguishedName, DnType};
use rustls_pki_types::{CertificateDer, PrivateKeyDer};
use serde::{Deserialize, Serialize};

use crate::key::{KeyError, PrivateKey};

/// The longest token that is taken. Those of known servers have 43 characters.
const MAX_TOKEN: usize = 128;

/// How a name is proven.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum ChallengeKind {
    /// A file on port 80 (RFC 8555, 8.3).
    #[serde(rename = "http-01")]
    Http01,
    /// A certificate in a TLS handshake on port 443 (RFC 8737).
    #[serde(rename = "tls-alpn-01")]
    TlsAlpn01,
    /// A TXT record (RFC 8555, 8.4).
    #[serde(rename = "dns-01")]
    Dns01,
}

impl ChallengeKind {
    /// The name in the protocol.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Http01 => "http-01",
            Self::TlsAlpn01 => "tls-alpn-01",
            Self::Dns01 => "dns-01",
        }
    }
}

impl fmt::Display for ChallengeKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// One answer. Nothing in it is secret: the ACME server reads it over the open network.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Answer {
    /// Which kind of challenge it is for.
    pub kind: ChallengeKind,
    /// The name that is proven, without `*.`.
    pub name: String,
    /// What the ACME server calls the challenge; safe as the name of a file.
    pub token: String,
    /// The token and the thumbprint of the account key.
    pub key_authorization: String,
}

impl Answer {
    /// True for a token of the alphabet of RFC 8555 (base64url): it becomes a path, so nothing else is taken.
    pub fn is_token(token: &str) -> bool {
        (1..=MAX_TOKEN).contains(&token.len())
            && token.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_')
    }

    /// The SHA-256 of the key authorization: what a TLS-ALPN-01 certificate carries.
    pub fn digest(&self) -> [u8; 32] {
        let mut bytes = [0; 32];
        bytes.copy_from_slice(digest(&SHA256, self.key_authorization.as_bytes()).as_ref());
        bytes
    }

    /// Where the TXT record of DNS-01 stands.
    pub fn record_name(&self) -> String {
        format!("_acme-challenge.{}", self.name)
    }

    /// What the TXT record of DNS-01 says.
    pub fn record_value(&self) -> String {
        BASE64_URL_SAFE_NO_PAD.encode(self.digest())
    }
}

/// Makes answers visible to the ACME server, and takes them back.
pub trait Publisher: Send + Sync {
    /// Why an answer cannot be published; told to a person.
    type Error: std::error::Error + Send + Sync + 'static;

    /// Completes when the ACME server would see the answer. Publishing twice is as good as once.
    fn publish(&self, answer: &Answer) -> impl Future<Output = Result<(), Self::Error>> + Send;

    /// Takes back exactly this answer. One that is not there is no error.
    fn withdraw(&self, answer: &Answer) -> impl Future<Output = Result<(), Self::Error>> + Send;
}

/// The certificate of TLS-ALPN-01 for a name, and its key: self-signed, of use to nobody but the ACME server.
pub fn alpn_certificate(
    name: &str,
    digest: &[u8; 32],
) -> Result<(CertificateDer<'static>, PrivateKeyDer<'static>), KeyError> {
    let key = PrivateKey::generate()?;
    let mut params = CertificateParams::new([name.to_owned()]).map_err(|_| KeyError::Generate)?;
    params.distinguished_name = DistinguishedName::new();
    params.distinguished_name.push(DnType::CommonName, "acme challenge");
    params.custom_extensions = vec![CustomExtension::new_acme_identifier(digest)];
    let certificate = params.self_signed(key.pair()).map_err(|_| KeyError::Generate)?;
    Ok((certificate.der().clone(), key.to_der()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn answer() -> Answer {
        Answer {
            kind: ChallengeKind::Dns01,
            name: "example.org".to_owned(),
            token: "evaGxfADs6pSRb2LAv9IZf17Dt3juxGJ-PCt92wr-oA".to_owned(),
            key_authorization:
                "evaGxfADs6pSRb2LAv9IZf17Dt3juxGJ-PCt92wr-oA.9jg46WB3rR_AHD-EBXdN7cBkH1WOu0tA3M9fm21mqTI"
                    .to_owned(),
        }
    }

    #[test]
    fn the_record_has_the_name_and_the_form_of_rfc_8555() {
        let answer = answer();

        assert_eq!(answer.record_name(), "_acme-challenge.example.org");
        assert_eq!(answer.record_value().len(), 43);
        assert_eq!(BASE64_URL_SAFE_NO_PAD.decode(answer.record_value()).expect("base64url"), answer.digest());
    }

    #[test]
    fn a_token_that_could_be_a_path_is_none() {
        assert!(Answer::is_token(&answer().token));
        for token in ["", ".", "..", "../account", "a/b", "a b", "a.b", "\u{e4}", &"a".repeat(129)] {
            assert!(!Answer::is_token(token), "{token:?}");
        }
    }

    #[test]
    fn the_certificate_of_an_answer_carries_its_digest_in_a_critical_extension() {
        let (certificate, _) = alpn_certificate("example.org", &answer().digest()).expect("made");

        let (_, parsed) = x509_parser::parse_x509_certificate(&certificate).expect("X.509");
        let extension = parsed.iter_extensions().find(|it| it.oid.to_id_string() == "1.3.6.1.5.5.7.1.31");
        let extension = extension.expect("acmeIdentifier");
        assert!(extension.critical);
        assert!(extension.value.ends_with(&answer().digest()));
    }
}
