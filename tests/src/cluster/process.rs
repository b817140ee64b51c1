//! The cluster's processes: started inside its network namespace, recorded on disk, found again by a later command.

use std::{
    fs::{self, File},
    path::{Path, PathBuf},
    process::Stdio,
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result, bail};

use super::layout::Layout;
use crate::command::{command, succeeds};

/// How many lines of a component's log are shown when it fails.
const SHOWN_LINES: usize = 15;

/// How long the kernel may take to end a killed process.
const LONGEST_END: Duration = Duration::from_secs(3);

/// Starts a program that outlives this one. Its output goes to `logs/NAME.log`.
pub(super) fn start(layout: &Layout, name: &str, program: &Path, arguments: &[String]) -> Result<()> {
    let log = log_file(layout, name);
    let output = File::create(&log).with_context(|| format!("failed to create {}", log.display()))?;
    let errors = output.try_clone().context("failed to share a log file")?;
    // `nsenter` and not `ip netns exec`: that remounts /sys and hides the cgroup mounts. `setsid` keeps it alive when the
    // terminal closes. Both replace themselves, so that the recorded process is the component.
    let child = command("setsid")
        .arg("nsenter")
        .arg(format!("--net={}", layout.network_namespace().display()))
        .arg(program)
        .args(arguments)
        .current_dir(layout.folder())
        .stdout(Stdio::from(output))
        .stderr(Stdio::from(errors))
        .spawn()
        .with_context(|| format!("failed to start {name}"))?;
    let record = format!("{} {}", child.id(), started_at(child.id()).unwrap_or_default());
    fs::write(record_file(layout, name), record).with_context(|| format!("failed to record {name}"))
}

/// Whether the recorded process still runs.
pub(super) fn is_alive(layout: &Layout, name: &str) -> bool {
    recorded(layout, name).is_some()
}

/// Kills the named processes. Nothing of a cluster is kept, so nobody waits for orderly ends.
pub(super) fn kill(layout: &Layout, names: &[&str]) {
    let pids: Vec<u32> = names.iter().filter_map(|name| recorded(layout, name)).collect();
    kill_all(&pids);
}

/// Kills processes by number and waits for the end of them; those that are gone do not matter.
pub(super) fn kill_all(pids: &[u32]) {
    if pids.is_empty() {
        return;
    }
    let list: Vec<_> = pids.iter().map(u32::to_string).collect();
    // The shell's own `kill`: the program of that name is missing in slim containers.
    succeeds(command("sh").args(["-c", &format!("kill -KILL {}", list.join(" "))]));
    let deadline = Instant::now() + LONGEST_END;
    while Instant::now() < deadline && pids.iter().any(|&pid| started_at(pid).is_some()) {
        thread::sleep(Duration::from_millis(10));
    }
}

/// Polls until `done`. Ends early when one of the named components has died, with the end of its log.
pub(super) fn wait(
    layout: &Layout,
    components: &[&str],
    what: &str,
    limit: Duration,
    mut done: impl FnMut() -> bool,
) -> Result<()> {
    let deadline = Instant::now() + limit;
    loop {
        if done() {
            return Ok(());
        }
        if let Some(dead) = components.iter().find(|name| !is_alive(layout, name)) {
            bail!("failed to wait for {what}: {dead} ended\n{}", log_end(layout, dead));
        }
        if Instant::now() > deadline {
            let suspect = components.last().copied().unwrap_or_default();
            let end = log_end(layout, suspect);
            bail!("failed to wait for {what}: not there after {} s\n{end}", limit.as_secs());
        }
        thread::sleep(Duration::from_millis(50));
    }
}

fn log_end(layout: &Layout, name: &str) -> String {
    let path = log_file(layout, name);
    let text = fs::read(&path).unwrap_or_default();
    let text = String::from_utf8_lossy(&text);
    let mut lines: Vec<_> = text.lines().rev().take(SHOWN_LINES).collect();
    lines.reverse();
    format!("{}\nThe whole log: {}", lines.join("\n"), path.display())
}

fn log_file(layout: &Layout, name: &str) -> PathBuf {
    layout.logs().join(format!("{name}.log"))
}

fn record_file(layout: &Layout, name: &str) -> PathBuf {
    layout.path("processes").join(name)
}

/// The process number, when the process of that number is still the one that was started.
fn recorded(layout: &Layout, name: &str) -> Option<u32> {
    let record = fs::read_to_string(record_file(layout, name)).ok()?;
    let (pid, start) = record.split_once(' ')?;
    let pid = pid.parse().ok()?;
    (started_at(pid)? == start).then_some(pid)
}

/// The start time in clock ticks since boot, which with the number makes a process unmistakable. None for the dead.
fn started_at(pid: u32) -> Option<String> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    // The name in parentheses may hold anything; count from behind it. State is field 3, the start time field 22.
    let fields: Vec<_> = stat.rsplit_once(')')?.1.split_whitespace().collect();
    let state = fields.first()?;
    (*state != "Z").then(|| fields.get(19).map(|ticks| (*ticks).to_owned())).flatten()
}
