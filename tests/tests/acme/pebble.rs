//! Pebble, and the DNS server that says that every name is on this machine.

use std::process::Command;

use serde_json::{Value, json};
use vibectl_tests::tools;

use super::process::{Process, free_port, wait_for};

/// A running ACME server.
pub(crate) struct Pebble {
    pub(crate) process: Process,
    _dns: Option<Process>,
    folder: tempfile::TempDir,
    address: String,
    /// Port of the directory.
    pub(crate) port: u16,
    /// Port of its management.
    management: u16,
    /// Where it looks for HTTP-01 answers.
    pub(crate) http_port: u16,
    /// Where it looks for TLS-ALPN-01 answers.
    pub(crate) tls_port: u16,
}

/// How it behaves.
pub(crate) struct Options {
    pub(crate) bad_nonces: u32,
    /// Keys of external accounts that it knows, base64url; when there is one, every account needs one.
    pub(crate) external: Vec<(&'static str, &'static str)>,
    /// A name server to ask; none: one that knows every name.
    pub(crate) dns: Option<String>,
    pub(crate) validity_seconds: u32,
    pub(crate) chain_length: u32,
    /// Its own address, and further names of it.
    pub(crate) address: String,
    pub(crate) names: Vec<String>,
    /// Where it looks for answers, HTTP-01 and TLS-ALPN-01; none: free ports.
    pub(crate) challenge_ports: Option<[u16; 2]>,
}

impl Default for Options {
    fn default() -> Self {
        let validity_seconds = 90 * 24 * 3600;
        Self {
            bad_nonces: 0,
            external: Vec::new(),
            dns: None,
            validity_seconds,
            chain_length: 1,
            address: "127.0.0.1".to_owned(),
            names: Vec::new(),
            challenge_ports: None,
        }
    }
}

impl Pebble {
    pub(crate) fn start() -> Self {
        Self::with(&Options::default())
    }

    pub(crate) fn with(options: &Options) -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let [port, management, http_port, tls_port] = [(); 4].map(|()| free_port());
        let [http_port, tls_port] = options.challenge_ports.unwrap_or([http_port, tls_port]);
        let own = [options.address.clone(), "localhost".to_owned()];
        let key = rcgen::generate_simple_self_signed(
            own.into_iter().chain(options.names.clone()).collect::<Vec<_>>(),
        );
        let key = key.expect("a certificate");
        std::fs::write(folder.path().join("cert.pem"), key.cert.pem()).expect("written");
        std::fs::write(folder.path().join("key.pem"), key.signing_key.serialize_pem()).expect("written");
        let config = config(options, port, management, http_port, tls_port);
        std::fs::write(folder.path().join("config.json"), config.to_string()).expect("written");
        let (dns, dns_server) = if let Some(server) = &options.dns {
            (None, server.clone())
        } else {
            let (process, port) = every_name_is_here();
            (Some(process), format!("127.0.0.1:{port}"))
        };
        let mut command = Command::new(tools::pebble().expect("pebble is built"));
        command.current_dir(folder.path()).args(["-config", "config.json", "-dnsserver"]);
        command.arg(dns_server);
        command.env("PEBBLE_VA_NOSLEEP", "1").env("PEBBLE_CHAIN_LENGTH", options.chain_length.to_string());
        command.env("PEBBLE_WFE_NONCEREJECT", options.bad_nonces.to_string()).env("PEBBLE_AUTHZREUSE", "0");
        let process = Process::start(&mut command);
        wait_for("pebble listens", || process.output().contains("ACME directory available at"));
        let address = options.address.clone();
        Self { process, _dns: dns, folder, address, port, management, http_port, tls_port }
    }

    pub(crate) fn directory(&self) -> String {
        format!("https://{}:{}/dir", self.address, self.port)
    }

    /// The CA of its own address, as a path.
    pub(crate) fn ca_file(&self) -> String {
        self.folder.path().join("cert.pem").display().to_string()
    }

    /// How many orders it has made.
    pub(crate) fn orders(&self) -> usize {
        self.process.count("Added order")
    }

    /// How many accounts it knows.
    pub(crate) fn accounts(&self) -> usize {
        self.process.count("accounts in memory")
    }

    /// The root that its certificates chain to, PEM.
    pub(crate) async fn root(&self) -> String {
        let response = self.client().get(self.manage("/roots/0")).send().await.expect("an answer");
        response.text().await.expect("PEM")
    }

    /// What it says about renewing a certificate.
    pub(crate) async fn set_renewal_info(&self, certificate: &str, start: &str, end: &str) {
        let info = json!({"suggestedWindow": {"start": start, "end": end}}).to_string();
        let body = json!({"certificate": certificate, "ariResponse": info});
        let response = self.client().post(self.manage("/set-renewal-info/")).json(&body).send().await;
        let response = response.expect("an answer");
        assert!(response.status().is_success(), "{}", response.text().await.unwrap_or_default());
    }

    fn manage(&self, path: &str) -> String {
        format!("https://{}:{}{path}", self.address, self.management)
    }

    fn client(&self) -> reqwest::Client {
        let pem = std::fs::read(self.folder.path().join("cert.pem")).expect("a certificate");
        let root = reqwest::Certificate::from_pem(&pem).expect("a certificate");
        reqwest::Client::builder()
            .tls_certs_only([root])
            .user_agent("tests")
            .no_proxy()
            .build()
            .expect("a client")
    }
}

fn config(options: &Options, port: u16, management: u16, http_port: u16, tls_port: u16) -> Value {
    let external: serde_json::Map<_, _> =
        options.external.iter().map(|(id, key)| ((*id).to_owned(), json!(key))).collect();
    json!({"pebble": {
        "listenAddress": format!("{}:{port}", options.address),
        "managementListenAddress": format!("{}:{management}", options.address),
        "certificate": "cert.pem",
        "privateKey": "key.pem",
        "httpPort": http_port,
        "tlsPort": tls_port,
        "ocspResponderURL": "",
        "externalAccountBindingRequired": !options.external.is_empty(),
        "externalAccountMACKeys": external,
        "retryAfter": {"authz": 1, "order": 1},
        "keyAlgorithm": "ecdsa",
        "profiles": {"default": {"description": "default", "validityPeriod": options.validity_seconds}},
    }})
}

fn every_name_is_here() -> (Process, u16) {
    let (port, management) = (free_port(), free_port());
    let mut command = Command::new(tools::pebble_dns().expect("pebble-challtestsrv is built"));
    command.args(["-http01", "", "-https01", "", "-tlsalpn01", "", "-doh", "", "-defaultIPv6", ""]);
    command.args(["-defaultIPv4", "127.0.0.1", "-dnsserver", &format!("127.0.0.1:{port}")]);
    command.args(["-management", &format!("127.0.0.1:{management}")]);
    let process = Process::start(&mut command);
    wait_for("the name server listens", || std::net::TcpStream::connect(("127.0.0.1", management)).is_ok());
    (process, port)
}
