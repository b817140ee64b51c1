//! `ca status`: which certificates there are, and whether they are any good.

mod inspect;

use std::io::{self, Write};

use clap::{Args, ValueEnum};
use jiff::Timestamp;
use serde::Serialize;

use self::inspect::{Entry, inspect};
use super::Directory;
use crate::cli::outcome::Failure;

/// Arguments of `ca status`.
#[derive(Debug, Args)]
pub(super) struct Status {
    #[command(flatten)]
    directory: Directory,
    /// Tell "Expires Soon" this many days ahead
    #[arg(short, long, default_value_t = 30, value_name = "DAYS")]
    days: u32,
    /// How to print
    #[arg(short, long, value_enum, default_value_t = Output::Table, value_name = "FORMAT")]
    output: Output,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Output {
    Table,
    Json,
}

#[derive(Serialize)]
struct Report<'a> {
    ca_dir: &'a std::path::Path,
    certificates: &'a [Entry],
}

impl Status {
    pub(super) fn run(&self, now: Timestamp, out: &mut dyn Write) -> Result<(), Failure> {
        let directory = self.directory.resolve()?;
        let entries = inspect(&directory, now, self.days);
        match self.output {
            Output::Table => table(&entries, out),
            Output::Json => json(&Report { ca_dir: directory.path(), certificates: &entries }, out),
        }
        .map_err(Failure::running)?;

        match entries.iter().filter(|entry| entry.status.is_failure()).count() {
            0 => Ok(()),
            1 => Err(Failure::Running(anyhow::anyhow!("1 entry is missing, expired or wrong"))),
            more => Err(Failure::Running(anyhow::anyhow!("{more} entries are missing, expired or wrong"))),
        }
    }
}

fn json(report: &Report<'_>, out: &mut dyn Write) -> io::Result<()> {
    serde_json::to_writer_pretty(&mut *out, report)?;
    writeln!(out)
}

fn table(entries: &[Entry], out: &mut dyn Write) -> io::Result<()> {
    let header = ["CERTIFICATE", "TYPE", "STATUS", "DAYS", "EXPIRES", "PROBLEM"].map(str::to_owned);
    let rows: Vec<_> = std::iter::once(header).chain(entries.iter().map(cells)).collect();
    let width = |column: usize| rows.iter().map(|row| row[column].chars().count()).max().unwrap_or(0);
    let widths = std::array::from_fn::<_, 6, _>(width);
    for row in &rows {
        let cells = row.iter().zip(widths).map(|(cell, width)| format!("{cell:width$}"));
        writeln!(out, "{}", cells.collect::<Vec<_>>().join("  ").trim_end())?;
    }
    Ok(())
}

fn cells(entry: &Entry) -> [String; 6] {
    let or_dash = |text: Option<String>| text.unwrap_or_else(|| "-".to_owned());
    [
        entry.name.clone(),
        entry.kind.label().to_owned(),
        entry.status.label().to_owned(),
        or_dash(entry.days_left.map(|days| days.to_string())),
        or_dash(entry.not_after.map(|time| time.strftime("%Y-%m-%d").to_string())),
        entry.problem.clone().unwrap_or_default(),
    ]
}
