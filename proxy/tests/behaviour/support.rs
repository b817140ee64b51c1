//! Starts the binary on loopback with a folder of its own, and stops it again.

#[path = "support/frames.rs"]
pub(crate) mod frames;
#[path = "support/python.rs"]
pub(crate) mod python;
#[path = "support/tls.rs"]
pub(crate) mod tls;

use std::fs;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::atomic::{AtomicU16, Ordering};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::{Duration, Instant};

/// Nothing here takes longer on a healthy machine, however busy it is.
pub(crate) const PATIENCE: Duration = Duration::from_secs(20);

/// A running server.
pub(crate) struct Server {
    child: Child,
    log: Arc<Mutex<Vec<String>>>,
    /// Port of the service.
    pub(crate) port: u16,
    /// Port of health and metrics.
    pub(crate) admin: u16,
    /// Its folder: HOME, config file and whatever a test puts there.
    pub(crate) folder: tempfile::TempDir,
}

/// How a command ended.
pub(crate) struct Ended {
    /// Its exit code.
    pub(crate) code: Option<i32>,
    /// What it printed on standard output.
    pub(crate) out: String,
    /// What it printed on standard error.
    pub(crate) err: String,
}

impl Server {
    /// Serves this config without TLS and waits until it is ready.
    pub(crate) fn insecure(config: &str) -> Self {
        Self::start(&["serve-insecure"], config)
    }

    /// Starts with these arguments and this config, and waits until it is ready.
    pub(crate) fn start(arguments: &[&str], config: &str) -> Self {
        let server = Self::start_in(tempfile::tempdir().expect("a folder"), arguments, config);
        server.wait_for("ready", |server| server.admin_get("/readyz").is_some_and(|answer| answer.0 == 200));
        server
    }

    /// As [`Self::insecure`], for a process that may open so many files.
    pub(crate) fn with_files(files: u32, config: &str) -> Self {
        Self::in_shell(&format!("ulimit -n {files}; exec \"$0\" \"$@\""), config)
    }

    /// As [`Self::insecure`], started by a script, in which `exec "$0" "$@"` becomes the server.
    pub(crate) fn in_shell(script: &str, config: &str) -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let mut shell = Command::new("sh");
        shell.args(["-c", script, BINARY]);
        let server = Self::start_as(in_folder(shell, folder.path()), folder, &["serve-insecure"], config);
        server.wait_for("ready", |server| server.admin_get("/readyz").is_some_and(|answer| answer.0 == 200));
        server
    }

    /// Starts in a folder that may hold more than the config, and does not wait.
    pub(crate) fn start_in(folder: tempfile::TempDir, arguments: &[&str], config: &str) -> Self {
        Self::start_as(command(folder.path()), folder, arguments, config)
    }

    fn start_as(mut command: Command, folder: tempfile::TempDir, arguments: &[&str], config: &str) -> Self {
        let (port, admin) = (free_port(), free_port());
        let file = folder.path().join("config.yaml");
        fs::write(&file, config).expect("a config file");
        let mut child = command
            .args(arguments)
            .args(["--port", &port.to_string(), "--enable-metrics", "--metrics-port", &admin.to_string()])
            .arg("--config")
            .arg(&file)
            .stderr(Stdio::piped())
            .spawn()
            .expect("the server starts");
        let log = Arc::new(Mutex::new(Vec::new()));
        let (lines, stderr) = (Arc::clone(&log), child.stderr.take().expect("piped"));
        thread::spawn(move || {
            for line in BufReader::new(stderr).lines().map_while(Result::ok) {
                lines.lock().expect("no panic").push(line);
            }
        });
        Self { child, log, port, admin, folder }
    }

    /// The config file.
    pub(crate) fn config_file(&self) -> PathBuf {
        self.folder.path().join("config.yaml")
    }

    /// What was logged so far.
    pub(crate) fn log(&self) -> String {
        self.log.lock().expect("no panic").join("\n")
    }

    /// Opens a connection to the service.
    pub(crate) fn connect(&self) -> TcpStream {
        let stream = TcpStream::connect(("127.0.0.1", self.port)).expect("the port is open");
        stream.set_read_timeout(Some(PATIENCE)).expect("a timeout");
        stream
    }

    /// Status and body of an answer of the service.
    pub(crate) fn get(&self, path: &str) -> (u16, String) {
        self.get_with(path, "")
    }

    /// As [`Self::get`], with further lines of the head.
    pub(crate) fn get_with(&self, path: &str, lines: &str) -> (u16, String) {
        http_get(self.port, path, lines).expect("an answer")
    }

    /// Status and body of an answer of the admin port; none when it is not there.
    pub(crate) fn admin_get(&self, path: &str) -> Option<(u16, String)> {
        http_get(self.admin, path, "")
    }

    /// The sample of a metric, 0 when there is none.
    pub(crate) fn metric(&self, sample: &str) -> i64 {
        let (_, text) = self.admin_get("/metrics").expect("metrics");
        let line = text.lines().find_map(|line| line.strip_prefix(sample)?.strip_prefix(' '));
        line.map_or(0, |value| value.parse().expect("a number"))
    }

    /// Waits for a condition.
    pub(crate) fn wait_for(&self, what: &str, condition: impl Fn(&Self) -> bool) {
        let start = Instant::now();
        while !condition(self) {
            assert!(start.elapsed() < PATIENCE, "waited in vain: {what}\n{}", self.log());
            thread::sleep(Duration::from_millis(20));
        }
    }

    /// Waits for a text in the log: a line comes a moment after what it tells of.
    pub(crate) fn logs(&self, text: &str) {
        self.wait_for(text, |server| server.log().contains(text));
    }

    /// Asks the server to end.
    pub(crate) fn terminate(&self) {
        self.signal("-TERM");
    }

    /// Sends a signal.
    pub(crate) fn signal(&self, signal: &str) {
        let signalled = Command::new("kill").args([signal, &self.child.id().to_string()]).status();
        assert!(signalled.expect("kill is there").success());
    }

    /// Memory of the process that is resident, in KiB.
    pub(crate) fn resident_kib(&self) -> u64 {
        let status = fs::read_to_string(format!("/proc/{}/status", self.child.id())).expect("it runs");
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).expect("a line");
        line.trim().trim_end_matches(" kB").parse().expect("a number")
    }

    /// Files that the process has open.
    pub(crate) fn open_files(&self) -> usize {
        fs::read_dir(format!("/proc/{}/fd", self.child.id())).expect("it runs").count()
    }

    /// Waits for the end and tells how long it took.
    pub(crate) fn wait(&mut self, longest: Duration) -> (ExitStatus, Duration) {
        let start = Instant::now();
        loop {
            if let Some(status) = self.child.try_wait().expect("our child") {
                return (status, start.elapsed());
            }
            assert!(start.elapsed() < longest, "still running after {longest:?}\n{}", self.log());
            thread::sleep(Duration::from_millis(10));
        }
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Runs a command of the binary to its end in this folder.
pub(crate) fn run(folder: &Path, arguments: &[&str]) -> Ended {
    run_with(folder, &[], arguments)
}

/// As [`run`], with these environment variables.
pub(crate) fn run_with(folder: &Path, variables: &[(&str, &str)], arguments: &[&str]) -> Ended {
    let command = &mut command(folder);
    let output = command.envs(variables.iter().copied()).args(arguments).output().expect("the binary runs");
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    Ended { code: output.status.code(), out: text(&output.stdout), err: text(&output.stderr) }
}

const BINARY: &str = env!("CARGO_BIN_EXE_vibectl-server");

/// The binary with nothing of this machine's environment.
fn command(folder: &Path) -> Command {
    in_folder(Command::new(BINARY), folder)
}

fn in_folder(mut command: Command, folder: &Path) -> Command {
    command.env_clear().env("HOME", folder).current_dir(folder).stdin(Stdio::null());
    command
}

/// A port that is free, below those that the kernel gives to outgoing connections: one of these could take it before it is used.
pub(crate) fn free_port() -> u16 {
    static TAKEN: AtomicU16 = AtomicU16::new(0);
    // Processes that run at the same time begin at different places.
    let first = u16::try_from(std::process::id() % 10_000).unwrap_or_default();
    loop {
        let port = 20_000 + first.wrapping_add(TAKEN.fetch_add(1, Ordering::Relaxed)) % 10_000;
        if TcpListener::bind(("127.0.0.1", port)).is_ok() {
            return port;
        }
    }
}

fn http_get(port: u16, path: &str, lines: &str) -> Option<(u16, String)> {
    let mut stream = TcpStream::connect(("127.0.0.1", port)).ok()?;
    stream.set_read_timeout(Some(PATIENCE)).ok()?;
    write!(stream, "GET {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n{lines}\r\n").ok()?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer).ok()?;
    let (head, body) = answer.split_once("\r\n\r\n")?;
    let status = head.split(' ').nth(1)?.parse().ok()?;
    Some((status, body.to_owned()))
}
