//! How a command ended: exit code and what is said about it.

use std::error::Error;
use std::fmt::Write as _;
use std::io::Write as _;
use std::process::ExitCode;

/// Of BSD's sysexits: the command was used incorrectly. Also for a config that cannot be used.
const USAGE: u8 = 64;

/// Why a command failed.
#[derive(Debug)]
pub enum Failure {
    /// Arguments or config are wrong; trying again does not help. One line for each mistake.
    Usage(String),
    /// Something went wrong while running.
    Running(anyhow::Error),
}

impl Failure {
    /// Arguments or config are wrong.
    pub fn usage(mistakes: &impl ToString) -> Self {
        Self::Usage(mistakes.to_string())
    }

    /// Something that the config names cannot be used: one line with all causes.
    pub fn unusable(error: &(dyn Error + 'static)) -> Self {
        Self::Usage(chain(error))
    }

    /// Something went wrong while running.
    pub fn running(error: impl Error + Send + Sync + 'static) -> Self {
        Self::Running(error.into())
    }
}

/// Says on standard error why a command failed, and turns it into the exit code.
pub fn report(outcome: Result<(), Failure>) -> ExitCode {
    let (text, code) = match outcome {
        Ok(()) => return ExitCode::SUCCESS,
        Err(Failure::Usage(mistakes)) => (mistakes, ExitCode::from(USAGE)),
        Err(Failure::Running(error)) => (chain(error.as_ref()), ExitCode::FAILURE),
    };
    for line in text.lines() {
        say(&format!("error: {line}"));
    }
    code
}

/// Prints help or version to standard output, or what is wrong with the arguments to standard error.
pub fn usage(error: &clap::Error) -> ExitCode {
    let _ = error.print();
    if error.use_stderr() { ExitCode::from(USAGE) } else { ExitCode::SUCCESS }
}

/// Says one line to the person at the terminal. Nothing can be done if nobody listens.
pub fn say(line: &str) {
    let _ = writeln!(std::io::stderr(), "{line}");
}

/// An error and its causes in one line.
pub fn chain(error: &(dyn Error + 'static)) -> String {
    let mut text = error.to_string();
    let mut next = error.source();
    while let Some(cause) = next {
        let _ = write!(text, ": {cause}");
        next = cause.source();
    }
    text
}
