//! `make bench`: prints the tables of docs/benchmarks.md; with `--write` puts them there.

use std::path::PathBuf;

use anyhow::Result;
use clap::Parser;
use vibectl_tests::bench::subjects::Subject;
use vibectl_tests::bench::upstream::Upstream;
use vibectl_tests::bench::{measure, measure_added, report};

/// Compares vibectl-server with the Python original in one run.
#[derive(Parser)]
struct Arguments {
    /// The release build of vibectl-server.
    #[arg(long, default_value = "target/release/vibectl-server")]
    server: PathBuf,
    /// Counted calls for each row.
    #[arg(long, default_value_t = 3000)]
    calls: usize,
    /// Put the tables into docs/benchmarks.md.
    #[arg(long)]
    write: bool,
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<()> {
    let arguments = Arguments::parse();
    let folder = tempfile::tempdir()?;
    let upstream = Upstream::start().await?;
    let ours = measure(&Subject::ours(&arguments.server), arguments.calls).await?;
    let original = measure(&Subject::original(folder.path())?, arguments.calls).await?;
    let before = Subject::ours_before(&arguments.server, &upstream, folder.path())?;
    let added = measure_added(&before, &upstream, arguments.calls).await?;
    report::publish(&ours, &original, &added, arguments.calls, arguments.write)
}
