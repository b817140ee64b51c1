//! The tables of docs/benchmarks.md.

use std::fmt::Write as _;
use std::time::Duration;

use super::Measured;
use super::load::Figures;

/// Markdown of a whole run: memory and start-up, then one row for each kind of call.
pub fn render(conditions: &str, ours: &Measured, original: &Measured, added: &(Figures, Figures)) -> String {
    let mut text = format!("{conditions}\n\n");
    processes(&mut text, ours, original);
    calls(&mut text, ours, original);
    upstream(&mut text, added);
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

fn upstream(text: &mut String, (direct, proxied): &(Figures, Figures)) {
    text.push_str("| POST /v1/chat/completions, 1 at once | p50 | p99 |\n|---|---|---|\n");
    for (name, figures) in [("upstream directly", direct), ("through vibectl-server", proxied)] {
        let _ = writeln!(text, "| {name} | {} | {} |", milliseconds(figures.p50), milliseconds(figures.p99));
    }
    let _ = writeln!(
        text,
        "| **added** | {} | {} |",
        milliseconds(proxied.p50.saturating_sub(direct.p50)),
        milliseconds(proxied.p99.saturating_sub(direct.p99))
    );
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
