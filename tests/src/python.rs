//! Python programs that ours are compared with, each in a virtual environment in the cache, installed once.

use std::path::PathBuf;
use std::process::Command;

use anyhow::{Context as _, Result};

use crate::{cache, command};

/// The folder `bin` of the environment of that name, with the packages in it.
///
/// # Errors
/// When Python, its module venv or the package index is missing.
pub fn environment(name: &str, packages: &[&str]) -> Result<PathBuf> {
    let folder = cache::folder()?.join(name);
    let _lock = cache::lock(&folder.with_extension("lock"))?;
    // Written last: without it the environment counts as unfinished.
    let complete = folder.join("complete");
    if !complete.exists() {
        command::run(Command::new("python3").args(["-m", "venv", "--clear"]).arg(&folder))
            .context("failed to make a virtual environment; on Debian: apt-get install python3-venv")?;
        command::run(Command::new(folder.join("bin/pip")).args(["install", "--quiet"]).args(packages))?;
        std::fs::write(complete, packages.join("\n"))?;
    }
    Ok(folder.join("bin"))
}
