//! `init-config`: a config file to start from.

use std::io::{self, Write};
use std::path::PathBuf;

use anyhow::Context;
use clap::Args;
use vibectl_config::TEMPLATE;

use crate::cli::environment;
use crate::cli::outcome::Failure;
use crate::tls::private_file::{self, PRIVATE, PRIVATE_DIR};

/// Arguments of `init-config`.
#[derive(Debug, Args)]
pub struct InitConfig {
    /// File to write [default: config.yaml in the server's config directory]
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// Replace the file that is there
    #[arg(long)]
    force: bool,
}

impl InitConfig {
    /// Writes the file, readable by its owner alone: a secret may go into it.
    pub fn run(self) -> Result<(), Failure> {
        let path = environment::required_config_file(self.config)?;
        if let Some(folder) = path.parent().filter(|folder| !folder.as_os_str().is_empty()) {
            private_file::create_dir(folder, PRIVATE_DIR)
                .with_context(|| format!("failed to create {}", folder.display()))
                .map_err(Failure::Running)?;
        }
        let write = if self.force { private_file::replace } else { private_file::create };
        match write(&path, TEMPLATE.as_bytes(), PRIVATE) {
            Ok(()) => {}
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
                let problem = anyhow::anyhow!("{} exists; --force replaces it", path.display());
                return Err(Failure::Running(problem));
            }
            Err(error) => {
                let error = anyhow::Error::new(error).context(format!("failed to write {}", path.display()));
                return Err(Failure::Running(error));
            }
        }
        writeln!(io::stdout(), "wrote {}", path.display()).map_err(Failure::running)
    }
}
