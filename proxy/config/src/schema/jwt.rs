//! `jwt`: tokens of a server that has no access table.

mod issuers;

use std::path::PathBuf;

use jiff::Timestamp;
use serde::{Serialize, Serializer};
use vibectl_token::{Algorithm, standalone::Lifetime};

pub use self::issuers::{JwtCaller, JwtIssuer};
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
    /// The algorithm of the signature: with the shared secret, or with signing keys.
    pub algorithm: JwtAlgorithm,
    /// Folder of the signing keys; absent: `signing-keys` in the server's directory.
    pub signing_keys_dir: Option<PathBuf>,
    /// For whom tokens of signing keys are; one for another audience is refused.
    pub audience: String,
    /// Who issues the tokens; a token of another issuer is refused.
    pub issuer: String,
    /// How long a new token is good for. The original says 30 days, and gives a year; so here it is a year.
    pub expiration_days: u32,
    /// For a time, tokens of the shared secret beside those of signing keys.
    pub migration: Option<JwtMigration>,
    /// Other issuers whose tokens tell who calls.
    pub issuers: Vec<JwtIssuer>,
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
            signing_keys_dir: None,
            audience: "vibectl-server".to_owned(),
            issuer: "vibectl-server".to_owned(),
            expiration_days: 365,
            migration: None,
            issuers: Vec::new(),
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
                .read("algorithm", |cursor| cursor.choice(&JwtAlgorithm::names()))
                .unwrap_or(default.algorithm),
            signing_keys_dir: section.read("signing_keys_dir", Cursor::path),
            audience: section.read("audience", Cursor::text).unwrap_or(default.audience),
            issuer: section.read("issuer", Cursor::text).unwrap_or(default.issuer),
            expiration_days: section
                .read("expiration_days", |cursor| cursor.integer(1..=Lifetime::MAX_DAYS))
                .unwrap_or(default.expiration_days),
            migration: section.read("migration", |cursor| Some(JwtMigration::decode(cursor))),
            issuers: section.decode("issuers", |list| list.items().iter().map(JwtIssuer::decode).collect()),
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
    signing_keys_dir,
    audience,
    issuer,
    expiration_days,
    migration,
    issuers,
    revocation_file,
});

/// A time in which tokens of the shared secret are accepted beside those of signing keys.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct JwtMigration {
    /// From this moment on no token of the secret is accepted, whatever its own end.
    #[serde(serialize_with = "as_text")]
    pub until: Timestamp,
}

impl JwtMigration {
    fn decode(cursor: &Cursor<'_>) -> Self {
        let mut section = cursor.section();
        let migration = Self { until: section.required("until", Cursor::moment).unwrap_or_default() };
        let secret = "the secret stands where it always does: jwt.secret_key_file";
        section.finish_with(&[("secret", secret), ("secret_key", secret), ("secret_key_file", secret)]);
        migration
    }
}

fn as_text<S: Serializer>(moment: &Timestamp, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_str(moment)
}

/// How tokens are signed: with the shared secret, or with keys whose public halves are all that a server needs.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub enum JwtAlgorithm {
    /// HMAC with SHA-256 and the shared secret.
    #[default]
    #[serde(rename = "HS256")]
    Hs256,
    /// With signing keys, and so.
    #[serde(untagged)]
    SigningKeys(Algorithm),
}

impl JwtAlgorithm {
    /// Every algorithm with its name.
    pub fn names() -> Vec<(&'static str, Self)> {
        let keys = Algorithm::ALL.map(|algorithm| (algorithm.name(), Self::SigningKeys(algorithm)));
        std::iter::once(("HS256", Self::Hs256)).chain(keys).collect()
    }

    /// What signing keys sign with; none for the shared secret.
    pub fn of_signing_keys(self) -> Option<Algorithm> {
        match self {
            Self::Hs256 => None,
            Self::SigningKeys(algorithm) => Some(algorithm),
        }
    }
}
