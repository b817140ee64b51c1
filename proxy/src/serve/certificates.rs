//! Where the certificate of the service port comes from. No way ever falls back to a weaker one.

use std::path::Path;
use std::sync::Arc;

use anyhow::Context;
use jiff::Timestamp;
use tokio::task::JoinSet;
use vibectl_config::{Config, Tls};
use vibectl_pki::{Leaf, Names};

use crate::acme::AcmePlan;
use crate::certificate_events::Event;
use crate::cli::outcome::Failure;
use crate::listener::tls::Security;
use crate::reload::client_trust;
use crate::serve::acme;
use crate::settings::Mistakes;
use crate::settings::mode::Mode;
use crate::state::Shared;
use crate::tls::ca_directory::PairPath;
use crate::tls::issuer::CaIssuer;
use crate::tls::{TlsState, self_signed};

/// What the command brings along for its mode.
#[derive(Debug)]
pub enum Certificates {
    /// Nothing: files are named, or there is no TLS.
    Named,
    /// Where a self-signed pair is kept, should the mode ask for one.
    SelfSigned(PairPath),
    /// A CA directory that issues.
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
    /// From an ACME server.
    Acme(Box<AcmePlan>),
}

impl Certificates {
    /// What the mode means with what the command brings along.
    /// `folder` is the server's config directory.
    pub fn plan(self, mode: Mode, config: &Config, folder: Option<&Path>) -> Result<Plan, Mistakes> {
        match (mode, self) {
            (Mode::Insecure, _) => Ok(Plan::Plaintext),
            (Mode::Custom, _) => Ok(Plan::Files),
            (Mode::SelfSigned, Self::SelfSigned(paths)) => {
                let host = Some(config.server.host.as_str()).filter(is_a_name).unwrap_or("localhost");
                let names = self_signed::names(host).map_err(|error| mistake(&format!("{host}: {error}")))?;
                Ok(Plan::SelfSigned(paths, names))
            }
            (Mode::Ca, Self::Issued(issuer)) => Ok(Plan::Issued(issuer)),
            (Mode::Acme, _) => acme::plan(config, folder),
            // Each command brings along what its own modes need.
            (Mode::SelfSigned | Mode::Ca, _) => Err(mistake("no place for a certificate")),
        }
    }
}

fn mistake(text: &str) -> Mistakes {
    Mistakes(vec![text.to_owned()])
}

/// A wildcard address is nobody's name.
fn is_a_name(host: &&str) -> bool {
    host.parse::<std::net::IpAddr>().map_or(true, |address| !address.is_unspecified())
}

impl Plan {
    /// Returns when there is something to serve with. For files of a pod that may take as long as it takes.
    pub(super) async fn establish(
        self,
        shared: &Arc<Shared>,
        tasks: &mut JoinSet<anyhow::Result<()>>,
    ) -> Result<Security, Failure> {
        let now = Timestamp::now();
        let tls = &shared.config().tls;
        match self {
            Self::Plaintext => return Ok(Security::Plaintext),
            Self::Acme(plan) => return acme::establish(*plan, shared, tasks).await,
            Self::Files => {
                if let Some(place) = shared.open_place.get() {
                    return acme::establish_mounted(place, shared, tasks).await;
                }
            }
            Self::SelfSigned(paths, names) => {
                let leaf = self_signed::in_files(&paths, &names, now)
                    .context("no self-signed certificate")
                    .map_err(Failure::Running)?;
                tracing::warn!(
                    certificate = %paths.certificate.display(),
                    "the certificate is self-signed: clients have to be given it"
                );
                put(shared, &leaf, tls, now)?;
            }
            Self::Issued(issuer) => {
                let leaf = issuer.issue(now).map_err(|error| Failure::unusable(&error))?;
                let state = put(shared, &leaf, tls, now)?;
                let (shared, stop) = (Arc::clone(shared), shared.shutdown.of_reports().drain);
                tasks.spawn(async move {
                    let renewed = |outcome: &_| shared.renewed(outcome);
                    issuer.keep_fresh(state, renewed, stop).await;
                    Ok(())
                });
            }
        }
        Ok(Security::Tls(shared.tls.wait().await.server_config()))
    }
}

fn put(shared: &Shared, leaf: &Leaf, tls: &Tls, now: Timestamp) -> Result<Arc<TlsState>, Failure> {
    let clients = client_trust(tls, now).map_err(Failure::Usage)?;
    let state = Arc::new(TlsState::new(leaf, clients, tls.min_version).map_err(Failure::running)?);
    // Nobody else sets it: the config names no files.
    let _ = shared.tls.set(Arc::clone(&state));
    shared.tell(Event::Issued { certificate: leaf.facts().into() });
    Ok(state)
}
