//! The report for people, and for programs.

use std::io::{self, Write};

use super::Report;
use super::server::{Server, State};
use crate::cli::table;

/// One JSON document.
pub(super) fn json(report: &Report, out: &mut dyn Write) -> io::Result<()> {
    serde_json::to_writer_pretty(&mut *out, report)?;
    writeln!(out)
}

/// Sections, each with what there is; problems come last.
pub(super) fn text(report: &Report, out: &mut dyn Write) -> io::Result<()> {
    server(&report.server, out)?;
    certificates(report, out)?;
    tokens(report, out)?;
    providers(report, out)?;
    writeln!(out, "\nPROBLEMS")?;
    if report.problems.is_empty() {
        return writeln!(out, "  none");
    }
    report.problems.iter().try_for_each(|problem| writeln!(out, "  {problem}"))
}

fn server(server: &Server, out: &mut dyn Write) -> io::Result<()> {
    writeln!(out, "SERVER")?;
    let reason = server.reason.as_deref().unwrap_or_default();
    match server.state {
        State::Ready => {
            writeln!(out, "  ready, version {} ({})", or_dash(server.version.as_deref()), server.admin)?;
        }
        State::NotReady => writeln!(out, "  not ready: {reason} ({})", server.admin)?,
        State::NotReached => writeln!(
            out,
            "  not reached at {}: {reason}\n  whether it runs is not known; it has this port with admin.enabled or --enable-metrics",
            server.admin
        )?,
    }
    let Some(traffic) = &server.traffic else { return Ok(()) };
    writeln!(
        out,
        "  requests {} ({:.1}/s now), failed {}, refused credentials {}, limited {}",
        traffic.requests,
        traffic.requests_per_second,
        traffic.failed_requests,
        traffic.refused_credentials,
        traffic.limited_calls
    )?;
    writeln!(
        out,
        "  latency p50 {}, p95 {}, p99 {}",
        seconds(traffic.latency_p50),
        seconds(traffic.latency_p95),
        seconds(traffic.latency_p99)
    )?;
    writeln!(
        out,
        "  now: {} calls, {} of them streams, {} connections",
        traffic.calls_in_flight, traffic.open_streams, traffic.connections
    )
}

fn certificates(report: &Report, out: &mut dyn Write) -> io::Result<()> {
    writeln!(out, "\nCERTIFICATES")?;
    if report.certificates.is_empty() {
        return writeln!(out, "  none in files");
    }
    let rows = report.certificates.iter().map(|one| {
        let days = one.days_left.map(|days| days.to_string());
        vec![
            format!("  {}", one.purpose),
            or_dash(days.as_deref()),
            or_dash(one.public_key_pin.as_deref()),
            one.path.display().to_string(),
        ]
    });
    table::write(&["  FOR", "DAYS", "PIN (SHA-256 OF THE PUBLIC KEY)", "FILE"], rows, out)
}

fn tokens(report: &Report, out: &mut dyn Write) -> io::Result<()> {
    let tokens = &report.tokens;
    writeln!(out, "\nTOKENS")?;
    if let Some(folder) = &tokens.access_table {
        return writeln!(out, "  judged by the access table in {folder}");
    }
    writeln!(out, "  algorithm {}", or_dash(tokens.algorithm.as_deref()))?;
    if let Some(secret) = &tokens.secret {
        writeln!(out, "  secret from {}", secret.from)?;
        if let Some(value) = &secret.value {
            writeln!(out, "  secret {value}")?;
        }
        if let Some(until) = &tokens.secret_until {
            writeln!(out, "  tokens of the secret are accepted until {until}")?;
        }
    } else if tokens.keys.is_empty() && tokens.issuers.is_empty() {
        writeln!(out, "  no secret and no keys: a server that needs tokens does not start")?;
    }
    for issuer in &tokens.issuers {
        writeln!(out, "  also tokens of {issuer}")?;
    }
    for key in &tokens.keys {
        writeln!(out, "  key {} ({}): {}", key.kid, key.algorithm, key.stage)?;
    }
    match &tokens.revoked {
        None => Ok(()),
        Some(revoked) => writeln!(
            out,
            "  revoked: {} tokens and {} subjects, {} entries have ended ({})",
            revoked.tokens, revoked.subjects, revoked.ended, revoked.file
        ),
    }
}

fn providers(report: &Report, out: &mut dyn Write) -> io::Result<()> {
    writeln!(out, "\nPROVIDERS")?;
    let rows = report.providers.iter().map(|one| {
        let state = match (&one.problem, one.latency_ms) {
            (Some(problem), _) => problem.clone(),
            (None, Some(latency)) => format!("reachable, {latency} ms"),
            (None, None) => "built in".to_owned(),
        };
        vec![format!("  {}", one.name), state, or_dash(one.address.as_deref())]
    });
    table::write(&["  NAME", "STATE", "ADDRESS"], rows, out)
}

fn seconds(seconds: Option<f64>) -> String {
    seconds.map_or_else(|| "-".to_owned(), |seconds| format!("{seconds:.3} s"))
}

fn or_dash(text: Option<&str>) -> String {
    text.unwrap_or("-").to_owned()
}
