//! A long time of mixed load on one governed server: whether its memory or its open files grow, and what it warns of.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{BufRead as _, BufReader};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};
use serde_json::Value;
use tokio::task::JoinSet;
use tokio::time::sleep;

use super::chat::{Chat, Model};
use super::gateway::{Gateway, Grpc};
use super::load::{Calls, Http, Method, run_calls};
use super::process::{Launch, Process};

const CALLERS: usize = 8;
/// Between two calls of one caller: what is looked at is time, not throughput.
const PAUSE: Duration = Duration::from_millis(20);
const SAMPLE_EVERY: Duration = Duration::from_secs(5);
/// Of so many calls one is left after its first chunk, and one comes with a bad token.
const ODD_ONE_IN: usize = 100;

/// What the process held at one time.
#[derive(Debug, Clone, Copy)]
pub struct Sample {
    /// Since the start of the load.
    pub at: Duration,
    /// Resident memory.
    pub resident_kib: u64,
    /// Open files.
    pub files: usize,
}

/// What came of it.
#[derive(Debug)]
pub struct Soak {
    /// In their order.
    pub samples: Vec<Sample>,
    /// Calls, also those that were left or refused.
    pub calls: usize,
    /// Lines of the log at level warning and above, by their message.
    pub warnings: BTreeMap<String, usize>,
}

impl Soak {
    /// Growth of the resident memory in KiB an hour: the line of least squares through the samples, without their first quarter.
    pub fn slope(&self) -> f64 {
        let settled = self.samples.get(self.samples.len() / 4..).unwrap_or_default();
        slope(settled.iter().map(|sample| (sample.at.as_secs_f64() / 3600.0, as_f64(sample.resident_kib))))
    }
}

/// The line of least squares; zero where there is none.
fn slope(points: impl Iterator<Item = (f64, f64)> + Clone) -> f64 {
    let count = as_f64(points.clone().count() as u64).max(1.0);
    let mean = |of: fn((f64, f64)) -> f64| points.clone().map(of).sum::<f64>() / count;
    let (x, y) = (mean(|point| point.0), mean(|point| point.1));
    let (mut both, mut square) = (0.0, 0.0);
    for point in points {
        both += (point.0 - x) * (point.1 - y);
        square += (point.0 - x).powi(2);
    }
    if square > 0.0 { both / square } else { 0.0 }
}

#[expect(clippy::cast_precision_loss, reason = "far below 2^52")]
fn as_f64(count: u64) -> f64 {
    count as f64
}

/// Every way to call it, good and bad.
#[derive(Clone)]
struct Ways {
    good: Vec<Calls>,
    left: Chat,
    bad: Chat,
}

impl Ways {
    async fn of(gateway: &Gateway) -> Result<Self> {
        let Grpc { address, token } = gateway.grpc.as_ref().context("no gRPC port")?;
        let grpc = async |method| Calls::grpc(address, method, "bench", token.as_deref()).await;
        let good = vec![
            Calls::Chat(gateway.chat.clone(), Http::Whole),
            Calls::Chat(gateway.chat.clone(), Http::Stream),
            grpc(Method::Execute).await?,
            grpc(Method::StreamExecute).await?,
            grpc(Method::ServerInfo).await?,
        ];
        let bad = Chat::new(&format!("http://{address}"), Some("no.such.token"), None)?;
        Ok(Self { good, left: gateway.chat.clone(), bad })
    }

    async fn call(&self, number: usize) -> Result<()> {
        match number % ODD_ONE_IN {
            0 => self.left.leave(Model::Paced).await,
            1 => self.bad.refused().await,
            _ => {
                let way = self.good.get(number % self.good.len()).context("no way to call")?;
                run_calls(way, 1, 1).await.map(drop)
            }
        }
    }
}

/// Calls the server for so long.
///
/// # Errors
/// When a good call fails or a bad one does not.
pub async fn soak(gateway: &Gateway, length: Duration) -> Result<Soak> {
    let chat = &gateway.chat;
    let process = Process::launch(&gateway.launch, async || chat.whole(Model::Bench).await.is_ok()).await?;
    let (calls, stop) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicBool::new(false)));
    let mut callers = JoinSet::new();
    for _ in 0..CALLERS {
        callers.spawn(caller(Ways::of(gateway).await?, Arc::clone(&calls), Arc::clone(&stop)));
    }
    let started = Instant::now();
    let mut samples = Vec::new();
    while started.elapsed() < length {
        tokio::select! {
            // None ends before it is told to, unless a call went wrong.
            Some(ended) = callers.join_next() => ended??,
            () = sleep(SAMPLE_EVERY) => {
                let (resident_kib, files) = (process.resident_kib()?, process.open_files()?);
                samples.push(Sample { at: started.elapsed(), resident_kib, files });
            }
        }
    }
    stop.store(true, Ordering::Relaxed);
    while let Some(ended) = callers.join_next().await {
        ended??;
    }
    process.stop().await?;
    let warnings = warnings(&gateway.launch)?;
    Ok(Soak { samples, calls: calls.load(Ordering::Relaxed), warnings })
}

async fn caller(ways: Ways, calls: Arc<AtomicUsize>, stop: Arc<AtomicBool>) -> Result<()> {
    while !stop.load(Ordering::Relaxed) {
        let number = calls.fetch_add(1, Ordering::Relaxed);
        ways.call(number).await.with_context(|| format!("call {number}"))?;
        sleep(PAUSE).await;
    }
    Ok(())
}

fn warnings(launch: &Launch) -> Result<BTreeMap<String, usize>> {
    // Hours of it do not fit into memory.
    let log = BufReader::new(File::open(launch.log())?);
    let (mut warnings, mut requests) = (BTreeMap::new(), 0);
    for line in log.lines() {
        let Ok(line) = serde_json::from_str::<Value>(&line?) else { continue };
        requests += usize::from(line["message"] == "request");
        if matches!(line["level"].as_str(), Some("WARN" | "ERROR")) {
            *warnings.entry(line["message"].as_str().unwrap_or_default().to_owned()).or_default() += 1;
        }
    }
    ensure!(requests > 0, "the log is not the server's");
    Ok(warnings)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_slope_is_that_of_the_line_through_the_points() {
        let points = [(0.0, 10.0), (1.0, 12.0), (2.0, 14.0)];

        assert!((slope(points.into_iter()) - 2.0).abs() < 1e-9);
        assert!(slope(std::iter::empty()).abs() < 1e-9);
    }
}
