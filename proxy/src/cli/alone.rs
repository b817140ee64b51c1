//! What commands beside a server that runs alone have to know of it: its config, and where its files are.

use std::path::PathBuf;

use clap::Args;
use vibectl_config::{Config, Jwt};

use crate::cli::environment;
use crate::cli::outcome::{Failure, say};
use crate::reload::places;
use crate::settings::Settings;

/// Which server.
#[derive(Debug, Args)]
pub(super) struct Which {
    /// Config file of the server [default: config.yaml in the server's config directory]
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
}

/// A server that runs alone, as its config and its environment describe it.
#[derive(Debug)]
pub(super) struct Alone {
    /// How its tokens are made and judged.
    pub(super) jwt: Jwt,
    /// Directory of its files, where there is one.
    folder: Option<PathBuf>,
}

impl Which {
    /// Reads the config as the server would.
    pub(super) fn load(self) -> Result<Alone, Failure> {
        let settings = environment::settings(self.config)?;
        let jwt = read_config(&settings)?.jwt;
        Ok(Alone { jwt, folder: settings.folder })
    }
}

impl Alone {
    /// Where its list of revoked tokens is, or will be.
    pub(super) fn revocation_file(&self) -> Result<PathBuf, Failure> {
        places::revocation_file(&self.jwt, self.folder.as_deref()).ok_or_else(|| {
            Failure::Usage(
                "there is no place for the list of revoked tokens: set jwt.revocation_file in the config, \
                 VIBECTL_SERVER_CONFIG_DIR or HOME"
                    .to_owned(),
            )
        })
    }
}

/// The config that a server with these settings has; notices go to the terminal.
pub(super) fn read_config(settings: &Settings) -> Result<Config, Failure> {
    let (_, files) = settings.files().read().map_err(|error| Failure::usage(&error))?;
    let loaded = settings.interpret(&files).map_err(|mistakes| Failure::usage(&mistakes))?;
    for notice in &loaded.notices {
        say(&format!("note: {notice}"));
    }
    Ok(loaded.config)
}
