//! `status`: how a server that runs alone is doing, from its files and from its admin port.

mod certificates;
mod metrics;
mod print;
mod providers;
mod server;
mod tokens;

use std::io;
use std::net::SocketAddr;
use std::path::PathBuf;

use clap::{Args, ValueEnum};
use jiff::Timestamp;
use serde::Serialize;

use crate::cli::alone::Alone;
use crate::cli::environment;
use crate::cli::outcome::Failure;

/// Arguments of `status`.
#[derive(Debug, Args)]
pub struct Status {
    /// Admin port of the running server [default: as configured, on this machine]
    #[arg(long, value_name = "HOST:PORT")]
    admin: Option<SocketAddr>,
    /// Count a certificate as a problem when it is overdue for renewal and ends within so many days
    #[arg(long, default_value_t = 30, value_name = "DAYS")]
    days: u32,
    /// Print the shared secret as it is
    #[arg(long)]
    include_secrets: bool,
    /// How to print
    #[arg(short, long, value_enum, default_value_t = Output::Text, value_name = "FORMAT")]
    output: Output,
    /// Config file of the server [default: config.yaml in the server's config directory]
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Output {
    Text,
    Json,
}

/// Everything that is told.
#[derive(Debug, Serialize)]
struct Report {
    server: server::Server,
    certificates: Vec<certificates::Certificate>,
    tokens: tokens::Tokens,
    providers: Vec<providers::Provider>,
    /// What a person has to see to; none: the command succeeds.
    problems: Vec<String>,
}

impl Status {
    /// Runs the command; fails when there is a problem.
    pub fn run(self) -> Result<(), Failure> {
        let settings = environment::settings(self.config)?;
        let (_, files) = settings.files().read().map_err(|error| Failure::usage(&error))?;
        let parsed = settings.parse(&files).map_err(|mistakes| Failure::usage(&mistakes))?;
        let alone = Alone::of(settings)?;
        let now = Timestamp::now();

        let mut problems = Vec::new();
        let asked = server::ask(&alone.config, self.admin);
        let report = Report {
            certificates: certificates::look(&alone, now, self.days, &mut problems),
            tokens: tokens::look(&alone, &parsed, now, self.include_secrets, &mut problems),
            providers: providers::probe(&alone.config, &mut problems)?,
            server: asked.finish(&mut problems),
            problems,
        };
        let out = &mut io::stdout().lock();
        match self.output {
            Output::Json => print::json(&report, out),
            Output::Text => print::text(&report, out),
        }
        .map_err(Failure::running)?;
        match report.problems.len() {
            0 => Ok(()),
            1 => Err(Failure::Running(anyhow::anyhow!("1 problem"))),
            more => Err(Failure::Running(anyhow::anyhow!("{more} problems"))),
        }
    }
}
