//! `config show`: what differs from the defaults, secrets hidden.

use std::io::Write;

use clap::Args;
use serde_json::Value;

use super::{File, parse};
use crate::cli::outcome::Failure;

/// Arguments of `config show`.
#[derive(Debug, Args)]
pub(super) struct Show {
    /// Section or key, such as `server` or `server.port`; all without it
    #[arg(value_name = "KEY")]
    key: Option<String>,
    #[command(flatten)]
    file: File,
}

impl Show {
    pub(super) fn run(self, out: &mut dyn Write) -> Result<(), Failure> {
        let (path, text) = self.file.read()?;
        let config = parse(&text, &path)?.config;
        let shown = vibectl_config::show(&config).map_err(Failure::running)?;
        let Some(key) = self.key else {
            return write!(out, "# What is not here is at its default.\n{shown}").map_err(Failure::running);
        };
        let tree: Value = serde_saphyr::from_str(&shown).map_err(Failure::running)?;
        match key.split('.').try_fold(&tree, |value, name| value.get(name)) {
            Some(value) => {
                let text = serde_saphyr::to_string(value).map_err(Failure::running)?;
                writeln!(out, "{}", text.trim_end()).map_err(Failure::running)
            }
            None if is_known(&key) => writeln!(out, "# {key} is at its default").map_err(Failure::running),
            None => Err(Failure::Usage(format!("no such key: {key}"))),
        }
    }
}

/// True for a key, and for a section that holds keys.
fn is_known(asked: &str) -> bool {
    vibectl_config::keys().iter().any(|key| {
        key.strip_prefix(asked).is_some_and(|rest| rest.is_empty() || rest.starts_with(['.', '[']))
    })
}
