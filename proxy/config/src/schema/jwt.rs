//! `jwt`: tokens signed with a shared secret.

use std::path::PathBuf;

use serde::Serialize;
use vibectl_token::standalone::Lifetime;

use crate::{decode::Cursor, secret::Secret};

/// How tokens are made and verified by a server that has no access table.
///
/// The secret is `secret_key`, or else the content of `secret_key_file`; the environment can replace both.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Jwt {
    /// Whether calls need a token even where TLS is off.
    pub enabled: bool,
    /// The shared secret itself.
    pub secret_key: Option<Secret>,
    /// A file with the shared secret.
    pub secret_key_file: Option<PathBuf>,
    /// The algorithm of the signature.
    pub algorithm: JwtAlgorithm,
    /// Who issues the tokens; a token of another issuer is refused.
    pub issuer: String,
    /// How long a new token is good for. The original says 30 days, and gives a year; so here it is a year.
    pub expiration_days: u32,
    /// The list of revoked tokens; absent: `revoked.jsonl` in the server's directory, if it is there.
    pub revocation_file: Option<PathBuf>,
}

impl Default for Jwt {
    fn default() -> Self {
        Self {
            enabled: false,
            secret_key: None,
            secret_key_file: None,
            algorithm: JwtAlgorithm::Hs256,
            issuer: "vibectl-server".to_owned(),
            expiration_days: 365,
            revocation_file: None,
        }
    }
}

impl Jwt {
    pub(super) fn decode(cursor: &Cursor<'_>) -> Self {
        let default = Self::default();
        let mut section = cursor.section();
        let jwt = Self {
            enabled: section.read("enabled", Cursor::boolean).unwrap_or(default.enabled),
            secret_key: section.read("secret_key", Cursor::secret),
            secret_key_file: section.read("secret_key_file", Cursor::path),
            algorithm: section
                .read("algorithm", |cursor| cursor.choice(&JwtAlgorithm::NAMES))
                .unwrap_or(default.algorithm),
            issuer: section.read("issuer", Cursor::text).unwrap_or(default.issuer),
            expiration_days: section
                .read("expiration_days", |cursor| cursor.integer(1..=Lifetime::MAX_DAYS))
                .unwrap_or(default.expiration_days),
            revocation_file: section.read("revocation_file", Cursor::path),
        };
        section.retired(
            "expiration_hours",
            "without effect, as in the original; use jwt.expiration_days",
            |_| Some(()),
        );
        section.finish();
        jwt
    }
}

serialize_differences!(Jwt {
    enabled,
    secret_key,
    secret_key_file,
    algorithm,
    issuer,
    expiration_days,
    revocation_file,
});

/// The algorithms of a shared secret.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "UPPERCASE")]
pub enum JwtAlgorithm {
    /// HMAC with SHA-256.
    #[default]
    Hs256,
}

impl JwtAlgorithm {
    /// Every algorithm with its name.
    pub const NAMES: [(&'static str, Self); 1] = [("HS256", Self::Hs256)];

    /// The algorithm of this name, in any case.
    pub fn from_name(name: &str) -> Option<Self> {
        Self::NAMES
            .iter()
            .find(|(known, _)| known.eq_ignore_ascii_case(name))
            .map(|(_, algorithm)| *algorithm)
    }
}
