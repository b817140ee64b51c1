//! The serving certificate and what is agreed with it, replaceable while connections are open.
//!
//! [`TlsState`] holds one `rustls` config. A new certificate or a new client CA is checked whole and then swapped in; what
//! cannot be used is refused with a reason and changes nothing. Where the certificate comes from is told by the modules
//! below: mounted or named files ([`TlsState::reload`]), a CA directory ([`issuer`]), or nobody but ourselves
//! ([`self_signed`]). Files are watched elsewhere.

pub mod ca_directory;
pub mod issuer;
pub mod private_file;
pub mod self_signed;
mod server_config;

use std::{
    collections::BTreeMap,
    fmt,
    sync::{Arc, Mutex, PoisonError},
};

use arc_swap::ArcSwap;
use jiff::Timestamp;
use rustls::ServerConfig;
use vibectl_config::{
    MinVersion,
    mount::{CA_FILE, CERTIFICATE_FILE, KEY_FILE},
};
use vibectl_pki::{CertificateError, CertificateFacts, Leaf, TrustBundle, leaf::PairError};

use self::server_config::Inputs;

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

/// Reads the client CA out of the content of a folder (`ca.crt`).
pub fn read_client_ca(files: &BTreeMap<String, Vec<u8>>) -> Result<TrustBundle, TlsError> {
    TrustBundle::from_pem(text(files, CA_FILE)?).map_err(TlsError::ClientCa)
}

/// What a TLS port serves with, at any moment.
pub struct TlsState {
    inputs: Mutex<Inputs>,
    config: Arc<ArcSwap<ServerConfig>>,
    facts: ArcSwap<CertificateFacts>,
}

impl TlsState {
    /// Serves with this leaf. With a client CA, callers have to show a certificate that it issued.
    pub fn new(
        leaf: &Leaf,
        client_ca: Option<&TrustBundle>,
        min_version: MinVersion,
    ) -> Result<Self, TlsError> {
        let inputs = Inputs::new(leaf, client_ca, min_version)?;
        Ok(Self {
            config: Arc::new(ArcSwap::new(inputs.build()?)),
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

    /// Puts the client CA of these files in force, or says why not and keeps the last good one.
    ///
    /// Never turns the check of client certificates off: that takes a restart with another config.
    pub fn reload_client_ca(&self, files: &BTreeMap<String, Vec<u8>>) -> Result<(), String> {
        let client_ca = read_client_ca(files).map_err(|error| error.to_string())?;
        self.change(|inputs| inputs.with_client_ca(&client_ca)).map_err(|error| error.to_string())
    }

    /// Puts a leaf in force.
    pub fn replace(&self, leaf: &Leaf) -> Result<(), TlsError> {
        self.change(|inputs| inputs.with_leaf(leaf))?;
        self.facts.store(Arc::new(leaf.facts().clone()));
        Ok(())
    }

    fn change(&self, change: impl FnOnce(&Inputs) -> Result<Inputs, TlsError>) -> Result<(), TlsError> {
        let mut inputs = self.inputs.lock().unwrap_or_else(PoisonError::into_inner);
        let changed = change(&inputs)?;
        self.config.store(changed.build()?);
        *inputs = changed;
        Ok(())
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
