//! From a leaf, a client CA and a version to the config of the TLS library.

use std::sync::Arc;

use rustls::{
    ServerConfig, SupportedProtocolVersion,
    crypto::{CryptoProvider, aws_lc_rs},
    server::NoServerSessionStorage,
    sign::{CertifiedKey, SingleCertAndKey},
    version::{TLS12, TLS13},
};
use vibectl_config::MinVersion;
use vibectl_pki::Leaf;

use super::{TlsError, clients::ClientTrust};

/// In the order of preference.
const ALPN: [&[u8]; 2] = [b"h2", b"http/1.1"];

/// What a config is built from, each checked.
#[derive(Clone)]
pub(super) struct Inputs {
    certified: Arc<CertifiedKey>,
    clients: Option<ClientTrust>,
    min_version: MinVersion,
}

impl Inputs {
    pub(super) fn new(
        leaf: &Leaf,
        clients: Option<ClientTrust>,
        min_version: MinVersion,
    ) -> Result<Self, TlsError> {
        Ok(Self { certified: certified(leaf)?, clients, min_version })
    }

    pub(super) fn clients(&self) -> Option<&ClientTrust> {
        self.clients.as_ref()
    }

    pub(super) fn with_leaf(&self, leaf: &Leaf) -> Result<Self, TlsError> {
        Ok(Self { certified: certified(leaf)?, ..self.clone() })
    }

    pub(super) fn with_clients(&self, clients: ClientTrust) -> Self {
        Self { clients: Some(clients), ..self.clone() }
    }

    /// Each config has tickets of its own, so a session that began under another client CA is never resumed.
    pub(super) fn build(&self) -> Result<Arc<ServerConfig>, TlsError> {
        let Self { certified, clients, min_version } = self;
        let builder = ServerConfig::builder_with_provider(provider())
            .with_protocol_versions(versions(*min_version))
            .map_err(setup)?;
        let builder = match clients {
            None => builder.with_no_client_auth(),
            Some(clients) => builder.with_client_cert_verifier(clients.verifier()?),
        };
        let resolver = SingleCertAndKey::from(CertifiedKey::clone(certified));
        let mut config = builder.with_cert_resolver(Arc::new(resolver));
        config.alpn_protocols = ALPN.map(<[u8]>::to_vec).to_vec();
        // A replayed request would be paid for twice.
        config.max_early_data_size = 0;
        if clients.is_some() {
            // A resumed session would outlive the client's certificate.
            config.session_storage = Arc::new(NoServerSessionStorage {});
            config.send_tls13_tickets = 0;
        } else {
            config.ticketer = aws_lc_rs::Ticketer::new().map_err(setup)?;
        }
        Ok(Arc::new(config))
    }
}

/// TLS 1.2 in this library has AEAD suites with forward secrecy only.
fn versions(min_version: MinVersion) -> &'static [&'static SupportedProtocolVersion] {
    static NEWEST_FIRST: [&SupportedProtocolVersion; 2] = [&TLS13, &TLS12];
    match min_version {
        MinVersion::V1_3 => NEWEST_FIRST.split_at(1).0,
        MinVersion::V1_2 => &NEWEST_FIRST,
    }
}

fn certified(leaf: &Leaf) -> Result<Arc<CertifiedKey>, TlsError> {
    let key = leaf.key().to_der().map_err(setup)?;
    let key = provider().key_provider.load_private_key(key).map_err(setup)?;
    Ok(Arc::new(CertifiedKey::new(leaf.chain().certificates().to_vec(), key)))
}

pub(super) fn provider() -> Arc<CryptoProvider> {
    Arc::new(aws_lc_rs::default_provider())
}

#[expect(clippy::needless_pass_by_value, reason = "handed to map_err")]
fn setup(error: impl ToString) -> TlsError {
    TlsError::Setup(error.to_string())
}
