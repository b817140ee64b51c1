//! A process under test: started on its own processor, read through `/proc`, stopped by SIGTERM.

use std::net::{SocketAddr, TcpListener};
use std::path::PathBuf;
use std::process::Stdio;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail};
use tokio::process::{Child, Command};

use super::load::{Calls, Method};
use super::subjects::Subject;

/// How long a process may take until it answers; some import half of an index first.
const START_DEADLINE: Duration = Duration::from_secs(120);

/// A command that serves on an address.
#[derive(Debug, Clone)]
pub struct Launch {
    /// For progress and for the name of the log.
    pub name: String,
    /// What is started.
    pub program: PathBuf,
    /// With what.
    pub arguments: Vec<String>,
    /// Environment variables on top of ours.
    pub environment: Vec<(String, String)>,
    /// Where it will listen.
    pub address: SocketAddr,
}

impl Launch {
    /// Where its output goes.
    pub fn log(&self) -> PathBuf {
        let file = self.name.replace(|c: char| !c.is_ascii_alphanumeric(), "-");
        std::env::temp_dir().join(format!("vibectl-bench-{file}.log"))
    }
}

/// A running server.
pub struct Process {
    child: Child,
    pid: u32,
    /// `host:port` of the service port.
    pub address: String,
    /// From exec to the first answered `GetServerInfo`.
    pub start_up: Duration,
}

impl Process {
    /// Starts the subject on a free loopback port and waits until it answers over gRPC.
    ///
    /// # Errors
    /// When it ends early or does not answer in time; the text names its log.
    pub async fn start(subject: &Subject) -> Result<Self> {
        let launch = subject.launch(free_address()?);
        let address = launch.address.to_string();
        Self::launch(&launch, async || answers(&address).await).await
    }

    /// Starts a command and waits until it answers.
    ///
    /// # Errors
    /// When it ends early or does not answer in time; the text names its log.
    pub async fn launch(launch: &Launch, answers: impl AsyncFn() -> bool) -> Result<Self> {
        let log_path = launch.log();
        let log = std::fs::File::create(&log_path)?;
        let started = Instant::now();
        let mut child = Command::new("taskset")
            .args(["-c", "0"])
            .arg(&launch.program)
            .args(&launch.arguments)
            .envs(launch.environment.iter().map(|(key, value)| (key.as_str(), value.as_str())))
            .stdin(Stdio::null())
            .stdout(log.try_clone()?)
            .stderr(log)
            .kill_on_drop(true)
            .spawn()
            .context("failed to start; is util-linux (taskset) installed?")?;
        let pid = child.id().context("the process ended at once")?;
        while !answers().await {
            let (name, log) = (&launch.name, log_path.display());
            if let Some(status) = child.try_wait()? {
                bail!("{name} ended early ({status}); see {log}");
            }
            if started.elapsed() > START_DEADLINE {
                bail!("{name} did not answer within {START_DEADLINE:?}; see {log}");
            }
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
        Ok(Self { child, pid, address: launch.address.to_string(), start_up: started.elapsed() })
    }

    /// Resident memory in KiB.
    ///
    /// # Errors
    /// When the process is gone.
    pub fn resident_kib(&self) -> Result<u64> {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.pid))?;
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).context("no VmRSS line")?;
        Ok(line.trim().trim_end_matches(" kB").trim().parse()?)
    }

    /// Files that it has open.
    ///
    /// # Errors
    /// When the process is gone.
    pub fn open_files(&self) -> Result<usize> {
        Ok(std::fs::read_dir(format!("/proc/{}/fd", self.pid))?.count())
    }

    /// Processor time used so far by the threads that are alive, with nanosecond resolution.
    ///
    /// # Errors
    /// When the process is gone.
    pub fn cpu_time(&self) -> Result<Duration> {
        let mut nanoseconds = 0;
        for task in std::fs::read_dir(format!("/proc/{}/task", self.pid))? {
            // The first field of schedstat is the time on a processor; /proc/PID/stat counts in ticks of 10 ms only.
            let schedstat = std::fs::read_to_string(task?.path().join("schedstat"))?;
            nanoseconds += schedstat.split(' ').next().context("an empty schedstat")?.parse::<u64>()?;
        }
        Ok(Duration::from_nanos(nanoseconds))
    }

    /// Asks it to end, and waits at most 10 s.
    ///
    /// # Errors
    /// When it has to be killed.
    pub async fn stop(mut self) -> Result<()> {
        Command::new("kill").args(["-TERM", &self.pid.to_string()]).status().await?;
        tokio::time::timeout(Duration::from_secs(10), self.child.wait())
            .await
            .context("did not end on SIGTERM")??;
        Ok(())
    }
}

async fn answers(address: &str) -> bool {
    match Calls::grpc(address, Method::ServerInfo, "", None).await {
        Ok(calls) => super::load::run_calls(&calls, 1, 1).await.is_ok(),
        Err(_) => false,
    }
}

/// A loopback address that nobody listens on.
///
/// # Errors
/// When no port is free.
pub fn free_address() -> Result<SocketAddr> {
    Ok(TcpListener::bind("127.0.0.1:0")?.local_addr()?)
}
