//! One connection, from its handshake to its end.

use std::io;
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::extract::Request;
use hyper::body::Incoming;
use hyper::rt::Executor;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::server::conn::auto::Builder;
use hyper_util::service::TowerToHyperService;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio::time::{Instant, sleep, timeout};
use tokio_util::task::TaskTracker;
use tower::ServiceExt;
use vibectl_config::Connections;

use crate::listener::newcomers::Newcomer;
use crate::listener::preface::await_first_bytes;
use crate::listener::tls::{Agreed, Protocol, Security, handshake, handshake_or_challenge};
use crate::listener::{PREFACE_TIME, Peer};
use crate::service::deadline::MAX_CALL;
use crate::shutdown::Stages;
use crate::state::Shared;

/// Requests of one HTTP/2 connection at the same time. tonic's own builder has no bound here.
pub const MAX_CONCURRENT_STREAMS: u32 = 100;
/// Stream resets that a peer's errors may cost us. Not less: an honest client that opens too many streams before it has
/// read our settings costs one for each.
const MAX_ERROR_RESETS: usize = 1024;
const MAX_HEADER_LIST: u32 = 16 * 1024;
const MAX_HTTP1_HEAD: usize = 64 * 1024;
/// What a peer may send before it was read: per stream, and of all streams together.
const STREAM_WINDOW: u32 = 512 * 1024;
const CONNECTION_WINDOW: u32 = 1024 * 1024;
/// What is kept for a peer that reads slowly, per stream; then its provider has to wait.
const SEND_BUFFER: usize = 64 * 1024;
/// Part of the age of a connection by which it is spread, so that connections made together do not end together.
const AGE_SPREAD: u32 = 10;

/// How long a connection that was asked to end may be without a request. Its peer should close it, and some never do.
const GOODBYE: Duration = Duration::from_secs(1);

/// What one connection needs to know.
pub(super) struct Connection {
    pub(super) port: &'static str,
    pub(super) peer: Peer,
    pub(super) security: Security,
    pub(super) router: Router,
    pub(super) stages: Stages,
    pub(super) tasks: TaskTracker,
    pub(super) shared: Arc<Shared>,
}

impl Connection {
    /// Serves the connection to its end. `newcomer` has its place in the order in which connections were accepted, which is not that
    /// in which their tasks begin.
    pub(super) async fn run(self, stream: TcpStream, newcomer: Newcomer) {
        let open = self.shared.metrics.connections.with([self.port]);
        open.add(1);
        let cut = self.stages.cut.clone();
        tokio::select! {
            () = self.secure(stream, newcomer) => {}
            () = cut.cancelled() => {}
        }
        open.add(-1);
    }

    async fn secure(&self, stream: TcpStream, newcomer: Newcomer) {
        match &self.security {
            Security::Plaintext => self.identify(stream, newcomer, Agreed::NOTHING).await,
            Security::Tls(config) => match self.while_welcome(&newcomer, handshake(config, stream)).await {
                Ok(stream) => {
                    let agreed = Agreed::in_handshake(&stream);
                    self.identify(stream, newcomer, agreed).await;
                }
                Err(error) => self.refused("handshake", &error),
            },
            Security::Acme(config, answers) => {
                match self.while_welcome(&newcomer, handshake_or_challenge(config, answers, stream)).await {
                    Ok(Some(stream)) => {
                        let agreed = Agreed::in_handshake(&stream);
                        self.identify(stream, newcomer, agreed).await;
                    }
                    Ok(None) => tracing::info!(peer = %self.peer.0, "answered a challenge"),
                    Err(error) => self.refused("handshake", &error),
                }
            }
        }
    }

    async fn identify<IO>(&self, io: IO, newcomer: Newcomer, agreed: Agreed)
    where
        IO: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    {
        match self.while_welcome(&newcomer, await_first_bytes(io)).await {
            Ok(io) => {
                drop(newcomer);
                self.serve(io, agreed).await;
            }
            Err(error) => self.refused("preface", &error),
        }
    }

    /// A connection without a request has nothing to finish when the server drains, and no claim to its place when that is
    /// needed by others.
    async fn while_welcome<T>(
        &self,
        newcomer: &Newcomer,
        step: impl Future<Output = io::Result<T>>,
    ) -> io::Result<T> {
        tokio::select! {
            done = step => done,
            () = self.stages.drain.cancelled() => Err(io::ErrorKind::ConnectionAborted.into()),
            () = newcomer.displaced.cancelled() => Err(io::ErrorKind::QuotaExceeded.into()),
        }
    }

    async fn serve<IO>(&self, io: IO, agreed: Agreed)
    where
        IO: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    {
        let (peer, requests) = (self.peer, Requests::default());
        let counted = requests.clone();
        let service = self.router.clone().map_request(move |mut request: Request<Incoming>| {
            request.extensions_mut().insert(peer);
            if let Some(client) = agreed.client {
                request.extensions_mut().insert(client);
            }
            request.extensions_mut().insert(Arc::new(counted.begin()));
            request.map(Body::new)
        });
        let bounds = &self.shared.config().server.connections;
        let builder = builder(self.tasks.clone(), agreed.protocol, bounds);
        let mut connection =
            pin!(builder.serve_connection(TokioIo::new(io), TowerToHyperService::new(service)));
        let ended = tokio::select! {
            ended = connection.as_mut() => Some(ended),
            () = self.stages.drain.cancelled() => None,
            () = sleep(age_of(peer, bounds)) => None,
        };
        let ended = if let Some(ended) = ended {
            Ok(ended)
        } else {
            connection.as_mut().graceful_shutdown();
            tokio::select! {
                ended = timeout(MAX_CALL, connection) => ended,
                () = requests.idle() => return,
            }
        };
        if let Ok(Err(error)) = ended {
            tracing::debug!(peer = %peer.0, error = &*error, "connection ended with an error");
        }
    }

    fn refused(&self, stage: &'static str, error: &io::Error) {
        self.shared.metrics.connections_refused.with([self.port, stage]).add(1);
        tracing::debug!(peer = %self.peer.0, stage, %error, "connection ended before its first request");
    }
}

/// Deterministic, so that nothing here draws randomness: ports of a client differ.
fn age_of(Peer(address): Peer, bounds: &Connections) -> Duration {
    let (age, share) = (seconds(bounds.max_age_seconds), u32::from(address.port()) % 1024);
    age + age / AGE_SPREAD * share / 1024
}

fn seconds(number: u32) -> Duration {
    Duration::from_secs(number.into())
}

fn builder(tasks: TaskTracker, protocol: Protocol, bounds: &Connections) -> Builder<Tracked> {
    let longest = MAX_CALL + seconds(bounds.ping_timeout_seconds);
    let mut builder = Builder::new(Tracked { tasks, longest });
    builder
        .http1()
        .timer(TokioTimer::new())
        .header_read_timeout(PREFACE_TIME)
        .max_buf_size(MAX_HTTP1_HEAD)
        .http2()
        .timer(TokioTimer::new())
        .max_concurrent_streams(MAX_CONCURRENT_STREAMS)
        .max_local_error_reset_streams(MAX_ERROR_RESETS)
        .max_header_list_size(MAX_HEADER_LIST)
        .initial_stream_window_size(STREAM_WINDOW)
        .initial_connection_window_size(CONNECTION_WINDOW)
        .max_send_buf_size(SEND_BUFFER)
        .keep_alive_interval(seconds(bounds.ping_interval_seconds))
        .keep_alive_timeout(seconds(bounds.ping_timeout_seconds));
    match protocol {
        Protocol::Either => builder,
        Protocol::Http1 => builder.http1_only(),
        Protocol::Http2 => builder.http2_only(),
    }
}

/// The requests of a connection that have not been answered to the end.
#[derive(Clone, Debug, Default)]
struct Requests(Arc<AtomicUsize>);

/// One of them; in the extensions of the request, and kept until its answer has ended.
#[derive(Debug)]
pub struct InProgress(Requests);

impl Requests {
    fn begin(&self) -> InProgress {
        self.0.fetch_add(1, Relaxed);
        InProgress(self.clone())
    }

    /// Completes when there was none for [`GOODBYE`].
    async fn idle(&self) {
        let mut since = Instant::now();
        while since.elapsed() < GOODBYE {
            sleep(GOODBYE / 8).await;
            if self.0.load(Relaxed) > 0 {
                since = Instant::now();
            }
        }
    }
}

impl Drop for InProgress {
    fn drop(&mut self) {
        self.0.0.fetch_sub(1, Relaxed);
    }
}

/// Runs the requests of HTTP/2 connections as tasks that the listener waits for, and that end even if their peer stops
/// reading while it still answers pings: a body that nobody reads is never asked for its deadline.
#[derive(Clone, Debug)]
struct Tracked {
    tasks: TaskTracker,
    longest: Duration,
}

impl<F> Executor<F> for Tracked
where
    F: Future + Send + 'static,
    F::Output: Send,
{
    fn execute(&self, request: F) {
        self.tasks.spawn(timeout(self.longest, request));
    }
}
