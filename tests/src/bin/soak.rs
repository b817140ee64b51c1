//! `make soak`: hours of mixed load on one server; fails where its memory or its open files grow.

use std::io::Write as _;
use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use clap::Parser;
use vibectl_tests::bench::gateway::Bench;
use vibectl_tests::bench::soak::{Soak, soak};
use vibectl_tests::bench::upstream::Upstream;

/// What memory may grow by in an hour.
const KIB_AN_HOUR: f64 = 1024.0;
/// Shorter runs say nothing about an hour: their slope is printed and not judged.
const JUDGED_FROM: Duration = Duration::from_secs(1200);
/// Connections come and go: so many more files at the end than after a quarter are no leak.
const MORE_FILES: usize = 16;

/// Calls vibectl-server in every way for a long time, now and then badly, and looks whether anything grows.
#[derive(Parser)]
struct Arguments {
    /// The release build of vibectl-server.
    #[arg(long, default_value = "target/release/vibectl-server")]
    server: PathBuf,
    /// How long.
    #[arg(long, default_value_t = 7200)]
    seconds: u64,
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<()> {
    let arguments = Arguments::parse();
    let (folder, upstream) = (tempfile::tempdir()?, Upstream::start().await?);
    let server = arguments.server.canonicalize().context("--server names no program")?;
    let bench = Bench { server: &server, upstream: &upstream, folder: folder.path() };
    let length = Duration::from_secs(arguments.seconds);
    let soaked = soak(&bench.governed("soak")?, length).await?;
    report(&soaked)?;
    judge(&soaked, length)
}

fn report(soaked: &Soak) -> Result<()> {
    let mut out = std::io::stdout();
    writeln!(out, "| after | RSS | open files |\n|---|---|---|")?;
    let samples = &soaked.samples;
    for sample in samples.iter().step_by(samples.len().div_ceil(12).max(1)).chain(samples.last()) {
        writeln!(out, "| {} s | {} KiB | {} |", sample.at.as_secs(), sample.resident_kib, sample.files)?;
    }
    writeln!(out, "\n{} calls; {:.0} KiB an hour after the first quarter", soaked.calls, soaked.slope())?;
    for (message, count) in &soaked.warnings {
        writeln!(out, "{count} times: {message}")?;
    }
    Ok(())
}

fn judge(soaked: &Soak, length: Duration) -> Result<()> {
    let files = |place: usize| soaked.samples.get(place).map_or(0, |sample| sample.files);
    let (then, last) = (files(soaked.samples.len() / 4), files(soaked.samples.len().saturating_sub(1)));
    ensure!(last <= then + MORE_FILES, "open files have grown from {then} to {last}");
    let grows = soaked.slope();
    ensure!(length < JUDGED_FROM || grows < KIB_AN_HOUR, "memory grows by {grows:.0} KiB an hour");
    Ok(())
}
