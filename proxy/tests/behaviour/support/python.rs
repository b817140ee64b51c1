//! Python programs that the server is tried with, each in a virtual environment of its own, installed once under
//! `${VIBECTL_CACHE:-~/.cache/vibectl}`.

use std::fs::{self, File};
use std::path::PathBuf;
use std::process::Command;

/// The folder `bin` of an environment of this name with this package in it.
pub(crate) fn environment(name: &str, package: &str) -> PathBuf {
    let home = || PathBuf::from(std::env::var_os("HOME").expect("a home")).join(".cache/vibectl");
    let cache = std::env::var_os("VIBECTL_CACHE").map_or_else(home, PathBuf::from);
    fs::create_dir_all(&cache).expect("a cache");
    let lock = File::create(cache.join(format!("{name}.lock"))).expect("a lock");
    lock.lock().expect("nobody else installs");
    let environment = cache.join(name);
    // Written last: without it the environment counts as unfinished.
    let complete = environment.join("complete");
    if !complete.exists() {
        must(Command::new("python3").args(["-m", "venv", "--clear"]).arg(&environment));
        must(Command::new(environment.join("bin/pip")).args(["install", "--quiet", package]));
        fs::write(complete, package).expect("written");
    }
    environment.join("bin")
}

/// Runs a command that has to succeed.
pub(crate) fn must(command: &mut Command) {
    let output = command.output().expect("the variable that is named at the top of the test leaves it out");
    assert!(output.status.success(), "{command:?}: {}", String::from_utf8_lossy(&output.stderr));
}
