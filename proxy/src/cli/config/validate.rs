//! `config validate`: checks a file together with the environment, as a server that starts with both.

use std::io::Write;
use std::path::PathBuf;

use clap::Args;

use super::File;
use crate::cli::outcome::Failure;

/// Arguments of `config validate`.
#[derive(Debug, Args)]
pub(super) struct Validate {
    /// Config file [default: config.yaml in the server's config directory]
    #[arg(value_name = "FILE")]
    file: Option<PathBuf>,
    /// The same, by name
    #[arg(long, visible_alias = "config", value_name = "FILE", conflicts_with = "file")]
    config_file: Option<PathBuf>,
}

impl Validate {
    pub(super) fn run(self, out: &mut dyn Write) -> Result<(), Failure> {
        // Somebody who asks about a file that is not there has to hear so.
        let config = self.config_file.or(self.file);
        let (path, _) = File { config: config.clone() }.read()?;
        File { config }.in_effect()?;
        writeln!(out, "{}: good", path.display()).map_err(Failure::running)
    }
}
