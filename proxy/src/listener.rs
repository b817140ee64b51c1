//! Takes connections on one port and serves HTTP/1 and HTTP/2 on each, with a bound on everything that a peer controls.
//!
//! ```text
//! accept ──▶ tls (handshake) ──▶ preface (first bytes) ──▶ connection (requests, age, drain)
//! ```
//!
//! A peer that sends nothing, half a handshake or half a preface is gone after [`HANDSHAKE_TIME`] or [`PREFACE_TIME`], and
//! before that when there are too many of them.
//! An error of one connection, or of accepting one, never ends the server.

mod addresses;
pub mod connection;
mod newcomers;
pub mod preface;
pub mod tls;

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use tokio_util::task::TaskTracker;

use crate::listener::addresses::Addresses;
use crate::listener::connection::Connection;
use crate::listener::newcomers::Newcomers;
use crate::listener::tls::Security;
use crate::shutdown::Stages;
use crate::state::Shared;

/// Connections of one port at the same time, where there are files enough for them; further ones wait in the kernel's
/// queue.
pub const MAX_CONNECTIONS: usize = 4096;
/// Time for a TLS handshake, both halves together.
pub const HANDSHAKE_TIME: Duration = Duration::from_secs(10);
/// Time for the first bytes that tell the protocol.
pub const PREFACE_TIME: Duration = Duration::from_secs(10);
/// One in so many connections may be in its handshake or before its first bytes; beyond that the oldest of these has to go.
const SHARE_OF_NEWCOMERS: usize = 4;
/// Pause after an error of `accept` that will not go away by itself, such as too many open files.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// Address of the peer of a connection, in the extensions of its requests.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Peer(pub SocketAddr);

/// The port cannot be had.
#[derive(Debug, thiserror::Error)]
#[error("failed to listen on {host}:{port} for {purpose}")]
pub struct BindError {
    purpose: &'static str,
    host: String,
    port: u16,
    source: io::Error,
}

/// Takes a port. `purpose` is for the message of the error.
pub async fn bind(purpose: &'static str, host: &str, port: u16) -> Result<TcpListener, BindError> {
    let bound = TcpListener::bind((host, port)).await;
    bound.map_err(|source| BindError { purpose, host: host.to_owned(), port, source })
}

/// One port and what it serves.
pub struct Listener {
    /// What it is called in metrics.
    pub name: &'static str,
    /// The port.
    pub tcp: TcpListener,
    /// How its connections are secured.
    pub security: Security,
    /// What answers.
    pub router: Router,
    /// When it ends.
    pub stages: Stages,
    /// For counting.
    pub shared: Arc<Shared>,
}

impl Listener {
    /// Serves until the drain has ended: all connections done, or cut.
    pub async fn serve(self) {
        let Self { name, tcp, security, router, stages, shared } = self;
        let places = Arc::new(Semaphore::new(max_connections()));
        let newcomers = Newcomers::new(max_connections() / SHARE_OF_NEWCOMERS);
        let (addresses, tasks) = (Arc::<Addresses>::default(), TaskTracker::new());
        loop {
            let (stream, peer, place) = tokio::select! {
                biased;
                () = stages.drain.cancelled() => break,
                accepted = next(name, &tcp, &places, &shared) => accepted,
            };
            let most = shared.config().server.connections.max_per_address;
            let Some(counted) = addresses.enter(peer.ip(), most) else {
                shared.metrics.connections_refused.with([name, "address"]).add(1);
                continue;
            };
            let connection = Connection {
                port: name,
                peer: Peer(peer),
                security: security.clone(),
                router: router.clone(),
                stages: stages.clone(),
                tasks: tasks.clone(),
                shared: Arc::clone(&shared),
            };
            let newcomer = newcomers.arrive();
            tasks.spawn(async move {
                connection.run(stream, newcomer).await;
                drop((place, counted));
            });
        }
        drop(tcp);
        tasks.close();
        tasks.wait().await;
    }
}

/// The next connection; it waits while there are [`MAX_CONNECTIONS`].
async fn next(
    name: &'static str,
    tcp: &TcpListener,
    places: &Arc<Semaphore>,
    shared: &Shared,
) -> (TcpStream, SocketAddr, Option<tokio::sync::OwnedSemaphorePermit>) {
    // None only if the semaphore were closed, which nobody does.
    let place = Arc::clone(places).acquire_owned().await.ok();
    loop {
        match tcp.accept().await {
            Ok((stream, peer)) => {
                // Chunks of a stream are small and should not wait for each other.
                let _ = stream.set_nodelay(true);
                return (stream, peer, place);
            }
            Err(error) => {
                shared.metrics.connections_refused.with([name, "accept"]).add(1);
                if !is_of_the_peer(&error) {
                    tracing::warn!(%error, "failed to accept a connection");
                    tokio::time::sleep(ACCEPT_PAUSE).await;
                }
            }
        }
    }
}

/// True when the connection was gone before it was accepted; the next one may be fine.
fn is_of_the_peer(error: &io::Error) -> bool {
    use io::ErrorKind::{ConnectionAborted, ConnectionRefused, ConnectionReset, Interrupted};
    matches!(error.kind(), ConnectionAborted | ConnectionRefused | ConnectionReset | Interrupted)
}

/// Half of the files that the process may open: the other half is for calls to providers, and for files.
fn max_connections() -> usize {
    let limits = std::fs::read_to_string("/proc/self/limits").unwrap_or_default();
    open_files(&limits).map_or(MAX_CONNECTIONS, |files| (files / 2).clamp(1, MAX_CONNECTIONS))
}

/// The soft limit in the text of `/proc/self/limits`.
fn open_files(limits: &str) -> Option<usize> {
    let line = limits.lines().find_map(|line| line.strip_prefix("Max open files"))?;
    line.split_whitespace().next()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_limit_of_open_files_is_read_and_unlimited_is_none() {
        let text = "Limit                     Soft Limit           Hard Limit           Units\n\
                    Max open files            1024                 524288               files\n";

        assert_eq!(open_files(text), Some(1024));
        assert_eq!(open_files(&text.replace("1024  ", "unlimited")), None);
        assert_eq!(open_files(""), None);
    }
}
