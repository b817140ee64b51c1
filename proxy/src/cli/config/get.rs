//! `config get`: one value, for scripts.

use std::io::Write;

use clap::Args;
use serde_json::Value;

use super::selection::{Found, select};
use super::{File, leaves, write_json};
use crate::cli::outcome::Failure;

/// Arguments of `config get`.
#[derive(Debug, Args)]
pub(super) struct Get {
    /// Key, such as `server.port`
    key: String,
    /// Print secrets as they are
    #[arg(long)]
    include_secrets: bool,
    #[command(flatten)]
    file: File,
}

impl Get {
    pub(super) fn run(self, out: &mut dyn Write) -> Result<(), Failure> {
        let (_, parsed) = self.file.in_effect()?;
        match select(leaves(&parsed, self.include_secrets)?, Some(&self.key))? {
            Found::Value(leaf) => match leaf.value {
                Value::String(text) => writeln!(out, "{text}"),
                value @ (Value::Array(_) | Value::Object(_)) => write_json(&value, out),
                value => writeln!(out, "{value}"),
            }
            .map_err(Failure::running),
            Found::Section(_) => Err(Failure::Usage(format!(
                "{} is a section; `vibectl-server config show {}` prints it",
                self.key, self.key
            ))),
        }
    }
}
