//! `make memory`: what an idle connection and an unread stream cost the server; the table of docs/benchmarks.md.

use std::io::Write as _;
use std::path::PathBuf;

use anyhow::Result;
use clap::Parser;
use vibectl_tests::bench::memory::measure;

/// Measures the resident memory of vibectl-server beside peers that do nothing.
#[derive(Parser)]
struct Arguments {
    /// The release build of vibectl-server.
    #[arg(long, default_value = "target/release/vibectl-server")]
    server: PathBuf,
    /// Peers of each kind; the server needs three times as many open files.
    #[arg(long, default_value_t = 300)]
    peers: usize,
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<()> {
    let arguments = Arguments::parse();
    let folder = tempfile::tempdir()?;
    let server = std::fs::canonicalize(&arguments.server)?;
    let mut out = std::io::stdout();
    writeln!(out, "| peers | how many | RSS with one | RSS with all | KiB each |\n|---|---|---|---|---|")?;
    for cost in measure(&server, arguments.peers, folder.path()).await? {
        let (name, peers, before, after) = (cost.name, cost.peers, cost.before_kib, cost.after_kib);
        writeln!(out, "| {name} | {peers} | {before} KiB | {after} KiB | {:.1} |", cost.each_kib())?;
    }
    Ok(())
}
