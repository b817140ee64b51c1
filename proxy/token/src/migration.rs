//! The time in which a proxy of a cluster takes tokens of a shared secret (HS256), as those of the Python original are: what
//! the operator writes, and the server reads, beside the secret itself. Nothing is ever signed with that secret.

use serde::{Deserialize, Serialize};
use thiserror::Error;

/// What identities of rows call whoever has the secret. No other issuer can have this name: theirs have no dot.
pub const MIGRATION: &str = "access.migration";

const MAX_BYTES: usize = 4096;

/// Which tokens of the secret are taken, and until when. Who their holders are stands in the access table.
///
/// A member that this version does not know refuses it: it could be a restriction.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Migration {
    /// The exact `iss` of the tokens.
    pub issuer: String,
    /// From this second on, since 1970, none is taken.
    pub until: i64,
}

/// Why no token of the secret is taken.
#[derive(Debug, Error)]
pub enum MigrationError {
    /// Not such a file.
    #[error("failed to read what is said of the migration: it is not the JSON object that it should be")]
    Json(#[source] Option<serde_json::Error>),
    /// Tokens of any issuer would do.
    #[error("failed to use the migration: it names no issuer")]
    NoIssuer,
}

impl Migration {
    /// Reads the file.
    pub fn parse(json: &[u8]) -> Result<Self, MigrationError> {
        if json.len() > MAX_BYTES || !json.starts_with(b"{") {
            return Err(MigrationError::Json(None));
        }
        let migration: Self =
            serde_json::from_slice(json).map_err(|error| MigrationError::Json(Some(error)))?;
        if migration.issuer.is_empty() { Err(MigrationError::NoIssuer) } else { Ok(migration) }
    }

    /// The file: the same for the same.
    pub fn render(&self) -> String {
        serde_json::json!({"issuer": self.issuer, "until": self.until}).to_string()
    }

    /// Whether it is over.
    pub fn has_ended(&self, now: i64) -> bool {
        now >= self.until
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_is_read_back_and_ends_at_its_very_second() {
        let migration = Migration { issuer: "vibectl-server".to_owned(), until: 100 };

        let read = Migration::parse(migration.render().as_bytes()).unwrap();

        assert_eq!(read, migration);
        assert_eq!([99, 100].map(|now| read.has_ended(now)), [false, true]);
    }

    #[test]
    fn one_without_an_issuer_or_an_end_and_one_that_says_more_is_refused() {
        for bad in [
            r#"{"issuer":"","until":1}"#,
            r#"{"issuer":"a"}"#,
            r#"{"until":1}"#,
            r#"{"issuer":"a","until":null}"#,
            r#"{"issuer":"a","until":1,"subjects":[]}"#,
            r#"["a",1]"#,
        ] {
            assert!(Migration::parse(bad.as_bytes()).is_err(), "{bad}");
        }
    }
}
