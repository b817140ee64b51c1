//! How connections of a port are secured. Certificates and their renewal belong to [`crate::tls`].

use std::io;
use std::sync::Arc;

use arc_swap::ArcSwap;
use aws_lc_rs::digest::{SHA256, digest};
use rustls::ServerConfig;
use rustls::server::Acceptor;
use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_rustls::server::TlsStream;
use tokio_rustls::{LazyConfigAcceptor, TlsAcceptor};

use crate::acme::alpn;
use crate::acme::pending::Pending;
use crate::listener::HANDSHAKE_TIME;

/// How connections of a port are secured.
#[derive(Clone, Debug)]
pub enum Security {
    /// Not at all.
    Plaintext,
    /// With TLS. A new connection uses what is in here when it arrives; open ones are not touched by a change.
    Tls(Arc<ArcSwap<ServerConfig>>),
    /// As [`Self::Tls`], and handshakes of an ACME server get the answer to its pending challenge.
    Acme(Arc<ArcSwap<ServerConfig>>, Pending),
}

/// SHA-256 of the certificate that the peer of a connection has shown and that was accepted, in the extensions of its
/// requests.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ClientCertificate(pub [u8; 32]);

/// What a connection speaks from its first byte on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Protocol {
    /// As the first bytes tell, where nothing was agreed because there is no TLS.
    Either,
    /// HTTP/1.1, also for a peer that agreed on nothing: HTTP/2 over TLS has to be agreed on (RFC 9113, section 3.2).
    Http1,
    /// HTTP/2.
    Http2,
}

/// What a handshake has settled.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Agreed {
    pub(super) protocol: Protocol,
    pub(super) client: Option<ClientCertificate>,
}

impl Agreed {
    /// Nothing, without TLS.
    pub(super) const NOTHING: Self = Self { protocol: Protocol::Either, client: None };

    pub(super) fn in_handshake(stream: &TlsStream<TcpStream>) -> Self {
        let (_, tls) = stream.get_ref();
        let protocol = match tls.alpn_protocol() {
            Some(b"h2") => Protocol::Http2,
            _ => Protocol::Http1,
        };
        let shown = tls.peer_certificates().and_then(<[_]>::first);
        Self { protocol, client: shown.map(|certificate| ClientCertificate::of(certificate)) }
    }
}

impl ClientCertificate {
    /// Of a certificate in DER.
    pub fn of(der: &[u8]) -> Self {
        let mut sum = [0; 32];
        for (to, from) in sum.iter_mut().zip(digest(&SHA256, der).as_ref()) {
            *to = *from;
        }
        Self(sum)
    }
}

/// Makes a TLS connection within [`HANDSHAKE_TIME`].
pub(super) async fn handshake(
    config: &ArcSwap<ServerConfig>,
    stream: TcpStream,
) -> io::Result<TlsStream<TcpStream>> {
    let acceptor = TlsAcceptor::from(config.load_full());
    timeout(HANDSHAKE_TIME, acceptor.accept(stream)).await.map_err(|_| io::ErrorKind::TimedOut)?
}

/// As [`handshake`]; none for a handshake that was a challenge's, which ends with its answer.
pub(super) async fn handshake_or_challenge(
    config: &ArcSwap<ServerConfig>,
    answers: &Pending,
    stream: TcpStream,
) -> io::Result<Option<TlsStream<TcpStream>>> {
    let whole = async {
        let start = LazyConfigAcceptor::new(Acceptor::default(), stream).await?;
        let challenged = alpn::challenged_name(&start.client_hello());
        if let Some(name) = challenged
            && let Some(answer) = alpn::config_for(answers, name).await
        {
            let mut stream = start.into_stream(answer).await?;
            stream.shutdown().await?;
            return Ok(None);
        }
        start.into_stream(config.load_full()).await.map(Some)
    };
    timeout(HANDSHAKE_TIME, whole).await.map_err(|_| io::ErrorKind::TimedOut)?
}
