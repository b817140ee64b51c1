//! From the config to everything that the worker needs. What is wrong with it is told before a port opens.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use tokio::time::sleep;
use vibectl_config::{Acme, ChallengeType, Config, Dns};
use vibectl_pki::acme::{
    ChallengeKind, Engine as Acme8555, EngineError, ExternalAccount, KeyChangeError, Settings,
};
use vibectl_pki::{NameError, Names};
use zeroize::Zeroizing;

use crate::acme::answers::Answers;
use crate::acme::dns::{DnsError, Hook, Records, Update};
use crate::acme::http_client::{Client, HttpClientError};
use crate::acme::http01::{Http01, Redirect};
use crate::acme::pending::Pending;
use crate::acme::publish::Publish;
use crate::acme::secret_file;
use crate::acme::store::{FileStore, Places};
use crate::acme::worker::{SystemHost, TheEngine};
use crate::provider::address::AddressRule;

/// How often, and how long in between, it is tried to get a turn at the account: half a minute together.
const TURNS: u32 = 150;
const TURN: Duration = Duration::from_millis(200);

/// Why the config does not do.
#[derive(Debug, thiserror::Error)]
pub enum PlanError {
    /// A name that is none.
    #[error("acme.domains: {0}")]
    Name(#[from] NameError),
    /// Names or directory that no ACME server could satisfy.
    #[error("acme: {0}")]
    Engine(#[from] EngineError),
    /// The directory, or its CA.
    #[error("acme.directory_url, acme.ca_cert_file: {0}")]
    Client(#[from] HttpClientError),
    /// A file that the config names.
    #[error("{key}: failed to read {}: {source}", .path.display())]
    File {
        /// The key of the config.
        key: &'static str,
        /// The file.
        path: PathBuf,
        /// Why not.
        source: io::Error,
    },
    /// The key of the external account.
    #[error("acme.eab.hmac_key_file: {} is not a key in base64url", .0.display())]
    HmacKey(PathBuf),
    /// The way to make DNS records.
    #[error("acme.dns: {0}")]
    Dns(#[from] DnsError),
}

/// What is going to be done, checked.
pub struct AcmePlan {
    pub(super) engine: TheEngine,
    /// Pending answers; for the handshake, too.
    pub answers: Answers,
    /// The listener of HTTP-01 with its address, where that is the kind of proof.
    pub http01: Option<(Http01, String, u16)>,
}

impl std::fmt::Debug for AcmePlan {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("AcmePlan").field("answers", &self.answers).finish_non_exhaustive()
    }
}

impl AcmePlan {
    /// Gives the account another key; nothing is served. A server that is at work on an order is waited for, a while.
    pub async fn change_account_key(&self) -> Result<(), KeyChangeError> {
        for _ in 0..TURNS {
            match self.engine.change_account_key().await {
                Err(KeyChangeError::Busy) => sleep(TURN).await,
                outcome => return outcome,
            }
        }
        Err(KeyChangeError::Busy)
    }

    /// Reads the files that the config names; state is kept in `folder`, the server's config directory.
    pub fn new(config: &Config, folder: &Path) -> Result<Self, PlanError> {
        let acme = &config.acme;
        let names = Names::parse(&acme.domains)?;
        let primary = names.iter().next().map(ToString::to_string).unwrap_or_default();
        let places = Places::new(folder, acme.directory(), &primary);
        let answers = Answers::new(places.answers());
        let ca = acme.ca_cert_file.as_deref().map(|path| read("acme.ca_cert_file", path)).transpose()?;
        // Whoever writes the config runs the server: every address is theirs to choose.
        let client = Client::new(acme.directory(), ca.as_deref().map(Vec::as_slice), AddressRule::Any)?;
        let publish = Publish { answers: answers.clone(), records: records(acme)? };
        let texts = names.iter().map(ToString::to_string).collect();
        let http01 = http01(config, Pending::Folder(answers.clone()), texts);
        let engine = Acme8555::new(
            settings(acme, names)?,
            Arc::new(client),
            FileStore::new(places),
            publish,
            SystemHost,
        )?;
        Ok(Self { engine, answers, http01 })
    }
}

fn settings(acme: &Acme, names: Names) -> Result<Settings, PlanError> {
    let external_account = match &acme.eab {
        None => None,
        Some(eab) => {
            let path = &eab.hmac_key_file;
            let text = secret_file::read(path).map_err(|source| PlanError::File {
                key: "acme.eab.hmac_key_file",
                path: path.clone(),
                source,
            })?;
            let account = ExternalAccount::from_base64url(&eab.kid, &text);
            Some(account.ok_or_else(|| PlanError::HmacKey(eab.hmac_key_file.clone()))?)
        }
    };
    Ok(Settings {
        directory_url: acme.directory().to_owned(),
        contact: acme.email.clone(),
        terms_agreed: acme.agree_tos,
        external_account,
        names,
        challenge: kind(acme.challenge.kind),
        auto_renew: acme.auto_renew,
    })
}

fn kind(kind: ChallengeType) -> ChallengeKind {
    match kind {
        ChallengeType::Http01 => ChallengeKind::Http01,
        ChallengeType::TlsAlpn01 => ChallengeKind::TlsAlpn01,
        ChallengeType::Dns01 => ChallengeKind::Dns01,
    }
}

fn records(acme: &Acme) -> Result<Option<Records>, PlanError> {
    Ok(match &acme.dns {
        _ if acme.challenge.kind != ChallengeType::Dns01 => None,
        None => None,
        Some(Dns::Update(update)) => Some(Records::Update(Update::new(update).map_err(DnsError::from)?)),
        Some(Dns::Hook(hook)) => Some(Records::Hook(Hook::new(hook))),
    })
}

/// The listener of HTTP-01 and its address, where that is the kind of proof. With strict transport security, callers who come
/// there by mistake are sent to these names.
pub(crate) fn http01(
    config: &Config,
    answers: Pending,
    names: Arc<[String]>,
) -> Option<(Http01, String, u16)> {
    let challenge = &config.acme.challenge;
    if challenge.kind != ChallengeType::Http01 {
        return None;
    }
    let redirect = config.tls.hsts.enabled.then_some(Redirect { names, port: config.server.port });
    let http01 = Http01 { answers, redirect };
    Some((http01, challenge.http_host.clone(), challenge.http_port))
}

fn read(key: &'static str, path: &Path) -> Result<Zeroizing<Vec<u8>>, PlanError> {
    let content = std::fs::read(path).map(Zeroizing::new);
    content.map_err(|source| PlanError::File { key, path: path.to_owned(), source })
}
