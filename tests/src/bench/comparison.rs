//! Gateways before the same upstream, one after the other, and the upstream without any.

use std::time::Duration;

use anyhow::{Context as _, Result};

use super::chat::{Chat, Model};
use super::gateway::{Gateway, Grpc};
use super::load::{Calls, Figures, Http, Method, run_calls};
use super::process::Process;
use super::upstream::{CHUNKS, Upstream};
use super::{WARM_UP_CALLS, eprint_progress};

/// Streams of each caller where they come at a pace.
const STREAMS_EACH: usize = 3;
/// Calls of the model that thinks for a while.
const SLOW_CALLS: usize = 480;

/// All that was measured.
pub struct Comparison {
    /// The upstream without a gateway: whole answers.
    pub direct: Whole,
    /// The upstream without a gateway: time to the first chunk of streams at a pace.
    pub direct_first: First,
    /// The upstream without a gateway: answers that it thinks about.
    pub direct_slow: Figures,
    /// How many streams there were at a time.
    pub streams_at_once: usize,
    /// The gateways.
    pub rows: Vec<Row>,
}

/// Whole answers, called one and sixteen at a time.
pub struct Whole {
    /// One at a time.
    pub one: Figures,
    /// Sixteen at a time.
    pub sixteen: Figures,
}

/// Times to the first chunk.
pub struct First {
    /// Median.
    pub p50: Duration,
    /// 99th percentile.
    pub p99: Duration,
}

/// One gateway.
pub struct Row {
    /// Its name.
    pub name: &'static str,
    /// Whole answers.
    pub whole: Whole,
    /// Processor time of its process for each whole answer, sixteen at a time.
    pub cpu_per_request: Duration,
    /// The same for each chunk of streams that come as fast as they can.
    pub cpu_per_chunk: Duration,
    /// The same for each chunk of many streams at a pace.
    pub cpu_per_paced_chunk: Duration,
    /// Time to the first chunk of those.
    pub first: First,
    /// The same over gRPC, where it can be called so.
    pub cpu_per_grpc_chunk: Option<Duration>,
    /// Answers that the upstream thinks about, sixteen at a time.
    pub slow: Figures,
    /// Resident memory before the first call.
    pub idle_kib: u64,
    /// Resident memory after whole answers, sixteen at a time.
    pub busy_kib: u64,
    /// Resident memory while the streams run, at the most.
    pub loaded_kib: u64,
}

/// Measures all of them.
///
/// # Errors
/// When one does not start or refuses a call.
pub async fn compare(
    gateways: &[Gateway],
    upstream: &Upstream,
    calls: usize,
    streams: usize,
) -> Result<Comparison> {
    let chat = Chat::new(&upstream.url(), None, None)?;
    eprint_progress("upstream", "directly");
    let direct = whole(&Calls::Chat(chat.clone(), Http::Whole), calls).await?;
    let direct_slow = run_calls(&Calls::Chat(chat.clone(), Http::Slow), 16, SLOW_CALLS).await?;
    let direct_first = first(&chat.paced_streams(streams, STREAMS_EACH).await?);
    let mut rows = Vec::new();
    for gateway in gateways {
        rows.push(measure(gateway, calls, streams).await.with_context(|| gateway.name)?);
    }
    Ok(Comparison { direct, direct_first, direct_slow, streams_at_once: streams, rows })
}

async fn measure(gateway: &Gateway, calls: usize, streams: usize) -> Result<Row> {
    let Gateway { name, launch, chat, grpc } = gateway;
    eprint_progress(name, "starting");
    let process = Process::launch(launch, async || chat.whole(Model::Bench).await.is_ok()).await?;
    let idle_kib = process.resident_kib()?;
    eprint_progress(name, "whole answers");
    let (whole, cpu_per_request) = with_cpu(&process, chat, calls).await?;
    let busy_kib = process.resident_kib()?;
    let slow = run_calls(&Calls::Chat(chat.clone(), Http::Slow), 16, SLOW_CALLS).await?;
    eprint_progress(name, "streams");
    let fast = Calls::Chat(chat.clone(), Http::Stream);
    let count = calls / 10;
    let per_chunk = cpu_per_chunk(&process, &fast, count).await?;
    let cpu_per_grpc_chunk = match grpc {
        None => None,
        Some(Grpc { address, token }) => {
            let calls = Calls::grpc(address, Method::StreamExecute, "bench", token.as_deref()).await?;
            Some(cpu_per_chunk(&process, &calls, count).await?)
        }
    };
    eprint_progress(name, "streams at a pace");
    let before = process.cpu_time()?;
    let mut loaded_kib = process.resident_kib()?;
    let paced = chat.paced_streams(streams, STREAMS_EACH);
    tokio::pin!(paced);
    let times = loop {
        tokio::select! {
            times = &mut paced => break times?,
            () = tokio::time::sleep(Duration::from_millis(200)) => loaded_kib = loaded_kib.max(process.resident_kib()?),
        }
    };
    let chunks = u32::try_from(streams * STREAMS_EACH * CHUNKS)?;
    let cpu_per_paced_chunk = (process.cpu_time()?.saturating_sub(before)) / chunks;
    process.stop().await?;
    Ok(Row {
        name,
        whole,
        cpu_per_request,
        cpu_per_chunk: per_chunk,
        cpu_per_grpc_chunk,
        cpu_per_paced_chunk,
        slow,
        first: first(&times),
        idle_kib,
        busy_kib,
        loaded_kib,
    })
}

/// Processor time of the process for each chunk of streams that come as fast as they can, sixteen at a time.
async fn cpu_per_chunk(process: &Process, streams: &Calls, count: usize) -> Result<Duration> {
    run_calls(streams, 16, WARM_UP_CALLS / 10).await?;
    let before = process.cpu_time()?;
    run_calls(streams, 16, count).await?;
    Ok(process.cpu_time()?.saturating_sub(before) / u32::try_from(count * CHUNKS)?)
}

async fn with_cpu(process: &Process, chat: &Chat, calls: usize) -> Result<(Whole, Duration)> {
    let calls_to = Calls::Chat(chat.clone(), Http::Whole);
    let one = one(&calls_to, calls).await?;
    run_calls(&calls_to, 16, WARM_UP_CALLS).await?;
    let before = process.cpu_time()?;
    let sixteen = run_calls(&calls_to, 16, calls).await?;
    let cpu = process.cpu_time()?.saturating_sub(before) / u32::try_from(sixteen.calls.max(1))?;
    Ok((Whole { one, sixteen }, cpu))
}

async fn whole(calls_to: &Calls, calls: usize) -> Result<Whole> {
    let one = one(calls_to, calls).await?;
    let sixteen = run_calls(calls_to, 16, calls).await?;
    Ok(Whole { one, sixteen })
}

async fn one(calls_to: &Calls, calls: usize) -> Result<Figures> {
    run_calls(calls_to, 1, WARM_UP_CALLS).await?;
    run_calls(calls_to, 1, calls).await
}

fn first(sorted: &[Duration]) -> First {
    let at = |percent: usize| sorted.get(sorted.len() * percent / 100).copied().unwrap_or_default();
    First { p50: at(50), p99: at(99) }
}
