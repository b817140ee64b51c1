//! `acme`: looks after the account at the ACME server.

use std::io::{self, Write};
use std::path::PathBuf;

use anyhow::Context;
use clap::{Args, Subcommand};
use tokio::runtime::Builder;

use crate::acme::AcmePlan;
use crate::cli::environment;
use crate::cli::outcome::Failure;
use crate::settings::acme;

/// Arguments of `acme`.
#[derive(Debug, Args)]
pub struct Acme {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Give the account another key, at the ACME server and here; a running server goes on with it
    RotateAccountKey(RotateAccountKey),
}

#[derive(Debug, Args)]
struct RotateAccountKey {
    /// Config file with the section acme [default: config.yaml in the server's config directory]
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
}

impl Acme {
    /// Runs the command.
    pub fn run(self) -> Result<(), Failure> {
        match self.command {
            Command::RotateAccountKey(rotate) => rotate.run(),
        }
    }
}

impl RotateAccountKey {
    fn run(self) -> Result<(), Failure> {
        let settings = environment::settings(self.config)?;
        let (_, files) = settings.files().read().map_err(|error| Failure::usage(&error))?;
        let mut config = settings.interpret(&files).map_err(|mistakes| Failure::usage(&mistakes))?.config;
        config.acme.enabled = true;
        acme::check(&config).map_err(Failure::Usage)?;
        let folder = environment::server_dir()?;
        let plan = AcmePlan::new(&config, &folder).map_err(|error| Failure::usage(&error))?;
        let runtime = Builder::new_current_thread().enable_all().build().map_err(Failure::running)?;
        runtime.block_on(plan.change_account_key()).context("the old key stays").map_err(Failure::Running)?;
        writeln!(io::stdout(), "the account at {} has another key", config.acme.directory())
            .map_err(Failure::running)
    }
}
