//! `acme.dns`: how records are made for `dns-01`.

use std::path::PathBuf;

use serde::ser::{Serialize, SerializeMap, Serializer};

use crate::decode::Cursor;

/// Exactly one way.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Dns {
    /// `rfc2136`: dynamic updates, signed with a shared key (RFC 2136, RFC 8945).
    Update(DnsUpdate),
    /// `exec`: a program of yours.
    Hook(DnsHook),
}

impl Serialize for Dns {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(Some(1))?;
        match self {
            Self::Update(update) => map.serialize_entry("rfc2136", update)?,
            Self::Hook(hook) => map.serialize_entry("exec", hook)?,
        }
        map.end()
    }
}

impl Dns {
    pub(super) fn decode(cursor: &Cursor<'_>) -> Option<Self> {
        let mut section = cursor.section();
        let (update, hook) = (section.present("rfc2136"), section.present("exec"));
        let update = update.map(|cursor| Self::Update(DnsUpdate::decode(&cursor)));
        let hook = hook.map(|cursor| Self::Hook(DnsHook::decode(&cursor)));
        if update.is_some() == hook.is_some() {
            section.mistake("expected exactly one of the blocks rfc2136, exec");
        }
        section.finish();
        update.or(hook)
    }
}

/// A name server that takes updates.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DnsUpdate {
    /// The primary name server, `host` or `host:port`.
    pub server: String,
    /// The zone that the records go into.
    pub zone: String,
    /// Name of the key.
    pub key_name: String,
    /// File with the key in base64, as `tsig-keygen` prints it after `secret`.
    pub key_file: PathBuf,
    /// What the key is for.
    pub key_algorithm: TsigAlgorithm,
    /// How long secondary name servers get to fetch a record before the ACME server looks.
    pub wait_seconds: u32,
}

impl Default for DnsUpdate {
    fn default() -> Self {
        Self {
            server: String::new(),
            zone: String::new(),
            key_name: String::new(),
            key_file: PathBuf::new(),
            key_algorithm: TsigAlgorithm::default(),
            wait_seconds: 10,
        }
    }
}

impl DnsUpdate {
    fn decode(cursor: &Cursor<'_>) -> Self {
        let default = Self::default();
        let mut section = cursor.section();
        let update = Self {
            server: section.required("server", Cursor::text).unwrap_or_default(),
            zone: section.required("zone", Cursor::host).unwrap_or_default(),
            key_name: section.required("key_name", Cursor::text).unwrap_or_default(),
            key_file: section.required("key_file", Cursor::path).unwrap_or_default(),
            key_algorithm: section
                .read("key_algorithm", |cursor| cursor.choice(&TsigAlgorithm::NAMES))
                .unwrap_or_default(),
            wait_seconds: section
                .read("wait_seconds", |cursor| cursor.integer(0..=600))
                .unwrap_or(default.wait_seconds),
        };
        section.finish_with(&[("key", "secrets are not part of the config: use key_file")]);
        update
    }
}

serialize_differences!(DnsUpdate { server, zone, key_name, key_file, key_algorithm, wait_seconds });

/// The algorithms of a key; the weaker ones of RFC 8945 are not among them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, serde::Serialize)]
pub enum TsigAlgorithm {
    /// HMAC with SHA-256.
    #[default]
    #[serde(rename = "hmac-sha256")]
    HmacSha256,
    /// HMAC with SHA-384.
    #[serde(rename = "hmac-sha384")]
    HmacSha384,
    /// HMAC with SHA-512.
    #[serde(rename = "hmac-sha512")]
    HmacSha512,
}

impl TsigAlgorithm {
    /// Every algorithm with its name.
    pub const NAMES: [(&'static str, Self); 3] = [
        ("hmac-sha256", Self::HmacSha256),
        ("hmac-sha384", Self::HmacSha384),
        ("hmac-sha512", Self::HmacSha512),
    ];
}

/// A program that makes and removes records.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DnsHook {
    /// The program and its arguments; no shell is involved.
    pub command: Vec<String>,
    /// Longest run of the program.
    pub timeout_seconds: u32,
}

impl Default for DnsHook {
    fn default() -> Self {
        Self { command: Vec::new(), timeout_seconds: 120 }
    }
}

impl DnsHook {
    fn decode(cursor: &Cursor<'_>) -> Self {
        let default = Self::default();
        let mut section = cursor.section();
        let hook = Self {
            command: section
                .required("command", |cursor| {
                    let words = cursor.some_items();
                    Some(words.iter().map(|word| word.text().unwrap_or_default()).collect())
                })
                .unwrap_or_default(),
            timeout_seconds: section
                .read("timeout_seconds", |cursor| cursor.integer(1..=600))
                .unwrap_or(default.timeout_seconds),
        };
        section.finish();
        hook
    }
}

serialize_differences!(DnsHook { command, timeout_seconds });
