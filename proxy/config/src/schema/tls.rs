//! `tls`: the serving certificate and what is agreed with it.

use std::path::PathBuf;

use serde::Serialize;

use crate::decode::Cursor;

/// TLS of the service port.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Tls {
    /// Whether the port speaks TLS; absent: decided by the command and by whether there is a certificate.
    pub enabled: Option<bool>,
    /// The certificate and its chain, PEM.
    pub cert_file: Option<PathBuf>,
    /// The private key of the certificate, PEM.
    pub key_file: Option<PathBuf>,
    /// The CA that certificates of callers are checked against, PEM.
    pub ca_bundle_file: Option<PathBuf>,
    /// What that CA has revoked: lists of every CA that issued a caller's certificate, PEM.
    pub client_crl_file: Option<PathBuf>,
    /// The oldest version of TLS that is spoken.
    pub min_version: MinVersion,
    /// Strict transport security of HTTP answers.
    pub hsts: Hsts,
    /// Whom to tell what becomes of certificates.
    pub webhook: Option<Webhook>,
}

impl Tls {
    pub(super) fn decode(cursor: &Cursor<'_>) -> Self {
        let mut section = cursor.section();
        let tls = Self {
            enabled: section.read("enabled", Cursor::boolean),
            cert_file: section.read("cert_file", Cursor::path),
            key_file: section.read("key_file", Cursor::path),
            ca_bundle_file: section.read("ca_bundle_file", Cursor::path),
            client_crl_file: section.read("client_crl_file", Cursor::path),
            min_version: section
                .read("min_version", |cursor| cursor.choice(&MinVersion::NAMES))
                .unwrap_or_default(),
            hsts: section.decode("hsts", Hsts::decode),
            webhook: section.read("webhook", |cursor| Some(Webhook::decode(cursor))),
        };
        section.finish();
        tls
    }
}

serialize_differences!(Tls {
    enabled,
    cert_file,
    key_file,
    ca_bundle_file,
    client_crl_file,
    min_version,
    hsts,
    webhook
});

/// The oldest version of TLS that is spoken.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub enum MinVersion {
    /// TLS 1.2, with AEAD suites only.
    #[serde(rename = "1.2")]
    V1_2,
    /// TLS 1.3.
    #[default]
    #[serde(rename = "1.3")]
    V1_3,
}

impl MinVersion {
    /// Every version with its name.
    pub const NAMES: [(&'static str, Self); 2] = [("1.2", Self::V1_2), ("1.3", Self::V1_3)];
}

/// The strict transport security header.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Hsts {
    /// Whether the header is sent.
    pub enabled: bool,
    /// For how many seconds a client remembers it.
    pub max_age: u32,
    /// Whether it covers sub-domains.
    pub include_subdomains: bool,
    /// Whether browsers may build it in.
    pub preload: bool,
}

impl Default for Hsts {
    fn default() -> Self {
        Self { enabled: false, max_age: 31_536_000, include_subdomains: true, preload: false }
    }
}

impl Hsts {
    fn decode(cursor: &Cursor<'_>) -> Self {
        let default = Self::default();
        let mut section = cursor.section();
        let hsts = Self {
            enabled: section.read("enabled", Cursor::boolean).unwrap_or(default.enabled),
            max_age: section
                .read("max_age", |cursor| cursor.integer(0..=u32::MAX))
                .unwrap_or(default.max_age),
            include_subdomains: section
                .read("include_subdomains", Cursor::boolean)
                .unwrap_or(default.include_subdomains),
            preload: section.read("preload", Cursor::boolean).unwrap_or(default.preload),
        };
        section.finish();
        hsts
    }
}

serialize_differences!(Hsts { enabled, max_age, include_subdomains, preload });

/// Whom to tell what becomes of certificates: a signed POST for each event.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Webhook {
    /// The address.
    pub url: String,
    /// A file with the secret that signs, at least 16 characters.
    pub secret_file: PathBuf,
    /// The CA of the address, PEM. Absent: the well-known ones.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ca_file: Option<PathBuf>,
}

impl Webhook {
    fn decode(cursor: &Cursor<'_>) -> Self {
        let mut section = cursor.section();
        let webhook = Self {
            url: section.required("url", Cursor::base_url).unwrap_or_default(),
            secret_file: section.required("secret_file", Cursor::path).unwrap_or_default(),
            ca_file: section.read("ca_file", Cursor::path),
        };
        section.finish();
        webhook
    }
}
