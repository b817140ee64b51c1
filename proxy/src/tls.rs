//! The serving certificate and what is agreed with it, replaceable while connections are open.
//!
//! [`TlsState`] holds one `rustls` config. A new certificate or a new client CA is checked whole and then swapped in; what
//! cannot be used is refused with a reason and changes nothing. Where the certificate comes from is told by the modules
//! below: mounted or named files ([`TlsState::reload`]), a CA directory ([`issuer`]), or nobody but ourselves
//! ([`self_signed`]). Files are watched elsewhere.

pub mod ca_directory;
pub mod clients;
pub mod issuer;
pub mod private_file;
pub mod self_signed;
mod server_config;

use std::{
    collections::BTreeMap,
    fmt,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use arc_swap::ArcSwap;
use jiff::Timestamp;
use rustls::ServerConfig;
use vibectl_config::{
    MinVersion,
    mount::{CERTIFICATE_FILE, KEY_FILE},
};
use vibectl_pki::{CertificateError, CertificateFacts, CrlError, Leaf, Lifetime, leaf::PairError};

use self::{clients::ClientTrust, server_config::Inputs};

/// Why a certificate, a key or a client CA is not put in force.
#[derive(Debug, thiserror::Error)]
pub enum TlsError {
    /// A file is absent.
    #[error("{0} is missing")]
    Missing(&'static str),
    /// A file is not text.
    #[error("{0} is not PEM")]
    NotPem(&'static str),
    /// Certificate and key are not a pair that can be served now.
    #[error(transparent)]
    Pair(#[from] PairError),
    /// The client CA cannot be read.
    #[error("client CA: {0}")]
    ClientCa(#[source] CertificateError),
    /// The revocation lists cannot be read, or are stale.
    #[error("client CRL: {0}")]
    ClientCrl(#[source] CrlError),
    /// The TLS library refuses what was read.
    #[error("failed to set up TLS: {0}")]
    Setup(String),
}

/// Reads the pair out of the content of a folder (`tls.crt`, `tls.key`): it parses, belongs together, and is valid now.
pub fn read_pair(files: &BTreeMap<String, Vec<u8>>, now: Timestamp) -> Result<Leaf, TlsError> {
    let leaf = Leaf::from_pem(text(files, CERTIFICATE_FILE)?, text(files, KEY_FILE)?)?;
    leaf.check_time(now)?;
    Ok(leaf)
}

/// What a TLS port serves with, at any moment.
pub struct TlsState {
    inputs: Mutex<Inputs>,
    config: Arc<ArcSwap<ServerConfig>>,
    facts: ArcSwap<CertificateFacts>,
}

impl TlsState {
    /// Serves with this leaf. With a client CA, callers have to show a certificate that it issued.
    pub fn new(leaf: &Leaf, clients: Option<ClientTrust>, min_version: MinVersion) -> Result<Self, TlsError> {
        let inputs = Inputs::new(leaf, clients, min_version)?;
        Self::of(inputs, leaf, |built| Arc::new(ArcSwap::new(built)))
    }

    /// The same, for a port that is open already: the config that it has is replaced.
    pub fn in_place_of(
        config: Arc<ArcSwap<ServerConfig>>,
        leaf: &Leaf,
        clients: Option<ClientTrust>,
        min_version: MinVersion,
    ) -> Result<Self, TlsError> {
        let inputs = Inputs::new(leaf, clients, min_version)?;
        Self::of(inputs, leaf, |built| {
            config.store(built);
            config
        })
    }

    fn of(
        inputs: Inputs,
        leaf: &Leaf,
        place: impl FnOnce(Arc<ServerConfig>) -> Arc<ArcSwap<ServerConfig>>,
    ) -> Result<Self, TlsError> {
        Ok(Self {
            config: place(inputs.build()?),
            facts: ArcSwap::from_pointee(leaf.facts().clone()),
            inputs: Mutex::new(inputs),
        })
    }

    /// The config in force; a listener loads it for each new connection.
    pub fn server_config(&self) -> Arc<ArcSwap<ServerConfig>> {
        Arc::clone(&self.config)
    }

    /// Facts about the certificate in force.
    pub fn facts(&self) -> Arc<CertificateFacts> {
        self.facts.load_full()
    }

    /// Puts the pair of these files in force, or says why not and keeps the last good one.
    pub fn reload(&self, files: &BTreeMap<String, Vec<u8>>, now: Timestamp) -> Result<(), String> {
        let leaf = read_pair(files, now).map_err(|error| error.to_string())?;
        self.replace(&leaf).map_err(|error| error.to_string())
    }

    /// Puts the client CA of these files, and its revocation lists if there are such now, in force, or says why not and keeps
    /// the last good ones.
    ///
    /// Never turns a check of client certificates off: that takes a restart with another config. Returns the serial numbers
    /// that are revoked now and were not before.
    pub fn reload_clients(
        &self,
        files: &BTreeMap<String, Vec<u8>>,
        now: Timestamp,
    ) -> Result<Vec<String>, String> {
        let before = self.inputs().clients().cloned();
        let lists = before.as_ref().is_some_and(ClientTrust::has_lists);
        let clients = ClientTrust::read(files, lists, now).map_err(|error| error.to_string())?;
        let revoked = clients.revoked_since(before.as_ref());
        self.change(|inputs| Ok(inputs.with_clients(clients))).map_err(|error| error.to_string())?;
        Ok(revoked)
    }

    /// When the revocation lists in force are stale; from then on no caller gets in. None without lists.
    pub fn lists_next_update(&self) -> Option<Timestamp> {
        self.lists_lifetime().map(|lifetime| lifetime.not_after)
    }

    /// From when until when the first of the revocation lists in force that becomes stale is good. None without lists.
    pub fn lists_lifetime(&self) -> Option<Lifetime> {
        self.inputs().clients().and_then(ClientTrust::lists_lifetime)
    }

    /// Puts a leaf in force.
    pub fn replace(&self, leaf: &Leaf) -> Result<(), TlsError> {
        self.change(|inputs| inputs.with_leaf(leaf))?;
        self.facts.store(Arc::new(leaf.facts().clone()));
        Ok(())
    }

    fn change(&self, change: impl FnOnce(&Inputs) -> Result<Inputs, TlsError>) -> Result<(), TlsError> {
        let mut inputs = self.inputs();
        let changed = change(&inputs)?;
        self.config.store(changed.build()?);
        *inputs = changed;
        Ok(())
    }

    fn inputs(&self) -> MutexGuard<'_, Inputs> {
        self.inputs.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl fmt::Debug for TlsState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TlsState").field("facts", &self.facts.load()).finish_non_exhaustive()
    }
}

fn text<'f>(files: &'f BTreeMap<String, Vec<u8>>, name: &'static str) -> Result<&'f str, TlsError> {
    let content = files.get(name).ok_or(TlsError::Missing(name))?;
    std::str::from_utf8(content).map_err(|_| TlsError::NotPem(name))
}
