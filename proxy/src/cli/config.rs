//! `config`: look at a config, check it, change it.

mod generate_secret;
mod get;
mod precedence;
mod reset;
mod selection;
mod set;
mod show;
mod validate;

use std::io::{self, Write};
use std::path::{Path, PathBuf};

use clap::{Args, Subcommand};
use vibectl_config::{Config as Schema, Leaf, Mistakes, Parsed, Secrets};

use crate::cli::environment;
use crate::cli::outcome::{Failure, say};
use crate::settings::Settings;
use crate::tls::private_file::{self, PRIVATE};

/// Arguments of `config`.
#[derive(Debug, Args)]
pub struct Config {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Print what a server would run with: defaults, file and environment, with secrets hidden
    Show(show::Show),
    /// Print one value
    Get(get::Get),
    /// Change one value of the file, if it is still good with it; comments are not kept
    Set(set::Set),
    /// Check file and environment; exits with 64 and one line for each mistake
    Validate(validate::Validate),
    /// Put the file, or one section of it, back to the defaults; the old file is kept beside it
    Reset(reset::Reset),
    /// Explain what stands over what, and tell where every value comes from
    Precedence(precedence::Precedence),
    /// Draw a secret for tokens
    GenerateSecret(generate_secret::GenerateSecret),
}

/// Which file.
#[derive(Debug, Args)]
struct File {
    /// Config file [default: config.yaml in the server's config directory]
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
}

impl Config {
    /// Runs the command.
    pub fn run(self) -> Result<(), Failure> {
        let out = &mut io::stdout().lock();
        match self.command {
            Command::Show(show) => show.run(out),
            Command::Get(get) => get.run(out),
            Command::Set(set) => set.run(out),
            Command::Validate(validate) => validate.run(out),
            Command::Reset(reset) => reset.run(out),
            Command::Precedence(precedence) => precedence.run(out),
            Command::GenerateSecret(generate) => generate.run(out),
        }
    }
}

impl File {
    /// The file itself, which has to be there.
    fn read(self) -> Result<(PathBuf, String), Failure> {
        let path = environment::required_config_file(self.config)?;
        match std::fs::read_to_string(&path) {
            Ok(text) => Ok((path, text)),
            Err(error) => Err(Failure::Usage(format!("{}: {error}", path.display()))),
        }
    }

    /// What a server that is given this file would run with, and the settings that say so.
    fn in_effect(self) -> Result<(Settings, Parsed), Failure> {
        let settings = environment::settings(self.config)?;
        let (_, files) = settings.files().read().map_err(|error| Failure::usage(&error))?;
        let parsed = settings.parse(&files).map_err(|mistakes| Failure::usage(&mistakes))?;
        for notice in &parsed.notices {
            say(&format!("warning: {notice}"));
        }
        Ok((settings, parsed))
    }
}

/// Checks the text of a file by itself.
fn parse(text: &str, path: &Path) -> Result<Parsed, Failure> {
    Schema::parse(text, &path.display().to_string()).map_err(|mistakes: Mistakes| Failure::usage(&mistakes))
}

/// Every key with its value.
fn leaves(parsed: &Parsed, include_secrets: bool) -> Result<Vec<Leaf>, Failure> {
    parsed.leaves(if include_secrets { Secrets::Shown } else { Secrets::Hidden }).map_err(Failure::running)
}

/// Puts a changed text in the place of the file.
fn replace(path: &Path, text: &str) -> Result<(), Failure> {
    private_file::replace(path, text.as_bytes(), PRIVATE).map_err(|error| {
        Failure::Running(anyhow::Error::new(error).context(format!("failed to write {}", path.display())))
    })
}

fn write_json(value: &impl serde::Serialize, out: &mut dyn Write) -> io::Result<()> {
    serde_json::to_writer_pretty(&mut *out, value)?;
    writeln!(out)
}
