//! The real server, started as a user would start it.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;

use super::pebble::Pebble;
use super::process::{PATIENCE, Process, binary, comes_true, free_port};

/// The name that most tests get a certificate for.
pub(crate) const NAME: &str = "a.example";

/// A running server.
pub(crate) struct Server {
    pub(crate) process: Process,
    /// Port of the service.
    pub(crate) port: u16,
    /// Port of health and metrics.
    pub(crate) admin: u16,
    /// Lives as long as whoever uses it.
    _home: Arc<tempfile::TempDir>,
}

/// How it is started.
pub(crate) struct Setup {
    /// Its HOME; shared by those that share it.
    pub(crate) home: Arc<tempfile::TempDir>,
    /// The section `acme` without what the flags say, and whatever else.
    pub(crate) config: String,
    pub(crate) challenge: &'static str,
    pub(crate) names: Vec<&'static str>,
    pub(crate) port: u16,
    pub(crate) log_level: &'static str,
    pub(crate) directory: String,
}

impl Setup {
    /// For HTTP-01.
    pub(crate) fn new(pebble: &Pebble) -> Self {
        let config = format!(
            "acme:\n  ca_cert_file: {}\n  challenge: {{http_host: 127.0.0.1, http_port: {}}}\n",
            pebble.ca_file(),
            pebble.http_port
        );
        Self {
            home: Arc::new(tempfile::tempdir().expect("a folder")),
            config,
            challenge: "http-01",
            names: vec![NAME],
            port: free_port(),
            log_level: "info",
            directory: pebble.directory(),
        }
    }

    /// For TLS-ALPN-01: the service port is the one that the ACME server looks at.
    pub(crate) fn alpn(pebble: &Pebble) -> Self {
        Self { challenge: "tls-alpn-01", port: pebble.tls_port, ..Self::new(pebble) }
    }

    pub(crate) fn start(&self) -> Server {
        let mut arguments = vec!["serve-acme", "--no-require-auth", "--agree-tos", "--email", "a@b.example"];
        arguments.extend(["--directory-url", &self.directory, "--challenge-type", self.challenge]);
        for name in &self.names {
            arguments.extend(["--domain", name]);
        }
        self.start_with(&arguments)
    }

    /// With another command.
    pub(crate) fn start_with(&self, arguments: &[&str]) -> Server {
        let (admin, file) = (free_port(), self.home.path().join(format!("config-{}.yaml", free_port())));
        std::fs::write(&file, &self.config).expect("written");
        let mut command = Command::new(binary());
        command.env_clear().env("HOME", self.home.path()).current_dir(self.home.path());
        command.args(arguments);
        command.args([
            "--host",
            "127.0.0.1",
            "--port",
            &self.port.to_string(),
            "--log-level",
            self.log_level,
        ]);
        command.args(["--enable-metrics", "--metrics-port", &admin.to_string()]).arg("--config").arg(file);
        let home = Arc::clone(&self.home);
        Server { process: Process::start(&mut command), port: self.port, admin, _home: home }
    }

    /// Runs another command to its end, with this config; what it said.
    pub(crate) fn run(&self, arguments: &[&str], config: &str) -> String {
        let file = self.home.path().join("command.yaml");
        std::fs::write(&file, config).expect("written");
        let mut command = Command::new(binary());
        command.env_clear().env("HOME", self.home.path()).args(arguments).arg("--config").arg(file);
        let output = command.output().expect("it runs");
        String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr)
    }

    /// A folder of its state.
    pub(crate) fn state(&self) -> PathBuf {
        self.home.path().join(".config/vibectl/server")
    }

    /// The file of a record, once it is there.
    pub(crate) fn record(&self, name: &str) -> Option<PathBuf> {
        find(&self.state().join("acme"), &format!("{name}.json"))
    }

    /// The chain of the certificate as other programs find it.
    pub(crate) fn chain_copy(&self) -> PathBuf {
        self.state().join("acme-certs").join(format!("{}.crt", self.names[0].replace('*', "_")))
    }
}

impl Server {
    pub(crate) fn is_ready(&self) -> bool {
        self.admin_get("/readyz").is_some_and(|answer| answer.starts_with("HTTP/1.1 200"))
    }

    pub(crate) fn wait_until_ready(&self) {
        let start = std::time::Instant::now();
        while !self.is_ready() {
            assert!(start.elapsed() < PATIENCE, "it is not ready\n{}", self.process.output());
            std::thread::sleep(std::time::Duration::from_millis(20));
        }
    }

    /// Waits for a line of its log.
    pub(crate) fn wait_for_log(&self, text: &str) {
        let said = comes_true(PATIENCE, || self.process.output().contains(text));
        assert!(said, "it does not say {text:?}\n{}", self.process.output());
    }

    /// An answer of the admin port, head and all.
    pub(crate) fn admin_get(&self, path: &str) -> Option<String> {
        http_get(self.admin, path, "localhost")
    }

    /// The sample of a metric, 0 when there is none.
    pub(crate) fn metric(&self, sample: &str) -> i64 {
        let text = self.admin_get("/metrics").unwrap_or_default();
        let line = text.lines().find_map(|line| line.strip_prefix(sample)?.strip_prefix(' '));
        line.map_or(0, |value| value.parse().expect("a number"))
    }

    /// A call with the name and this root alone: the version of HTTP and the status, or why not.
    pub(crate) async fn call(&self, name: &str, root: &str) -> Result<u16, reqwest::Error> {
        let root = reqwest::Certificate::from_pem(root.as_bytes()).expect("a certificate");
        let client = reqwest::Client::builder().tls_certs_only([root]).no_proxy();
        let client = client.resolve(name, ([127, 0, 0, 1], self.port).into()).build().expect("a client");
        let url = format!("https://{name}:{}/v1/models", self.port);
        Ok(client.get(url).send().await?.status().as_u16())
    }
}

/// The status line, head and body of an answer over plain HTTP.
pub(crate) fn http_get(port: u16, path: &str, host: &str) -> Option<String> {
    let mut stream = TcpStream::connect(("127.0.0.1", port)).ok()?;
    stream.set_read_timeout(Some(PATIENCE)).ok()?;
    write!(stream, "GET {path} HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n").ok()?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer).ok()?;
    (!answer.is_empty()).then_some(answer)
}

/// What `openssl s_client` says about a handshake.
pub(crate) fn handshake(port: u16, name: &str, protocols: &str) -> String {
    let mut command = Command::new("openssl");
    command.args(["s_client", "-connect", &format!("127.0.0.1:{port}"), "-servername", name]);
    command.args(["-alpn", protocols, "-showcerts"]).stdin(std::process::Stdio::null());
    let output = command.output().expect("openssl is there");
    String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr)
}

/// The server of this tree, built once.
fn find(folder: &Path, name: &str) -> Option<PathBuf> {
    for entry in std::fs::read_dir(folder).ok()?.flatten() {
        let path = entry.path();
        if path.is_dir() {
            if let Some(found) = find(&path, name) {
                return Some(found);
            }
        } else if path.file_name().is_some_and(|file| file == name) {
            return Some(path);
        }
    }
    None
}
