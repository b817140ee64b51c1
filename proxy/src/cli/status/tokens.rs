//! What a server judges tokens by: its secret or its keys, and what is revoked.

use jiff::Timestamp;
use serde::Serialize;
use vibectl_config::Parsed;
use vibectl_token::rotation::Stage;
use vibectl_token::standalone::revocation::What;

use crate::auth::secret;
use crate::cli::alone::Alone;
use crate::cli::moment::moment;
use crate::cli::outcome::chain;
use crate::cli::token::revocation_file::RevocationFile;
use crate::cli::token::signing_keys::SigningKeys;

/// How tokens are judged.
#[derive(Debug, Default, Serialize)]
pub(super) struct Tokens {
    /// Absent where an access table judges.
    pub(super) algorithm: Option<String>,
    pub(super) secret: Option<Secret>,
    /// Until when tokens of the secret are good beside those of keys.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) secret_until: Option<String>,
    /// Other issuers that are trusted, by name, each with its `iss`.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(super) issuers: Vec<String>,
    pub(super) keys: Vec<Key>,
    pub(super) revoked: Option<Revoked>,
    pub(super) access_table: Option<String>,
}

/// The shared secret.
#[derive(Debug, Serialize)]
pub(super) struct Secret {
    /// Where it is.
    pub(super) from: String,
    /// The secret itself, where somebody asked for it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) value: Option<String>,
}

/// One signing key.
#[derive(Debug, Serialize)]
pub(super) struct Key {
    pub(super) kid: String,
    pub(super) algorithm: String,
    pub(super) stage: String,
}

/// The list of revoked tokens.
#[derive(Debug, Serialize)]
pub(super) struct Revoked {
    pub(super) file: String,
    pub(super) tokens: usize,
    pub(super) subjects: usize,
    /// Entries that `token prune` would drop.
    pub(super) ended: usize,
}

/// Looks at secret, keys and list.
pub(super) fn look(
    alone: &Alone,
    parsed: &Parsed,
    now: Timestamp,
    include_secrets: bool,
    problems: &mut Vec<String>,
) -> Tokens {
    let jwt = &alone.config.jwt;
    if let Some(access) = &alone.config.access {
        let access_table = Some(access.dir.display().to_string());
        return Tokens { access_table, ..Tokens::default() };
    }
    let has_keys = jwt.algorithm.of_signing_keys();
    let migration = jwt.migration.filter(|_| has_keys.is_some());
    let has_secret = has_keys.is_none() || migration.is_some();
    if migration.is_some_and(|migration| migration.until <= now) {
        problems.push(
            "jwt.migration.until is past: no token of the shared secret is accepted; remove both".to_owned(),
        );
    }
    Tokens {
        algorithm: Some(has_keys.map_or_else(|| "HS256".to_owned(), |algorithm| algorithm.to_string())),
        secret: if has_secret { secret_of(alone, parsed, include_secrets, problems) } else { None },
        secret_until: migration.map(|migration| migration.until.to_string()),
        keys: if has_keys.is_some() { keys_of(alone, problems) } else { Vec::new() },
        issuers: jwt.issuers.iter().map(|issuer| format!("{} ({})", issuer.name, issuer.issuer)).collect(),
        revoked: revoked_of(alone, now.as_second(), problems),
        access_table: None,
    }
}

/// A server without a secret does not start, unless nobody needs a token: then none is no problem.
fn secret_of(
    alone: &Alone,
    parsed: &Parsed,
    include_secrets: bool,
    problems: &mut Vec<String>,
) -> Option<Secret> {
    let jwt = &alone.config.jwt;
    let key = match (&jwt.secret_key, &jwt.secret_key_file) {
        (Some(_), _) => "jwt.secret_key",
        (None, Some(_)) => "jwt.secret_key_file",
        (None, None) => return None,
    };
    match secret::find(jwt) {
        Ok(found) if found.is_short() => problems.push(secret::SHORT.to_owned()),
        Ok(_) => {}
        Err(error) => problems.push(chain(&error)),
    }
    let file = jwt.secret_key_file.as_ref().filter(|_| jwt.secret_key.is_none());
    let from = match file {
        Some(path) => format!("{} ({key}: {})", path.display(), parsed.origin(key)),
        None => format!("{key}: {}", parsed.origin(key)),
    };
    let value = include_secrets.then(|| match (&jwt.secret_key, file) {
        (Some(secret), _) => Some(secret.expose().to_owned()),
        (None, path) => std::fs::read_to_string(path?).ok().map(|text| text.trim().to_owned()),
    });
    Some(Secret { from, value: value.flatten() })
}

fn keys_of(alone: &Alone, problems: &mut Vec<String>) -> Vec<Key> {
    let Ok(folder) = alone.signing_keys_dir() else { return Vec::new() };
    let keys = SigningKeys::new(folder.clone());
    let (published, ring) = match keys.published().and_then(|published| Ok((published, keys.ring()?))) {
        Ok(both) => both,
        Err(error) => {
            problems.push(format!("{error:#}"));
            return Vec::new();
        }
    };
    if published.is_empty() {
        problems.push(format!(
            "there is no public key in {}; `vibectl-server token rotate-key` makes one",
            folder.display()
        ));
    }
    let stage = |kid: &str| {
        let key = ring.keys().iter().find(|key| key.kid == kid);
        key.map_or_else(|| "public half only".to_owned(), |key| name(key.stage))
    };
    published
        .into_iter()
        .map(|(kid, algorithm)| Key { stage: stage(&kid), kid, algorithm: algorithm.to_string() })
        .collect()
}

fn name(stage: Stage) -> String {
    match stage {
        Stage::Prepared => "prepared".to_owned(),
        Stage::Published => "published, does not sign yet".to_owned(),
        Stage::Active { since } => format!("signs since {}", moment(since)),
        Stage::Retiring { until } => format!("its tokens are good until {}", moment(until)),
    }
}

fn revoked_of(alone: &Alone, now: i64, problems: &mut Vec<String>) -> Option<Revoked> {
    let file = RevocationFile::new(alone.revocation_file()?);
    let list = match file.read() {
        Ok(list) => list,
        Err(error) => {
            problems.push(format!("{error:#}"));
            return None;
        }
    };
    let of_subjects = |entry: &&_| {
        matches!(entry, vibectl_token::standalone::revocation::Entry { what: What::Subject { .. }, .. })
    };
    let subjects = list.entries().iter().filter(of_subjects).count();
    Some(Revoked {
        file: file.path().display().to_string(),
        tokens: list.entries().len() - subjects,
        subjects,
        ended: list.entries().iter().filter(|entry| entry.is_over(now)).count(),
    })
}
