//! Tokens of a shared secret in a cluster: accepted until a day that the proxy's owner has named, and only from subjects
//! that a row names.
//!
//! Nothing is kept of an earlier secret: one that was taken away or replaced is not to be trusted, whatever came instead.

use vibectl_config::mount::{MIGRATION_FILE, MIGRATION_SECRET_FILE};
use vibectl_token::migration::{MIGRATION, Migration};
use vibectl_token::standalone::{Secret, Verified, verify};

use crate::auth::cause::{Cause, Denied};
use crate::auth::table::Accepted;
use crate::cli::outcome::chain;
use crate::parts::Files;

/// The secret, and how long it counts.
#[derive(Debug)]
pub(super) struct Migrating {
    secret: Secret,
    terms: Migration,
}

impl Migrating {
    /// Reads both files. One that cannot be used leaves nobody of the secret in.
    pub(super) fn load(files: &Files, accepted: &mut Accepted) -> Option<Self> {
        let terms = files.get(MIGRATION_FILE).map(|file| Migration::parse(file));
        let terms = usable(MIGRATION_FILE, files, terms?.map_err(|error| chain(&error)), accepted);
        let secret = match files.get(MIGRATION_SECRET_FILE) {
            Some(file) => Secret::strong(file).map_err(|error| error.to_string()),
            None => Err("there is no such file".to_owned()),
        };
        let secret = usable(MIGRATION_SECRET_FILE, files, secret, accepted);
        Some(Self { secret: secret?, terms: terms? })
    }

    /// The `iss` of the secret's tokens.
    pub(super) fn issuer(&self) -> &str {
        &self.terms.issuer
    }

    /// Whose token it is. One that is bound to a client certificate is refused: nobody shows one here.
    pub(super) fn verify(&self, token: &str, now: i64) -> Result<Verified, Denied> {
        let holder = verify(&self.secret, &self.terms.issuer, token, now)?;
        let cause = if self.terms.has_ended(now) {
            Cause::MigrationEnded
        } else if holder.confirmation.is_some() {
            Cause::NotBound
        } else {
            return Ok(holder);
        };
        Err(Denied { subject: Some(format!("{} of {MIGRATION}", holder.subject)), ..cause.into() })
    }
}

/// Notes what is in force of a file, or why it is not.
fn usable<T>(name: &str, files: &Files, read: Result<T, String>, accepted: &mut Accepted) -> Option<T> {
    match read {
        Ok(read) => {
            accepted.in_force.extend(files.get(name).map(|file| (name.to_owned(), file.clone())));
            Some(read)
        }
        Err(reason) => {
            accepted.problems.push(format!("{name}: {reason}"));
            None
        }
    }
}
