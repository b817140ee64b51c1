//! `make bench`: the server, the Python original and other gateways side by side in one run, on one pinned core each.
//!
//! The process under test runs alone on processor 0; the load and the fake upstream share processor 1. All get the
//! same calls, from the same loop, one after the other; figures are read from the kernel's own accounting of the process.

pub mod chat;
pub mod comparison;
pub mod gateway;
pub mod load;
pub mod memory;
pub mod process;
pub mod report;
pub mod soak;
pub mod subjects;
pub mod table;
pub mod upstream;

use std::time::Duration;

use anyhow::Result;

use load::Figures;
use process::Process;
use subjects::Subject;

/// Calls before anything is counted, so that pools are open and pages are touched.
const WARM_UP_CALLS: usize = 200;

/// One measured cell of the table.
#[derive(Debug, Clone)]
pub struct Cell {
    /// What was called and how, for instance `Execute, 16 at once`.
    pub name: String,
    /// Rate and latencies as the caller saw them.
    pub figures: Figures,
    /// Processor time that the process used for each call.
    pub cpu_per_call: Duration,
}

/// All that is known of one process after its run.
#[derive(Debug, Clone)]
pub struct Measured {
    /// Name for the table.
    pub name: String,
    /// Time from exec to the first answered `GetServerInfo`.
    pub start_up: Duration,
    /// Resident memory in KiB before the first counted call, and after the last.
    pub idle_kib: u64,
    /// Resident memory in KiB after the last call.
    pub loaded_kib: u64,
    /// One entry for each kind of call, in the order of [`load::matrix`].
    pub cells: Vec<Cell>,
}

/// Starts one subject, runs the whole matrix on it and stops it.
///
/// # Errors
/// When the process does not start, does not answer within 30 s, or refuses a call.
pub async fn measure(subject: &Subject, calls: usize) -> Result<Measured> {
    let process = Process::start(subject).await?;
    let idle_kib = process.resident_kib()?;
    let mut cells = Vec::new();
    for kind in load::matrix() {
        eprint_progress(&subject.name, &kind.to_string());
        load::run(&process, &kind, WARM_UP_CALLS.min(calls)).await?;
        let before = process.cpu_time()?;
        let figures = load::run(&process, &kind, calls).await?;
        let used = process.cpu_time()?.saturating_sub(before);
        let cpu_per_call = used / u32::try_from(figures.calls.max(1))?;
        cells.push(Cell { name: kind.to_string(), figures, cpu_per_call });
    }
    let loaded_kib = process.resident_kib()?;
    let start_up = process.start_up;
    process.stop().await?;
    Ok(Measured { name: subject.name.clone(), start_up, idle_kib, loaded_kib, cells })
}

fn eprint_progress(subject: &str, what: &str) {
    use std::io::Write as _;
    // Progress is a courtesy: a closed standard error must not end the run.
    let _ = writeln!(std::io::stderr(), "  {subject}: {what}");
}
