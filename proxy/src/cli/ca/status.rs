//! `ca status` and `ca check-expiry`: which certificates there are, and whether they are any good.

mod inspect;

use std::io::Write;

use clap::Args;
use jiff::Timestamp;
use serde::Serialize;

use self::inspect::{Entry, State, inspect};
use super::Directory;
use super::print::{Output, json, or_dash, table};
use crate::cli::outcome::Failure;

/// What both commands take.
#[derive(Debug, Args)]
struct Look {
    #[command(flatten)]
    directory: Directory,
    /// Tell "Expires Soon" this many days ahead
    #[arg(short, long, default_value_t = 30, value_name = "DAYS")]
    days: u32,
    /// How to print
    #[arg(short, long, value_enum, default_value_t = Output::Table, value_name = "FORMAT")]
    output: Output,
}

/// Arguments of `ca status`.
#[derive(Debug, Args)]
pub(super) struct Status {
    #[command(flatten)]
    look: Look,
}

/// Arguments of `ca check-expiry`.
#[derive(Debug, Args)]
pub(super) struct CheckExpiry {
    #[command(flatten)]
    look: Look,
}

#[derive(Serialize)]
struct Report<'a> {
    ca_dir: &'a std::path::Path,
    certificates: &'a [Entry],
}

impl Status {
    pub(super) fn run(&self, now: Timestamp, out: &mut dyn Write) -> Result<(), Failure> {
        self.look.run(now, out, "missing, expired or wrong", State::is_failure)
    }
}

impl CheckExpiry {
    pub(super) fn run(&self, now: Timestamp, out: &mut dyn Write) -> Result<(), Failure> {
        let worth_a_word = |state: State| state.is_failure() || state == State::ExpiresSoon;
        self.look.run(now, out, "missing, expired, wrong or about to expire", worth_a_word)
    }
}

impl Look {
    fn run(
        &self,
        now: Timestamp,
        out: &mut dyn Write,
        what: &str,
        fails: impl Fn(State) -> bool,
    ) -> Result<(), Failure> {
        let directory = self.directory.resolve()?;
        let entries = inspect(&directory, now, self.days);
        match self.output {
            Output::Table => table(HEADER, entries.iter().map(cells), out),
            Output::Json => json(&Report { ca_dir: directory.path(), certificates: &entries }, out),
        }
        .map_err(Failure::running)?;

        match entries.iter().filter(|entry| fails(entry.status)).count() {
            0 => Ok(()),
            1 => Err(Failure::Running(anyhow::anyhow!("1 entry is {what}"))),
            more => Err(Failure::Running(anyhow::anyhow!("{more} entries are {what}"))),
        }
    }
}

const HEADER: [&str; 6] = ["CERTIFICATE", "TYPE", "STATUS", "DAYS", "EXPIRES", "PROBLEM"];

fn cells(entry: &Entry) -> [String; 6] {
    [
        entry.name.clone(),
        entry.kind.label().to_owned(),
        entry.status.label().to_owned(),
        or_dash(entry.days_left.map(|days| days.to_string())),
        or_dash(entry.not_after.map(|time| time.strftime("%Y-%m-%d").to_string())),
        entry.problem.clone().unwrap_or_default(),
    ]
}
