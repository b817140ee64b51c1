//! `serve` and its variants: which certificate, and what stands over the config file.

use std::path::PathBuf;

use clap::{Args, ValueEnum};
use vibectl_config::LogLevel;
use vibectl_config::layers::Overrides;
use vibectl_pki::{Name, Names};

use crate::cli::environment;
use crate::cli::outcome::Failure;
use crate::serve::certificates::Certificates;
use crate::serve::{self, Start};
use crate::settings::mode::ServeFlags;
use crate::settings::{Settings, TlsOverride};
use crate::tls::ca_directory::{CaDirectory, PairPath};
use crate::tls::issuer::CaIssuer;

/// Where `serve-insecure` listens unless told otherwise: nobody else's network.
const OWN_MACHINE: &str = "127.0.0.1";

/// Options of every command that serves.
#[derive(Debug, Args)]
pub struct Common {
    /// Config file [default: config.yaml in the server's config directory, if there is one]
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// Address to listen on
    #[arg(long, value_name = "ADDRESS")]
    host: Option<String>,
    /// Port to listen on [default: 50051; of serve-acme: 443]
    #[arg(long, value_parser = clap::value_parser!(u16).range(1..))]
    port: Option<u16>,
    /// Model of calls that name none
    #[arg(long, value_name = "NAME")]
    model: Option<String>,
    /// Answer nobody without a token; the default in every mode but serve-insecure
    #[arg(long, overrides_with = "no_require_auth")]
    require_auth: bool,
    /// Answer everybody who reaches the port
    #[arg(long, conflicts_with = "require_auth")]
    no_require_auth: bool,
    /// Requests per minute of each caller
    #[arg(long, value_name = "COUNT", value_parser = clap::value_parser!(u32).range(1..))]
    max_rpm: Option<u32>,
    /// Concurrent requests of each caller
    #[arg(long, value_name = "COUNT", value_parser = clap::value_parser!(u32).range(1..))]
    max_concurrent: Option<u32>,
    /// Serve health and metrics, without credentials, on a port of their own
    #[arg(long)]
    enable_metrics: bool,
    /// Port of health and metrics [default: 9095]
    #[arg(long, value_name = "PORT", value_parser = clap::value_parser!(u16).range(1..))]
    metrics_port: Option<u16>,
    /// Least severe level that is logged [default: info]
    #[arg(long, value_name = "LEVEL", ignore_case = true)]
    log_level: Option<Level>,
    /// Accepted from scripts of the original and without effect: there is no thread pool
    #[arg(long, value_name = "COUNT", value_parser = clap::value_parser!(u32).range(1..))]
    max_workers: Option<u32>,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum Level {
    Debug,
    Info,
    Warning,
    Error,
}

impl From<Level> for LogLevel {
    fn from(level: Level) -> Self {
        match level {
            Level::Debug => Self::Debug,
            Level::Info => Self::Info,
            Level::Warning => Self::Warning,
            Level::Error => Self::Error,
        }
    }
}

/// Arguments of `serve`: what stands over the keys `tls` and `acme` of the config. What contradicts, here or there, is an error.
#[derive(Debug, Args)]
#[expect(clippy::struct_excessive_bools, reason = "each is a flag of its own on the command line")]
pub struct Serve {
    /// Speak TLS: with the certificate of the config, or else with a self-signed one that is made once
    #[arg(long, conflicts_with = "no_tls")]
    tls: bool,
    /// Speak no TLS; better: serve-insecure
    #[arg(long, conflicts_with_all = ["cert_file", "key_file", "generate_certs", "acme"])]
    no_tls: bool,
    /// Certificate and its chain, PEM; better: serve-custom
    #[arg(long, value_name = "FILE", requires = "key_file")]
    cert_file: Option<PathBuf>,
    /// Private key of the certificate, PEM
    #[arg(long, value_name = "FILE", requires = "cert_file")]
    key_file: Option<PathBuf>,
    /// Make a self-signed certificate, once, in certs/ of the server's config directory, and serve with it
    #[arg(long, conflicts_with_all = ["cert_file", "key_file", "acme"])]
    generate_certs: bool,
    /// Get the certificate from the ACME server of the config; better: serve-acme
    #[arg(long, conflicts_with_all = ["no_acme", "cert_file", "key_file"])]
    acme: bool,
    /// Leave out acme of the config
    #[arg(long)]
    no_acme: bool,
    #[command(flatten)]
    common: Common,
}

/// Arguments of `serve-insecure`.
#[derive(Debug, Args)]
pub struct ServeInsecure {
    #[command(flatten)]
    common: Common,
}

/// Arguments of `serve-custom`.
#[derive(Debug, Args)]
pub struct ServeCustom {
    /// Certificate and its chain, PEM
    #[arg(long, value_name = "FILE")]
    cert_file: PathBuf,
    /// Private key of the certificate, PEM
    #[arg(long, value_name = "FILE")]
    key_file: PathBuf,
    /// CA that callers need a certificate of, PEM; without it callers need none
    #[arg(long, value_name = "FILE")]
    ca_bundle_file: Option<PathBuf>,
    #[command(flatten)]
    common: Common,
}

/// Arguments of `serve-ca`.
#[derive(Debug, Args)]
pub struct ServeCa {
    /// Folder of the CA [default: ca in the server's config directory]
    #[arg(long, value_name = "DIR")]
    ca_dir: Option<PathBuf>,
    /// DNS name or IP address of the server
    #[arg(long, default_value = "localhost", value_name = "NAME")]
    hostname: Name,
    /// Further DNS name or IP address; may be repeated
    #[arg(long = "san", value_name = "NAME")]
    sans: Vec<Name>,
    /// Days that a certificate is valid; it is renewed long before
    #[arg(long, default_value_t = 90, value_name = "DAYS", value_parser = clap::value_parser!(u32).range(1..))]
    validity_days: u32,
    #[command(flatten)]
    common: Common,
}

impl Serve {
    /// Serves as the config says.
    pub fn run(self) -> Result<(), Failure> {
        let Self { tls, no_tls, cert_file, key_file, generate_certs, acme, no_acme, common } = self;
        let said = |yes: bool, no: bool| (yes || no).then_some(yes);
        let (tls, acme) = (said(tls, no_tls), said(acme, no_acme));
        let certificates = if tls == Some(true) || generate_certs {
            let folder = environment::server_dir()?.join("certs");
            let pair = PairPath { certificate: folder.join("server.crt"), key: folder.join("server.key") };
            Certificates::SelfSigned(pair)
        } else {
            Certificates::Named
        };
        let flags = ServeFlags { tls, cert_file, key_file, generate_certs, acme };
        let settings = common.settings(TlsOverride::Routed(flags), false)?;
        serve::run(Start { settings, certificates })
    }
}

impl ServeInsecure {
    /// Serves without TLS.
    pub fn run(mut self) -> Result<(), Failure> {
        self.common.host.get_or_insert_with(|| OWN_MACHINE.to_owned());
        let settings = self.common.settings(TlsOverride::Off, true)?;
        serve::run(Start { settings, certificates: Certificates::Named })
    }
}

impl ServeCustom {
    /// Serves with the named certificate.
    pub fn run(self) -> Result<(), Failure> {
        let Self { cert_file, key_file, ca_bundle_file, common } = self;
        let files = TlsOverride::Files { cert_file, key_file, client_ca_file: ca_bundle_file };
        let settings = common.settings(files, false)?;
        serve::run(Start { settings, certificates: Certificates::Named })
    }
}

impl ServeCa {
    /// Serves with a certificate of the CA, issued now.
    pub fn run(self) -> Result<(), Failure> {
        let Self { ca_dir, hostname, sans, validity_days, common } = self;
        let directory = match ca_dir {
            Some(folder) => folder,
            None => environment::server_dir()?.join("ca"),
        };
        let names =
            Names::new(std::iter::once(hostname).chain(sans)).map_err(|error| Failure::usage(&error))?;
        let validity = std::time::Duration::from_hours(24).saturating_mul(validity_days);
        let issuer = CaIssuer { directory: CaDirectory::new(directory), names, validity };
        let settings = common.settings(TlsOverride::Issued, false)?;
        serve::run(Start { settings, certificates: Certificates::Issued(issuer) })
    }
}

impl Common {
    pub(super) fn settings(self, tls: TlsOverride, insecure: bool) -> Result<Settings, Failure> {
        let Self {
            config,
            host,
            port,
            model,
            require_auth,
            no_require_auth,
            max_rpm,
            max_concurrent,
            enable_metrics,
            metrics_port,
            log_level,
            max_workers,
        } = self;
        let flags = Overrides {
            host,
            port,
            log_level: log_level.map(LogLevel::from),
            max_workers,
            default_model: model,
            require_auth: (require_auth || no_require_auth).then_some(require_auth),
            max_requests_per_minute: max_rpm,
            max_concurrent_requests: max_concurrent,
            admin_enabled: enable_metrics.then_some(true),
            admin_port: metrics_port,
            ..Overrides::default()
        };
        let settings = environment::settings(config)?;
        Ok(Settings { overrides: flags, tls, insecure, ..settings })
    }
}
