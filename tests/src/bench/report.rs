//! Conditions of a run, and where its tables go.

use std::io::Write as _;
use std::process::Command;

use anyhow::{Context as _, Result};

use super::comparison::Comparison;
use super::{Measured, table};

const PAGE: &str = "docs/benchmarks.md";
const BEGIN: &str = "<!-- begin: make bench -->";
const END: &str = "<!-- end: make bench -->";

/// Prints the tables, and with `write` puts them between the marks of docs/benchmarks.md.
///
/// # Errors
/// When the page lacks its marks or cannot be written.
pub fn publish(
    ours: &Measured,
    original: &Measured,
    comparison: &Comparison,
    calls: usize,
    write: bool,
) -> Result<()> {
    let tables = table::render(&conditions(calls), ours, original, comparison);
    writeln!(std::io::stdout(), "{tables}")?;
    if write {
        let page = std::fs::read_to_string(PAGE)?;
        let (before, rest) = page.split_once(BEGIN).context("docs/benchmarks.md lacks its begin mark")?;
        let (_, after) = rest.split_once(END).context("docs/benchmarks.md lacks its end mark")?;
        std::fs::write(PAGE, format!("{before}{BEGIN}\n{tables}{END}{after}"))?;
    }
    Ok(())
}

/// Prints the tables of the gateways.
///
/// # Errors
/// When nobody reads them.
pub fn show(comparison: &Comparison) -> Result<()> {
    Ok(writeln!(std::io::stdout(), "{}", table::compared(comparison))?)
}

fn conditions(calls: usize) -> String {
    let processor = std::fs::read_to_string("/proc/cpuinfo")
        .ok()
        .and_then(|text| text.lines().find_map(|line| line.strip_prefix("model name\t: ").map(str::to_owned)))
        .unwrap_or_else(|| "unknown processor".into());
    format!(
        "{processor}, {}, commit {}, {}; {calls} calls a row after a warm-up, loopback, plaintext unless the row says TLS; gRPC on \
         one connection, HTTP/1.1 on as many as there are calls at once; the process pinned to one core, load and upstream on another.",
        output("uname", &["-sr"]),
        output("git", &["rev-parse", "--short", "HEAD"]),
        output("date", &["-u", "+%Y-%m-%d"]),
    )
}

fn output(program: &str, arguments: &[&str]) -> String {
    let printed = Command::new(program).args(arguments).output().map(|out| out.stdout).unwrap_or_default();
    String::from_utf8_lossy(&printed).trim().to_owned()
}
