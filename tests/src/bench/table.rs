//! The tables of docs/benchmarks.md.

use std::fmt::Write as _;
use std::time::Duration;

use super::Measured;
use super::comparison::{Comparison, Row};
use super::load::Figures;
use super::upstream::SLOW;

/// Markdown of a whole run: memory and start-up, one row for each kind of call, then the gateways.
pub fn render(conditions: &str, ours: &Measured, original: &Measured, comparison: &Comparison) -> String {
    let mut text = format!("{conditions}\n\n");
    processes(&mut text, ours, original);
    calls(&mut text, ours, original);
    text + &compared(comparison)
}

/// Markdown of the gateways alone.
pub fn compared(comparison: &Comparison) -> String {
    let mut text = String::new();
    gateways(&mut text, comparison);
    streams(&mut text, comparison);
    text
}

fn processes(text: &mut String, ours: &Measured, original: &Measured) {
    text.push_str("| process | start-up to first answer | RSS idle | RSS loaded |\n|---|---|---|---|\n");
    for measured in [ours, original] {
        let _ = writeln!(
            text,
            "| {} | {} | {} | {} |",
            measured.name,
            milliseconds(measured.start_up),
            mebibytes(measured.idle_kib),
            mebibytes(measured.loaded_kib)
        );
    }
    text.push('\n');
}

fn calls(text: &mut String, ours: &Measured, original: &Measured) {
    text.push_str(
        "| call | ours: calls/s | p50 | p99 | CPU a call | original: calls/s | p50 | p99 | CPU a call | times the original |\n\
         |---|---|---|---|---|---|---|---|---|---|\n",
    );
    for (ours, original) in ours.cells.iter().zip(&original.cells) {
        let _ = writeln!(
            text,
            "| {} | {} | {} | {:.1} |",
            ours.name,
            columns(&ours.figures, ours.cpu_per_call),
            columns(&original.figures, original.cpu_per_call),
            ours.figures.rate / original.figures.rate
        );
    }
    text.push('\n');
}

fn gateways(text: &mut String, comparison: &Comparison) {
    let Comparison { direct, direct_slow, rows, streams_at_once, .. } = comparison;
    let _ = writeln!(
        text,
        "| POST /v1/chat/completions, 1 KiB | CPU a request | requests/s, 16 at once | p50 added, 1 at once | p99 added | p50 added to {} ms | RSS idle | RSS, 16 at once | RSS, {streams_at_once} streams |\n\
         |---|---|---|---|---|---|---|---|---|",
        SLOW.as_millis(),
    );
    let _ = writeln!(
        text,
        "| upstream directly | | {:.0} | ({}) | ({}) | ({}) | | | |",
        direct.sixteen.rate,
        milliseconds(direct.one.p50),
        milliseconds(direct.one.p99),
        milliseconds(direct_slow.p50)
    );
    for Row { name, whole, cpu_per_request, slow, idle_kib, busy_kib, loaded_kib, .. } in rows {
        let added = slow.p50.saturating_sub(direct_slow.p50);
        let _ = writeln!(
            text,
            "| {name} | {} | {:.0} | {} | {} | {} ({:.1} %) | {} | {} | {} |",
            microseconds(*cpu_per_request),
            whole.sixteen.rate,
            milliseconds(whole.one.p50.saturating_sub(direct.one.p50)),
            milliseconds(whole.one.p99.saturating_sub(direct.one.p99)),
            milliseconds(added),
            added.as_secs_f64() / direct_slow.p50.as_secs_f64() * 100.0,
            mebibytes(*idle_kib),
            mebibytes(*busy_kib),
            mebibytes(*loaded_kib)
        );
    }
    text.push('\n');
}

fn streams(text: &mut String, comparison: &Comparison) {
    let Comparison { direct_first, rows, streams_at_once, .. } = comparison;
    let _ = writeln!(
        text,
        "| streams | CPU a chunk, as fast as it comes | the same over gRPC | CPU a chunk, {streams_at_once} streams at a pace | first chunk: p50 added | p99 added |\n\
         |---|---|---|---|---|---|\n\
         | upstream directly | | | | ({}) | ({}) |",
        milliseconds(direct_first.p50),
        milliseconds(direct_first.p99)
    );
    for Row { name, cpu_per_chunk, cpu_per_grpc_chunk, cpu_per_paced_chunk, first, .. } in rows {
        let _ = writeln!(
            text,
            "| {name} | {} | {} | {} | {} | {} |",
            microseconds(*cpu_per_chunk),
            cpu_per_grpc_chunk.map(microseconds).unwrap_or_default(),
            microseconds(*cpu_per_paced_chunk),
            milliseconds(first.p50.saturating_sub(direct_first.p50)),
            milliseconds(first.p99.saturating_sub(direct_first.p99))
        );
    }
}

fn microseconds(duration: Duration) -> String {
    format!("{:.1} µs", duration.as_secs_f64() * 1e6)
}

fn columns(figures: &Figures, cpu: Duration) -> String {
    let cpu = format!("{} µs", cpu.as_micros());
    format!("{:.0} | {} | {} | {cpu}", figures.rate, milliseconds(figures.p50), milliseconds(figures.p99))
}

fn milliseconds(duration: Duration) -> String {
    format!("{:.2} ms", duration.as_secs_f64() * 1000.0)
}

#[expect(clippy::cast_precision_loss, reason = "a size in KiB is far below 2^52")]
fn mebibytes(kib: u64) -> String {
    format!("{:.1} MiB", kib as f64 / 1024.0)
}
