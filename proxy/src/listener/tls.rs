//! How connections of a port are secured. Certificates and their renewal belong to [`crate::tls`].

use std::io;
use std::sync::Arc;

use arc_swap::ArcSwap;
use rustls::ServerConfig;
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;

use crate::listener::HANDSHAKE_TIME;

/// How connections of a port are secured.
#[derive(Clone, Debug)]
pub enum Security {
    /// Not at all.
    Plaintext,
    /// With TLS. A new connection uses what is in here when it arrives; open ones are not touched by a change.
    Tls(Arc<ArcSwap<ServerConfig>>),
}

/// Makes a TLS connection within [`HANDSHAKE_TIME`].
pub(super) async fn handshake(
    config: &ArcSwap<ServerConfig>,
    stream: TcpStream,
) -> io::Result<TlsStream<TcpStream>> {
    let acceptor = TlsAcceptor::from(config.load_full());
    timeout(HANDSHAKE_TIME, acceptor.accept(stream)).await.map_err(|_| io::ErrorKind::TimedOut)?
}
