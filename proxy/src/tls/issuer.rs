//! `serve-ca`: a leaf from a CA directory, issued in memory at the start and again before it expires.
//!
//! Its key is never on disk, so a restart makes a new one; clients trust the CA, not the leaf.

use std::{sync::Arc, time::Duration};

use jiff::Timestamp;
use tokio_util::sync::CancellationToken;
use vibectl_pki::{CertificateFacts, IssueError, IssueRequest, Leaf, Names, Usage};

use crate::cli::outcome::chain;

use super::{
    TlsState,
    ca_directory::{CaDirectory, CaDirectoryError},
};

/// How often it is looked whether renewal is due. Looking, not sleeping until then, follows a clock that is set.
const LOOK_EVERY: Duration = Duration::from_mins(1);

/// Why no leaf was issued.
#[derive(Debug, thiserror::Error)]
pub enum IssuerError {
    /// The CA cannot be used.
    #[error(transparent)]
    Directory(#[from] CaDirectoryError),
    /// The CA does not issue this leaf.
    #[error(transparent)]
    Issue(#[from] IssueError),
}

/// What is issued, and by whom.
#[derive(Debug, Clone)]
pub struct CaIssuer {
    /// The CA. Read anew for each leaf, so that a replaced CA is followed.
    pub directory: CaDirectory,
    /// The names of the server.
    pub names: Names,
    /// How long a leaf is valid.
    pub validity: Duration,
}

impl CaIssuer {
    /// Issues a leaf with a fresh key.
    pub fn issue(&self, now: Timestamp) -> Result<Leaf, IssuerError> {
        let Self { directory, names, validity } = self;
        let ca = directory.read_intermediate()?;
        Ok(ca.issue(&IssueRequest { names, usage: Usage::Server, validity: *validity, now })?)
    }

    /// Renews the certificate in force at two thirds of its life, and at once when another CA issues, until stopped. A
    /// failure is logged, and tried again at each look; `renewed` hears of each success, and of a failure when it is another
    /// one than before.
    pub async fn keep_fresh(
        self,
        state: Arc<TlsState>,
        renewed: impl Fn(&Result<Arc<CertificateFacts>, String>),
        stop: CancellationToken,
    ) {
        let mut failed = None;
        loop {
            tokio::select! {
                () = stop.cancelled() => return,
                () = tokio::time::sleep(LOOK_EVERY) => {}
            }
            let Some(outcome) = self.look(&state, Timestamp::now()) else { continue };
            let reason = outcome.as_ref().err().cloned();
            if reason.is_none() || reason != failed {
                renewed(&outcome);
            }
            failed = reason;
        }
    }

    fn look(&self, state: &TlsState, now: Timestamp) -> Option<Result<Arc<CertificateFacts>, String>> {
        let facts = state.facts();
        // By its key: a CA that was only renewed vouches for what it has issued before.
        let replaced = self.directory.read_intermediate().is_ok_and(|ca| {
            ca.facts().subject_key_id.is_some() && ca.facts().subject_key_id != facts.issuer_key_id
        });
        (replaced || now >= facts.lifetime.renew_at()).then(|| self.renew(state, now))
    }

    fn renew(&self, state: &TlsState, now: Timestamp) -> Result<Arc<CertificateFacts>, String> {
        let issued = self.issue(now).map_err(|error| chain(&error));
        let renewed = issued
            .and_then(|leaf| state.replace(&leaf).map_err(|error| error.to_string()))
            .map(|()| state.facts());
        match &renewed {
            Ok(facts) => {
                tracing::info!(not_after = %facts.lifetime.not_after, serial = facts.serial, "certificate renewed");
            }
            Err(error) => {
                tracing::error!(error, "failed to renew the certificate; the old one stays in force");
            }
        }
        renewed
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use vibectl_config::MinVersion;
    use vibectl_pki::{Ca, Subject};

    use super::*;

    fn issuer(folder: &tempfile::TempDir) -> CaIssuer {
        let subject = Subject { common_name: "test".to_owned(), organization: None, country: None };
        let year = Duration::from_hours(365 * 24);
        let root = Ca::root(&subject, year, Timestamp::now()).expect("a root");
        let intermediate = root.intermediate(&subject, year, Timestamp::now()).expect("an intermediate");
        let directory = CaDirectory::new(folder.path());
        fs::create_dir_all(directory.intermediate_folder()).expect("made");
        fs::write(directory.intermediate().certificate, intermediate.chain_pem()).expect("written");
        fs::write(directory.intermediate().key, intermediate.key_pem().as_bytes()).expect("written");
        let names = Names::parse(["localhost"]).expect("names");
        CaIssuer { directory, names, validity: Duration::from_hours(24) }
    }

    #[test]
    fn a_renewed_leaf_is_in_force_and_a_failure_keeps_the_old_one() {
        let folder = tempfile::tempdir().expect("a folder");
        let issuer = issuer(&folder);
        let first = issuer.issue(Timestamp::now()).expect("a leaf");
        let state = TlsState::new(&first, None, MinVersion::V1_3).expect("TLS");

        let renewed = issuer.renew(&state, Timestamp::now()).expect("renewed");
        assert_eq!(renewed, state.facts());
        assert_ne!(renewed.serial, first.facts().serial);

        fs::remove_file(issuer.directory.intermediate().key).expect("removed");
        let reason = issuer.renew(&state, Timestamp::now()).expect_err("no key");
        assert!(reason.contains("failed to read"), "{reason}");
        assert_eq!(state.facts(), renewed);
    }

    #[test]
    fn a_certificate_is_renewed_when_it_is_due_and_when_another_ca_issues_and_not_before() {
        let (folder, other) =
            (tempfile::tempdir().expect("a folder"), tempfile::tempdir().expect("a folder"));
        let issuer = issuer(&folder);
        let first = issuer.issue(Timestamp::now()).expect("a leaf");
        let state = TlsState::new(&first, None, MinVersion::V1_3).expect("TLS");

        issuer.look(&state, Timestamp::now());
        assert_eq!(state.facts().serial, first.facts().serial);

        issuer.look(&state, first.facts().lifetime.renew_at());
        let renewed = state.facts();
        assert_ne!(renewed.serial, first.facts().serial);

        let replacing = self::issuer(&other).directory.intermediate();
        fs::copy(replacing.certificate, issuer.directory.intermediate().certificate).expect("copied");
        fs::copy(replacing.key, issuer.directory.intermediate().key).expect("copied");
        issuer.look(&state, Timestamp::now());
        assert_ne!(state.facts().issuer_key_id, renewed.issuer_key_id);
    }

    #[test]
    fn a_folder_without_a_ca_is_an_error_that_names_the_command() {
        let folder = tempfile::tempdir().expect("a folder");
        let names = Names::parse(["localhost"]).expect("names");
        let directory = CaDirectory::new(folder.path());

        let error = CaIssuer { directory, names, validity: Duration::from_hours(24) }
            .issue(Timestamp::now())
            .expect_err("there is no CA");

        assert!(error.to_string().contains("vibectl-server ca init"), "{error}");
    }
}
