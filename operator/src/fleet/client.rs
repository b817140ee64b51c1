//! Asks one pod for its report, or tells it what to refuse, over mutual TLS.
//!
//! The server is verified by the name of its LlmProxy (`UID.fleet.vibectl.dev`), not by its address: addresses are
//! reused, and a pod that got the address of another must not be taken for it. Each question has a connection of its
//! own: at one question in fifteen seconds a resumed handshake is cheaper than thousands of idle connections.

use std::{
    net::{IpAddr, SocketAddr},
    sync::Arc,
    time::Duration,
};

use hyper_util::rt::TokioIo;
use rustls::{ClientConfig, RootCertStore};
use rustls_pki_types::{PrivateKeyDer, ServerName, pem::PemObject};
use tokio::{net::TcpStream, time::timeout};
use tokio_rustls::TlsConnector;
use tonic::transport::{Channel, Endpoint, Uri};
use vibectl_proto::fleet::v1::{
    RefuseRequest, ReportRequest, ReportResponse, fleet_client::FleetClient as Stub,
};

use crate::{
    keys::fleet_ca::OperatorIdentity,
    names::{FLEET_PORT, fleet_host},
};

/// For connecting, handshake, question and answer together.
const DEADLINE: Duration = Duration::from_secs(3);
/// A report has a line for each token: far more than any proxy has.
const MAX_REPORT_BYTES: usize = 32 * 1024 * 1024;

/// Asks pods.
#[derive(Clone)]
pub struct FleetClient {
    tls: TlsConnector,
    port: u16,
}

/// Why a pod did not answer.
#[derive(Debug, thiserror::Error)]
pub enum FleetError {
    /// The operator's identity cannot be used.
    #[error("failed to use the operator's fleet identity: {0}")]
    Identity(String),
    /// No answer in time.
    #[error("no answer within {} s", DEADLINE.as_secs())]
    Timeout,
    /// Nobody listens, or it is not who it should be.
    #[error("failed to connect: {0}")]
    Connect(String),
    /// It answered with an error.
    #[error("answered {0}")]
    Status(tonic::Code),
}

impl FleetClient {
    /// A client that shows this identity and trusts its CA only.
    pub fn new(identity: &OperatorIdentity) -> Result<Self, FleetError> {
        let config = tls_config(identity).map_err(FleetError::Identity)?;
        let port = u16::try_from(FLEET_PORT).unwrap_or_default();
        Ok(Self { tls: TlsConnector::from(Arc::new(config)), port })
    }

    /// The same with another port, for tests on one address.
    pub fn with_port(self, port: u16) -> Self {
        Self { port, ..self }
    }

    /// The report of the pod of this LlmProxy at this address.
    pub async fn report(&self, proxy_uid: &str, ip: IpAddr) -> Result<ReportResponse, FleetError> {
        let address = SocketAddr::new(ip, self.port);
        timeout(DEADLINE, self.ask(proxy_uid, address)).await.map_err(|_| FleetError::Timeout)?
    }

    /// Tells the pod of this LlmProxy at this address what to refuse.
    pub async fn refuse(
        &self,
        proxy_uid: &str,
        ip: IpAddr,
        request: RefuseRequest,
    ) -> Result<(), FleetError> {
        let address = SocketAddr::new(ip, self.port);
        let told = async {
            let mut stub = self.connect(proxy_uid, address).await?;
            stub.refuse(request).await.map_err(|status| FleetError::Status(status.code()))
        };
        timeout(DEADLINE, told).await.map_err(|_| FleetError::Timeout)?.map(drop)
    }

    async fn ask(&self, proxy_uid: &str, address: SocketAddr) -> Result<ReportResponse, FleetError> {
        let mut stub = self.connect(proxy_uid, address).await?.max_decoding_message_size(MAX_REPORT_BYTES);
        let answer =
            stub.report(ReportRequest {}).await.map_err(|status| FleetError::Status(status.code()))?;
        Ok(answer.into_inner())
    }

    async fn connect(&self, proxy_uid: &str, address: SocketAddr) -> Result<Stub<Channel>, FleetError> {
        let host = fleet_host(proxy_uid);
        let name =
            ServerName::try_from(host.clone()).map_err(|error| FleetError::Connect(error.to_string()))?;
        let tls = self.tls.clone();
        // The scheme is plain because the connector below brings the TLS.
        let endpoint = Endpoint::from_shared(format!("http://{host}:{}", self.port))
            .map_err(|error| FleetError::Connect(error.to_string()))?;
        let connector = tower::service_fn(move |_: Uri| {
            let (tls, name) = (tls.clone(), name.clone());
            async move {
                let stream = TcpStream::connect(address).await?;
                tls.connect(name, stream).await.map(TokioIo::new)
            }
        });
        let channel = endpoint
            .connect_with_connector(connector)
            .await
            .map_err(|error| FleetError::Connect(innermost(&error)))?;
        Ok(Stub::new(channel))
    }
}

/// tonic's own message is "transport error"; the cause is what a person needs.
fn innermost(error: &dyn std::error::Error) -> String {
    let mut cause = error;
    while let Some(source) = cause.source() {
        cause = source;
    }
    cause.to_string()
}

fn tls_config(identity: &OperatorIdentity) -> Result<ClientConfig, String> {
    let mut roots = RootCertStore::empty();
    for certificate in identity.trust.certificates() {
        roots.add(certificate.clone()).map_err(|error| error.to_string())?;
    }
    let key =
        PrivateKeyDer::from_pem_slice(identity.leaf.key_pem().as_bytes()).map_err(|_| "unreadable key")?;
    let chain = identity.leaf.chain().certificates().to_vec();
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let mut config = ClientConfig::builder_with_provider(provider)
        .with_protocol_versions(&[&rustls::version::TLS13])
        .map_err(|error| error.to_string())?
        .with_root_certificates(roots)
        .with_client_auth_cert(chain, key)
        .map_err(|error| error.to_string())?;
    config.alpn_protocols = vec![b"h2".to_vec()];
    Ok(config)
}
