//! The HTTP client that talks to an ACME server of a user's choice: no redirects, no retries, bounded in time and size, and to
//! no address that only the operator may reach.
//!
//! Each request has a connection of its own: an order takes about twenty requests in months.

use std::net::{IpAddr, SocketAddr};
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::header::{HOST, USER_AGENT};
use http::{HeaderValue, Request, Uri};
use http_body_util::{BodyExt, Full, Limited};
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use rustls::{ClientConfig, RootCertStore};
use rustls_pki_types::ServerName;
use tokio::net::{TcpStream, lookup_host};
use tokio::time::timeout;
use tokio_rustls::{TlsConnector, client::TlsStream};
use vibectl_config::address::{AddressRule, Refused};
use vibectl_pki::TrustBundle;
use vibectl_pki::acme::{BodyWrapper, BytesResponse, ClientError, HttpClient, MAX_BODY};

use crate::names::FLEET_PORT;

/// Time to connect, and for one whole answer.
const CONNECT: Duration = Duration::from_secs(10);
const ANSWER: Duration = Duration::from_secs(30);
/// Who we are (RFC 8555, 6.1).
const AGENT: &str = concat!("vibectl-operator/", env!("CARGO_PKG_VERSION"), " instant-acme");
/// Port of every kubelet.
const KUBELET_PORT: u16 = 10250;

/// Why no client can be made, or no answer was had.
#[derive(Debug, thiserror::Error)]
pub enum HttpError {
    /// The directory URL is not one.
    #[error("directoryUrl is not a web address")]
    Url,
    /// The port is one of the cluster's own.
    #[error("directoryUrl leads to port {0}, which belongs to the cluster itself")]
    Port(u16),
    /// The directory URL leads where its author may not reach.
    #[error("directoryUrl is {0}")]
    Address(#[from] Refused),
    /// It leads to the API server.
    #[error("directoryUrl is the API server")]
    ApiServer,
    /// The CA cannot be used.
    #[error("caBundle has no usable certificate")]
    Ca,
    /// TLS cannot be set up.
    #[error("failed to set up TLS: {0}")]
    Tls(#[from] rustls::Error),
    /// The name does not resolve.
    #[error("failed to resolve {0}: {1}")]
    Resolve(String, #[source] std::io::Error),
    /// Nobody answers, or not who should.
    #[error("failed to connect to {0}: {1}")]
    Connect(String, #[source] std::io::Error),
    /// The answer is no HTTP.
    #[error("failed to read the answer of the ACME server: {0}")]
    Http(#[from] hyper::Error),
    /// The answer broke off or is too long.
    #[error("failed to read the answer of the ACME server: {0}")]
    Body(#[source] Box<dyn std::error::Error + Send + Sync>),
    /// No answer in time.
    #[error("no answer from {0} within {1} s")]
    Timeout(String, u64),
}

/// A client for one ACME server.
#[derive(Clone)]
pub struct Client {
    host: String,
    port: u16,
    name: ServerName<'static>,
    api_server: Option<IpAddr>,
    tls: TlsConnector,
}

impl Client {
    /// A client that trusts this CA alone, or else the well-known ones. `api_server` is never talked to.
    pub fn new(
        directory_url: &str,
        ca: Option<&TrustBundle>,
        api_server: Option<IpAddr>,
    ) -> Result<Self, HttpError> {
        let uri: Uri = directory_url.parse().map_err(|_| HttpError::Url)?;
        let host = uri.host().ok_or(HttpError::Url)?.trim_matches(['[', ']']).to_owned();
        let port = uri.port_u16().unwrap_or(443);
        if port == KUBELET_PORT || i32::from(port) == FLEET_PORT {
            return Err(HttpError::Port(port));
        }
        let name = ServerName::try_from(host.clone()).map_err(|_| HttpError::Url)?;
        let tls = TlsConnector::from(Arc::new(tls(ca)?));
        let client = Self { host, port, name, api_server, tls };
        // A literal address is told at once.
        client.host.parse().map_or(Ok(()), |address| client.check(address))?;
        Ok(client)
    }

    fn check(&self, address: IpAddr) -> Result<(), HttpError> {
        AddressRule::Guarded.check(address)?;
        if self.api_server == Some(address) { Err(HttpError::ApiServer) } else { Ok(()) }
    }

    async fn send(self, request: Request<BodyWrapper<Bytes>>) -> Result<BytesResponse, HttpError> {
        let late = || HttpError::Timeout(self.host.clone(), ANSWER.as_secs());
        timeout(ANSWER, self.exchange(request)).await.unwrap_or_else(|_| Err(late()))
    }

    async fn exchange(&self, request: Request<BodyWrapper<Bytes>>) -> Result<BytesResponse, HttpError> {
        let request = self.in_origin_form(request).await?;
        let stream = timeout(CONNECT, self.connect()).await;
        let stream = stream.map_err(|_| HttpError::Timeout(self.host.clone(), CONNECT.as_secs()))??;
        let (mut sender, connection) = http1::handshake(TokioIo::new(stream)).await?;
        let answered = async move {
            let (parts, body) = sender.send_request(request).await?.into_parts();
            let body = Limited::new(body, MAX_BODY).collect().await.map_err(HttpError::Body)?;
            Ok(BytesResponse { parts, body: Box::new(body.to_bytes()) })
        };
        // The connection ends with its sender, well or not: what counts is the answer.
        let (answer, _) = tokio::join!(answered, connection);
        answer
    }

    /// As a server expects it: the path alone, and the host in a header.
    async fn in_origin_form(
        &self,
        request: Request<BodyWrapper<Bytes>>,
    ) -> Result<Request<Full<Bytes>>, HttpError> {
        let (mut parts, body) = request.into_parts();
        let body = match body.collect().await {
            Ok(body) => body.to_bytes(),
            Err(never) => match never {},
        };
        let authority = parts.uri.authority().map(ToString::to_string).unwrap_or_default();
        let authority = HeaderValue::from_str(&authority).map_err(|_| HttpError::Url)?;
        parts.headers.insert(HOST, authority);
        parts.headers.insert(USER_AGENT, HeaderValue::from_static(AGENT));
        let path = parts.uri.path_and_query().cloned();
        parts.uri = path.map_or_else(Uri::default, Uri::from);
        Ok(Request::from_parts(parts, Full::new(body)))
    }

    /// To the first address that may be reached and takes the connection. The rule is for what is connected to, so a name that
    /// resolves to something else the next time gains nothing.
    async fn connect(&self) -> Result<TlsStream<TcpStream>, HttpError> {
        let failed = |error| HttpError::Connect(self.host.clone(), error);
        let found = lookup_host((self.host.as_str(), self.port)).await;
        let found: Vec<SocketAddr> =
            found.map_err(|error| HttpError::Resolve(self.host.clone(), error))?.collect();
        let mut last = failed(std::io::ErrorKind::NotFound.into());
        for address in found {
            if let Err(refused) = self.check(address.ip()) {
                last = refused;
                continue;
            }
            match TcpStream::connect(address).await {
                Ok(stream) => return self.tls.connect(self.name.clone(), stream).await.map_err(failed),
                Err(error) => last = failed(error),
            }
        }
        Err(last)
    }
}

impl HttpClient for Client {
    fn request(
        &self,
        request: Request<BodyWrapper<Bytes>>,
    ) -> Pin<Box<dyn Future<Output = Result<BytesResponse, ClientError>> + Send>> {
        let client = self.clone();
        Box::pin(
            async move { client.send(request).await.map_err(|error| ClientError::Other(Box::new(error))) },
        )
    }
}

fn tls(ca: Option<&TrustBundle>) -> Result<ClientConfig, HttpError> {
    let mut roots = RootCertStore::empty();
    match ca {
        Some(bundle) => {
            roots.add_parsable_certificates(bundle.certificates().iter().cloned());
            if roots.is_empty() {
                return Err(HttpError::Ca);
            }
        }
        None => roots.extend(webpki_roots::TLS_SERVER_ROOTS.iter().cloned()),
    }
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let config = ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions()?;
    let mut config = config.with_root_certificates(roots).with_no_client_auth();
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    Ok(config)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refusal(url: &str) -> String {
        let client = Client::new(url, None, Some([10, 96, 0, 1].into()));
        client.err().map(|error| error.to_string()).unwrap_or_default()
    }

    #[test]
    fn h12_a_directory_where_only_the_operator_may_reach_is_refused() {
        for (url, words) in [
            ("https://127.0.0.1:14000/dir", "a loopback address"),
            ("https://[::1]/dir", "a loopback address"),
            ("https://[::ffff:127.0.0.1]/dir", "a loopback address"),
            ("https://169.254.169.254/latest", "a link-local address"),
            ("https://168.63.129.16/", "a metadata service"),
            ("https://10.96.0.1/dir", "the API server"),
            ("https://10.0.0.7:10250/pods", "port 10250"),
            ("https://10.0.0.7:9443/dir", "port 9443"),
        ] {
            assert!(refusal(url).contains(words), "{url}: {}", refusal(url));
        }
        assert_eq!(refusal("https://198.51.100.7:14000/dir"), "");
    }

    #[tokio::test]
    async fn h12_a_name_that_resolves_to_the_operator_itself_is_refused() {
        let client = Client::new("https://localhost:1/dir", None, None).unwrap();

        let error = client.connect().await.err().unwrap();

        assert_eq!(error.to_string(), "directoryUrl is a loopback address");
    }
}
