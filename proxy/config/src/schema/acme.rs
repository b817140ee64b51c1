//! `acme`: certificates from an ACME server.

use std::path::PathBuf;

use serde::Serialize;

use crate::decode::Cursor;

/// The keys of the original; switching it on is refused until it works.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Acme {
    /// Whether certificates come from an ACME server. Not available yet.
    pub enabled: bool,
    /// Contact of the account.
    pub email: Option<String>,
    /// The names of the certificate.
    pub domains: Vec<String>,
    /// The ACME server.
    pub directory_url: String,
    /// The CA of the ACME server, PEM.
    pub ca_cert_file: Option<PathBuf>,
    /// How names are proven.
    pub challenge: Challenge,
    /// Port of the probe before an HTTP-01 challenge.
    pub http_port: u16,
    /// Where a web server would serve answers from.
    pub challenge_dir: PathBuf,
    /// Whether certificates are renewed.
    pub auto_renew: bool,
    /// How long before the end a certificate is renewed.
    pub renew_days_before_expiry: u32,
}

impl Default for Acme {
    fn default() -> Self {
        Self {
            enabled: false,
            email: None,
            domains: Vec::new(),
            directory_url: "https://acme-v02.api.letsencrypt.org/directory".to_owned(),
            ca_cert_file: None,
            challenge: Challenge::default(),
            http_port: 80,
            challenge_dir: PathBuf::from(".well-known/acme-challenge"),
            auto_renew: true,
            renew_days_before_expiry: 30,
        }
    }
}

impl Acme {
    pub(super) fn decode(cursor: &Cursor<'_>) -> Self {
        let default = Self::default();
        let mut section = cursor.section();
        let acme = Self {
            enabled: section.read("enabled", Cursor::boolean).unwrap_or(default.enabled),
            email: section.read("email", Cursor::text),
            domains: section.decode("domains", Cursor::texts),
            directory_url: section.read("directory_url", Cursor::text).unwrap_or(default.directory_url),
            ca_cert_file: section.read("ca_cert_file", Cursor::path),
            challenge: section.decode("challenge", Challenge::decode),
            http_port: section.read("http_port", Cursor::port).unwrap_or(default.http_port),
            challenge_dir: section.read("challenge_dir", Cursor::path).unwrap_or(default.challenge_dir),
            auto_renew: section.read("auto_renew", Cursor::boolean).unwrap_or(default.auto_renew),
            renew_days_before_expiry: section
                .read("renew_days_before_expiry", |cursor| cursor.integer(1..=u32::MAX))
                .unwrap_or(default.renew_days_before_expiry),
        };
        section.finish();
        acme
    }
}

serialize_differences!(Acme {
    enabled,
    email,
    domains,
    directory_url,
    ca_cert_file,
    challenge,
    http_port,
    challenge_dir,
    auto_renew,
    renew_days_before_expiry,
});

/// How names are proven.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Challenge {
    /// The kind of proof; `type` in the file.
    pub kind: ChallengeType,
    /// Address of the HTTP-01 listener.
    pub http_host: String,
    /// Port of the HTTP-01 listener.
    pub http_port: u16,
}

impl Default for Challenge {
    fn default() -> Self {
        Self { kind: ChallengeType::Http01, http_host: "0.0.0.0".to_owned(), http_port: 80 }
    }
}

impl Challenge {
    fn decode(cursor: &Cursor<'_>) -> Self {
        let default = Self::default();
        let mut section = cursor.section();
        let challenge = Self {
            kind: section.read("type", |cursor| cursor.choice(&ChallengeType::NAMES)).unwrap_or(default.kind),
            http_host: section.read("http_host", Cursor::host).unwrap_or(default.http_host),
            http_port: section.read("http_port", Cursor::port).unwrap_or(default.http_port),
        };
        section.finish();
        challenge
    }
}

serialize_differences!(Challenge { kind as "type", http_host, http_port });

/// The kinds of proof.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub enum ChallengeType {
    /// A file served over plain HTTP.
    #[default]
    #[serde(rename = "http-01")]
    Http01,
    /// A certificate served during a handshake.
    #[serde(rename = "tls-alpn-01")]
    TlsAlpn01,
    /// A DNS record.
    #[serde(rename = "dns-01")]
    Dns01,
}

impl ChallengeType {
    /// Every kind with its name.
    pub const NAMES: [(&'static str, Self); 3] =
        [("http-01", Self::Http01), ("tls-alpn-01", Self::TlsAlpn01), ("dns-01", Self::Dns01)];
}
