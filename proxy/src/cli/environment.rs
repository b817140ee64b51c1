//! The environment of the process, read once: where files are and what stands over the config.

use std::path::PathBuf;

use vibectl_config::locate::{self, Environment};

use crate::cli::outcome::Failure;
use crate::settings::Settings;

/// Directory of the server's own files.
pub(super) fn server_dir() -> Result<PathBuf, Failure> {
    locate::server_dir(&read()).map_err(|error| Failure::usage(&error))
}

/// The config file, and whether a person named it. Without a home there is none to look for, and no mistake in that.
pub(super) fn config_file(named: Option<PathBuf>) -> (Option<PathBuf>, bool) {
    match named {
        Some(path) => (Some(path), true),
        None => (locate::config_file(&read()).ok(), false),
    }
}

/// The config file of a command that is about it.
pub(super) fn required_config_file(named: Option<PathBuf>) -> Result<PathBuf, Failure> {
    named.map_or_else(|| locate::config_file(&read()).map_err(|error| Failure::usage(&error)), Ok)
}

/// The settings of a server that is given a config file and nothing else.
pub(super) fn settings(config: Option<PathBuf>) -> Result<Settings, Failure> {
    let (file, file_is_named) = config_file(config);
    let variables = read();
    let folder = locate::server_dir(&variables).ok();
    refuse_what_is_no_text()?;
    Ok(Settings { file, file_is_named, folder, variables, ..Settings::default() })
}

/// A secret of random bytes must not be passed over, and another one used in its place.
fn refuse_what_is_no_text() -> Result<(), Failure> {
    let broken = std::env::vars_os().find_map(|(name, value)| {
        let name = name.into_string().ok().filter(|name| name.starts_with("VIBECTL_"))?;
        value.into_string().is_err().then_some(name)
    });
    broken.map_or(Ok(()), |name| Err(Failure::Usage(format!("environment variable {name}: not UTF-8 text"))))
}

/// Other variables that are not text are not ours.
fn read() -> Environment {
    std::env::vars_os()
        .filter_map(|(name, value)| Some((name.into_string().ok()?, value.into_string().ok()?)))
        .collect()
}
