//! A closed loop: a fixed number of callers on one connection, each calling again as soon as it has its answer.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail};
use tonic::Request;
use tonic::metadata::{Ascii, MetadataValue};
use tonic::transport::{Channel, Endpoint};
use vibectl_proto::llm_proxy::vibectl_llm_proxy_client::VibectlLlmProxyClient;
use vibectl_proto::llm_proxy::{ExecuteRequest, GetServerInfoRequest, execute_response, stream_chunk};

use super::chat::{Chat, Model};
use super::process::Process;

/// What one row of the table calls.
#[derive(Debug, Clone)]
pub struct Kind {
    /// Which method.
    pub method: Method,
    /// Callers at once.
    pub concurrency: usize,
}

/// A method of the public contract.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Method {
    /// Unary `Execute`.
    Execute,
    /// `StreamExecute`, read to its end.
    StreamExecute,
    /// `GetServerInfo`.
    ServerInfo,
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let name = match self.method {
            Method::Execute => "Execute",
            Method::StreamExecute => "StreamExecute",
            Method::ServerInfo => "GetServerInfo",
        };
        write!(f, "{name}, {} at once", self.concurrency)
    }
}

/// The rows of the table.
pub fn matrix() -> Vec<Kind> {
    let rows = [
        (Method::Execute, 1),
        (Method::Execute, 16),
        (Method::Execute, 64),
        (Method::StreamExecute, 1),
        (Method::StreamExecute, 16),
        (Method::ServerInfo, 16),
    ];
    rows.map(|(method, concurrency)| Kind { method, concurrency }).to_vec()
}

/// Rate and latencies as the caller saw them.
#[derive(Debug, Clone)]
pub struct Figures {
    /// Answered calls.
    pub calls: usize,
    /// Calls a second over the whole run.
    pub rate: f64,
    /// Median latency.
    pub p50: Duration,
    /// 99th percentile of the latency.
    pub p99: Duration,
}

/// A way to make one call, again and again.
#[derive(Clone)]
pub enum Calls {
    /// gRPC on one connection.
    Grpc(Box<Grpc>),
    /// Chat completions.
    Chat(Chat, Http),
}

/// What is called over HTTP.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Http {
    /// A whole answer.
    Whole,
    /// A whole answer of a model that thinks for a while.
    Slow,
    /// A stream that comes as fast as it can.
    Stream,
}

/// A connection, and what is called on it.
#[derive(Clone)]
pub struct Grpc {
    method: Method,
    client: VibectlLlmProxyClient<Channel>,
    request: ExecuteRequest,
    /// The whole value of the header.
    authorization: Option<MetadataValue<Ascii>>,
}

impl Grpc {
    fn request<T>(&self, message: T) -> Request<T> {
        let mut request = Request::new(message);
        if let Some(authorization) = &self.authorization {
            request.metadata_mut().insert("authorization", authorization.clone());
        }
        request
    }

    async fn call(&mut self) -> Result<()> {
        match self.method {
            Method::Execute => self.execute().await,
            Method::StreamExecute => self.stream().await,
            Method::ServerInfo => {
                self.client.get_server_info(self.request(GetServerInfoRequest {})).await?;
                Ok(())
            }
        }
    }

    async fn execute(&mut self) -> Result<()> {
        let answer = self.client.execute(self.request(self.request.clone())).await?.into_inner();
        match answer.result {
            Some(execute_response::Result::Success(_)) => Ok(()),
            other => bail!("the call was answered with an error: {other:?}"),
        }
    }

    async fn stream(&mut self) -> Result<()> {
        let mut stream = self.client.stream_execute(self.request(self.request.clone())).await?.into_inner();
        let mut complete = false;
        while let Some(chunk) = stream.message().await? {
            complete |= matches!(chunk.chunk_type, Some(stream_chunk::ChunkType::Complete(_)));
        }
        if !complete {
            bail!("a stream ended without `complete`");
        }
        Ok(())
    }
}

impl Calls {
    /// gRPC calls of one method on one new connection; the model is the default where it is empty.
    ///
    /// # Errors
    /// When the address does not accept a connection.
    pub async fn grpc(address: &str, method: Method, model: &str, token: Option<&str>) -> Result<Self> {
        let channel = Endpoint::from_shared(format!("http://{address}"))?.connect().await?;
        let request = ExecuteRequest {
            user_fragments: vec!["Why is the pod pending?".into()],
            model_name: (!model.is_empty()).then(|| model.into()),
            ..ExecuteRequest::default()
        };
        let authorization = token.map(|token| format!("Bearer {token}").parse()).transpose()?;
        let client = VibectlLlmProxyClient::new(channel);
        Ok(Self::Grpc(Box::new(Grpc { method, client, request, authorization })))
    }

    async fn call(&mut self) -> Result<()> {
        match self {
            Self::Grpc(grpc) => grpc.call().await?,
            Self::Chat(chat, Http::Whole) => chat.whole(Model::Bench).await?,
            Self::Chat(chat, Http::Slow) => chat.whole(Model::Slow).await?,
            Self::Chat(chat, Http::Stream) => {
                chat.stream(Model::Bench).await?;
            }
        }
        Ok(())
    }
}

/// Runs one row against a process.
///
/// # Errors
/// When a call fails: a benchmark of failing calls says nothing.
pub async fn run(process: &Process, kind: &Kind, calls: usize) -> Result<Figures> {
    let calls_to = Calls::grpc(&process.address, kind.method, "", None).await.context("failed to connect")?;
    run_calls(&calls_to, kind.concurrency, calls).await
}

/// Runs `calls` calls with `concurrency` callers.
///
/// # Errors
/// When a call fails.
pub async fn run_calls(calls_to: &Calls, concurrency: usize, calls: usize) -> Result<Figures> {
    let left = Arc::new(AtomicUsize::new(calls));
    let started = Instant::now();
    let mut callers = tokio::task::JoinSet::new();
    for _ in 0..concurrency {
        callers.spawn(caller(calls_to.clone(), Arc::clone(&left)));
    }
    let mut latencies = Vec::with_capacity(calls);
    while let Some(of_one) = callers.join_next().await {
        latencies.extend(of_one??);
    }
    Ok(figures(latencies, started.elapsed()))
}

async fn caller(mut calls_to: Calls, left: Arc<AtomicUsize>) -> Result<Vec<Duration>> {
    let mut latencies = Vec::new();
    while left.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |n| n.checked_sub(1)).is_ok() {
        let started = Instant::now();
        calls_to.call().await?;
        latencies.push(started.elapsed());
    }
    Ok(latencies)
}

#[expect(clippy::cast_precision_loss, reason = "a count of calls is far below 2^52")]
fn figures(mut latencies: Vec<Duration>, elapsed: Duration) -> Figures {
    latencies.sort_unstable();
    let at = |percent: usize| latencies.get(latencies.len() * percent / 100).copied().unwrap_or_default();
    Figures {
        calls: latencies.len(),
        rate: latencies.len() as f64 / elapsed.as_secs_f64(),
        p50: at(50),
        p99: at(99),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percentiles_are_taken_from_the_sorted_latencies() {
        let latencies = (1..=100).rev().map(Duration::from_millis).collect();

        let figures = figures(latencies, Duration::from_secs(10));

        assert_eq!(figures.p50, Duration::from_millis(51));
        assert_eq!(figures.p99, Duration::from_millis(100));
        assert!((figures.rate - 10.0).abs() < 1e-9);
    }
}
