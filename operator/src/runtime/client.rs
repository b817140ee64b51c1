//! Clients of the API server. Every call is bounded; nothing is retried below our own back-off.

use std::time::Duration;

use kube::{Client, Config, client::ClientBuilder};
use tower::timeout::TimeoutLayer;

/// To connect, and for each write on a connection.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
/// From sending a request to the head of its answer.
const CALL_TIMEOUT: Duration = Duration::from_secs(15);
/// Between two pieces of an answer.
const READ_TIMEOUT: Duration = Duration::from_secs(20);
/// The same for watches: longer than the 290 s after which the API server ends one, so that only a dead connection
/// runs into it.
const WATCH_READ_TIMEOUT: Duration = Duration::from_secs(310);
/// For the lease: an answer that comes later is worth nothing.
const LEASE_TIMEOUT: Duration = Duration::from_secs(2);

/// The three clients, each on its own connections so that a slow list does not delay a renewal.
#[derive(Clone)]
pub struct Clients {
    /// For reads and writes of reconciles.
    pub calls: Client,
    /// For watches.
    pub watches: Client,
    /// For the lease.
    pub lease: Client,
}

impl Clients {
    /// Clients for the cluster that the environment names.
    pub async fn infer() -> Result<Self, ClientError> {
        let config = Config::infer().await?;
        Ok(Self {
            calls: client(config.clone(), CALL_TIMEOUT, READ_TIMEOUT)?,
            watches: client(config.clone(), WATCH_READ_TIMEOUT, WATCH_READ_TIMEOUT)?,
            lease: client(config, LEASE_TIMEOUT, LEASE_TIMEOUT)?,
        })
    }
}

/// Why there is no client.
#[derive(Debug, thiserror::Error)]
pub enum ClientError {
    /// Neither a service account nor a kubeconfig.
    #[error("failed to find out how to reach the API server: {0}")]
    Config(#[from] kube::config::InferConfigError),
    /// The configuration cannot be used.
    #[error("failed to make a client of the API server: {0}")]
    Client(#[from] kube::Error),
}

fn client(mut config: Config, answer: Duration, read: Duration) -> Result<Client, kube::Error> {
    config.default_retry = false;
    config.connect_timeout = Some(CONNECT_TIMEOUT);
    config.write_timeout = Some(CONNECT_TIMEOUT);
    config.read_timeout = Some(read);
    config.reset_reader_on_write = true;
    let builder = ClientBuilder::try_from(config)?;
    Ok(builder.with_layer(&TimeoutLayer::new(answer)).build())
}
