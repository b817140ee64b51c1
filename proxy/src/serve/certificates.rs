//! Where the certificate of the service port comes from. No way ever falls back to a weaker one.

use std::sync::Arc;

use anyhow::Context;
use jiff::Timestamp;
use tokio::task::JoinSet;
use vibectl_config::{Config, MinVersion};
use vibectl_pki::{Leaf, Names};

use crate::cli::outcome::Failure;
use crate::listener::tls::Security;
use crate::settings::Mistakes;
use crate::state::Shared;
use crate::tls::ca_directory::PairPath;
use crate::tls::issuer::CaIssuer;
use crate::tls::{TlsState, self_signed};

/// What the command says about the certificate.
#[derive(Debug)]
pub enum Certificates {
    /// The config names its files, or turns TLS off.
    AsConfigured,
    /// Made by ourselves and kept in these files.
    SelfSigned(PairPath, Names),
    /// Issued by a CA directory.
    Issued(CaIssuer),
}

/// What is going to be done.
#[derive(Debug)]
pub enum Plan {
    /// No TLS.
    Plaintext,
    /// Files of the config, watched by the reloader.
    Files,
    /// Made by ourselves.
    SelfSigned(PairPath, Names),
    /// Issued, and renewed.
    Issued(CaIssuer),
}

impl Certificates {
    /// Decides, by command and config together.
    pub fn plan(self, config: &Config) -> Result<Plan, Mistakes> {
        match self {
            Self::SelfSigned(paths, names) => Ok(Plan::SelfSigned(paths, names)),
            Self::Issued(issuer) => Ok(Plan::Issued(issuer)),
            Self::AsConfigured => as_configured(config),
        }
    }
}

fn as_configured(config: &Config) -> Result<Plan, Mistakes> {
    let mistake = |text: &str| Err(Mistakes(vec![text.to_owned()]));
    match (config.tls.enabled, &config.tls.cert_file, &config.tls.key_file) {
        (Some(false), _, _) => Ok(Plan::Plaintext),
        (_, Some(_), Some(_)) => Ok(Plan::Files),
        (_, Some(_), None) => mistake("tls.key_file: missing beside tls.cert_file"),
        (_, None, Some(_)) => mistake("tls.cert_file: missing beside tls.key_file"),
        (_, None, None) => mistake(
            "no certificate: set tls.cert_file and tls.key_file, or use `serve --tls` (self-signed), \
             `serve-ca` or `serve-custom`, or set tls.enabled: false for plaintext",
        ),
    }
}

impl Plan {
    /// Returns when there is something to serve with. For files of a pod that may take as long as it takes.
    pub(super) async fn establish(
        self,
        shared: &Arc<Shared>,
        tasks: &mut JoinSet<anyhow::Result<()>>,
    ) -> Result<Security, Failure> {
        let now = Timestamp::now();
        let min_version = shared.config().tls.min_version;
        match self {
            Self::Plaintext => return Ok(Security::Plaintext),
            Self::Files => {}
            Self::SelfSigned(paths, names) => {
                let leaf = self_signed::in_files(&paths, &names, now)
                    .context("no self-signed certificate")
                    .map_err(Failure::Running)?;
                tracing::warn!(
                    certificate = %paths.certificate.display(),
                    "the certificate is self-signed: clients have to be given it"
                );
                put(shared, &leaf, min_version)?;
            }
            Self::Issued(issuer) => {
                let leaf = issuer.issue(now).map_err(|error| Failure::unusable(&error))?;
                let state = put(shared, &leaf, min_version)?;
                let stop = shared.shutdown.of_reports().drain;
                tasks.spawn(async move {
                    issuer.keep_fresh(state, stop).await;
                    Ok(())
                });
            }
        }
        Ok(Security::Tls(shared.tls.wait().await.server_config()))
    }
}

fn put(shared: &Shared, leaf: &Leaf, min_version: MinVersion) -> Result<Arc<TlsState>, Failure> {
    let state = Arc::new(TlsState::new(leaf, None, min_version).map_err(Failure::running)?);
    // Nobody else sets it: the config names no files.
    let _ = shared.tls.set(Arc::clone(&state));
    Ok(state)
}
