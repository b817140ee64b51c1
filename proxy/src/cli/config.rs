//! `config`: look at a config file, check it, change one value.

mod set;
mod show;

use std::io::{self, Write};
use std::path::{Path, PathBuf};

use clap::{Args, Subcommand};
use vibectl_config::{Config as Parsed, Mistakes};

use crate::cli::environment;
use crate::cli::outcome::{Failure, say};

/// Arguments of `config`.
#[derive(Debug, Args)]
pub struct Config {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Print what the config file says, with secrets hidden
    Show(show::Show),
    /// Change one value, if the file is still good with it; comments are not kept
    Set(set::Set),
    /// Check the config file; exits with 64 and one line for each mistake
    Validate(Validate),
}

/// Which file.
#[derive(Debug, Args)]
struct File {
    /// Config file [default: config.yaml in the server's config directory]
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
}

#[derive(Debug, Args)]
struct Validate {
    #[command(flatten)]
    file: File,
}

impl Config {
    /// Runs the command.
    pub fn run(self) -> Result<(), Failure> {
        let out = &mut io::stdout().lock();
        match self.command {
            Command::Show(show) => show.run(out),
            Command::Set(set) => set.run(out),
            Command::Validate(validate) => validate.run(out),
        }
    }
}

impl Validate {
    fn run(self, out: &mut dyn Write) -> Result<(), Failure> {
        let (path, text) = self.file.read()?;
        let parsed = parse(&text, &path)?;
        for notice in &parsed.notices {
            say(&format!("warning: {notice}"));
        }
        writeln!(out, "{}: good", path.display()).map_err(Failure::running)
    }
}

impl File {
    fn read(self) -> Result<(PathBuf, String), Failure> {
        let path = environment::required_config_file(self.config)?;
        match std::fs::read_to_string(&path) {
            Ok(text) => Ok((path, text)),
            Err(error) => Err(Failure::Usage(format!("{}: {error}", path.display()))),
        }
    }
}

fn parse(text: &str, path: &Path) -> Result<vibectl_config::Parsed, Failure> {
    Parsed::parse(text, &path.display().to_string()).map_err(|mistakes: Mistakes| Failure::usage(&mistakes))
}
