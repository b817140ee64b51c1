//! What commands beside a server that runs alone have to know of it: its config, and where its files are.

use std::path::{Path, PathBuf};

use clap::Args;
use vibectl_config::Config;

use crate::cli::environment;
use crate::cli::outcome::{Failure, say};
use crate::reload::files::PartFiles;
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
    /// What it would run with.
    pub(super) config: Config,
    /// Directory of its files, where there is one.
    folder: Option<PathBuf>,
}

impl Which {
    /// Reads the config as the server would.
    pub(super) fn load(self) -> Result<Alone, Failure> {
        Alone::of(environment::settings(self.config)?)
    }
}

impl Alone {
    /// The server that has these settings; notices go to the terminal.
    pub(super) fn of(settings: Settings) -> Result<Self, Failure> {
        let (_, files) = settings.files().read().map_err(|error| Failure::usage(&error))?;
        let loaded = settings.interpret(&files).map_err(|mistakes| Failure::usage(&mistakes))?;
        for notice in &loaded.notices {
            say(&format!("note: {notice}"));
        }
        Ok(Self { config: loaded.config, folder: settings.folder })
    }

    /// Where its list of revoked tokens is, if there is a place for one.
    pub(super) fn revocation_file(&self) -> Option<PathBuf> {
        places::revocation_file(&self.config.jwt, self.folder.as_deref())
    }

    /// Where its list of revoked tokens is, or will be.
    pub(super) fn required_revocation_file(&self) -> Result<PathBuf, Failure> {
        self.revocation_file().ok_or_else(|| nowhere("the list of revoked tokens", "jwt.revocation_file"))
    }

    /// Where its signing keys are, or will be.
    pub(super) fn signing_keys_dir(&self) -> Result<PathBuf, Failure> {
        let folder = places::signing_keys_dir(&self.config.jwt, self.folder.as_deref());
        folder.ok_or_else(|| nowhere("signing keys", "jwt.signing_keys_dir"))
    }

    /// Directory of its files, where there is one.
    pub(super) fn folder(&self) -> Option<&Path> {
        self.folder.as_deref()
    }

    /// What says who may call it.
    pub(super) fn access_files(&self) -> PartFiles {
        places::access_alone(&self.config.jwt, self.folder.as_deref())
    }
}

fn nowhere(what: &str, key: &str) -> Failure {
    Failure::Usage(format!(
        "there is no place for {what}: set {key} in the config, VIBECTL_SERVER_CONFIG_DIR or HOME"
    ))
}
