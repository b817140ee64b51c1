//! `make bench`: prints the tables of docs/benchmarks.md; with `--write` puts them there.

use std::path::PathBuf;

use anyhow::{Context as _, Result};
use clap::Parser;
use vibectl_tests::bench::subjects::Subject;
use vibectl_tests::bench::upstream::Upstream;
use vibectl_tests::bench::{
    comparison,
    gateway::{self, Bench},
    measure, report,
};

/// Compares vibectl-server with the Python original and with other gateways in one run.
#[derive(Parser)]
struct Arguments {
    /// The release build of vibectl-server.
    #[arg(long, default_value = "target/release/vibectl-server")]
    server: PathBuf,
    /// Counted calls for each row.
    #[arg(long, default_value_t = 3000)]
    calls: usize,
    /// Streams at a time where they come at a pace.
    #[arg(long, default_value_t = 512)]
    streams: usize,
    /// Only install what is compared, on all processors, and measure nothing.
    #[arg(long)]
    install: bool,
    /// Measure only gateways with this in their name, and not the original; for before and after a change.
    #[arg(long, conflicts_with = "write")]
    only: Option<String>,
    /// Put the tables into docs/benchmarks.md.
    #[arg(long)]
    write: bool,
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<()> {
    let arguments = Arguments::parse();
    if arguments.install {
        return gateway::install();
    }
    let server = arguments.server.canonicalize().context("--server names no program")?;
    let folder = tempfile::tempdir()?;
    let upstream = Upstream::start().await?;
    let bench = Bench { server: &server, upstream: &upstream, folder: folder.path() };
    if let Some(only) = &arguments.only {
        let mut chosen = bench.gateways()?;
        chosen.retain(|gateway| gateway.name.contains(only.as_str()));
        let comparison = comparison::compare(&chosen, &upstream, arguments.calls, arguments.streams).await?;
        return report::show(&comparison);
    }
    let ours = measure(&Subject::ours(&server), arguments.calls).await?;
    let original = measure(&Subject::original(folder.path())?, arguments.calls).await?;
    let comparison =
        comparison::compare(&bench.gateways()?, &upstream, arguments.calls, arguments.streams).await?;
    report::publish(&ours, &original, &comparison, arguments.calls, arguments.write)
}
