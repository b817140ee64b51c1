//! Running other programs to their end.

use std::{
    env,
    ffi::OsStr,
    path::PathBuf,
    process::{Command, Stdio},
};

use anyhow::{Context as _, Result, bail};

/// Where system programs are, also for users whose search path leaves these out.
const SYSTEM_FOLDERS: [&str; 4] = ["/usr/local/sbin", "/usr/sbin", "/sbin", "/usr/local/go/bin"];

/// A command whose search path includes the system folders, without standard input.
pub fn command(program: impl AsRef<OsStr>) -> Command {
    let mut command = Command::new(program);
    command.env("PATH", search_path()).stdin(Stdio::null());
    command
}

/// The search path with the system folders behind it.
pub fn search_path() -> String {
    let own = env::var("PATH").unwrap_or_else(|_| "/usr/local/bin:/usr/bin:/bin".to_owned());
    format!("{own}:{}", SYSTEM_FOLDERS.join(":"))
}

/// The first file of that name on the search path.
pub fn find(program: &str) -> Option<PathBuf> {
    search_path().split(':').map(|folder| PathBuf::from(folder).join(program)).find(|path| path.is_file())
}

/// Runs the command and returns its standard output; the error carries its standard error.
pub fn run(command: &mut Command) -> Result<String> {
    let program = command.get_program().to_string_lossy().into_owned();
    let output = command.output().with_context(|| format!("failed to start {program}: is it installed?"))?;
    if !output.status.success() {
        let arguments: Vec<_> = command.get_args().map(OsStr::to_string_lossy).collect();
        let errors = String::from_utf8_lossy(&output.stderr);
        bail!("failed to run {program} {}: {}\n{}", arguments.join(" "), output.status, errors.trim());
    }
    Ok(String::from_utf8_lossy(&output.stdout).into_owned())
}

/// Whether the command can be started and ends well. For probes and for clean-up, where failing is an answer.
pub fn succeeds(command: &mut Command) -> bool {
    command.stdout(Stdio::null()).stderr(Stdio::null()).status().is_ok_and(|status| status.success())
}
