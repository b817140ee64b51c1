//! `serve` and its variants: which certificate, and what stands over the config file.

use std::path::PathBuf;

use clap::{Args, ValueEnum};
use vibectl_config::LogLevel;
use vibectl_config::layers::Overrides;
use vibectl_pki::{Name, Names};

use crate::cli::environment;
use crate::cli::outcome::{Failure, say};
use crate::serve::certificates::Certificates;
use crate::serve::{self, Start};
use crate::settings::{Settings, TlsOverride};
use crate::tls::ca_directory::{CaDirectory, PairPath};
use crate::tls::issuer::CaIssuer;
use crate::tls::self_signed;

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
    /// Port to listen on [default: 50051]
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

/// Arguments of `serve`.
#[derive(Debug, Args)]
pub struct Serve {
    /// Make a self-signed certificate, once, in the server's config directory, and serve with it
    #[arg(long)]
    tls: bool,
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

/// Arguments of `serve-acme`. They are checked, so that a script fails for the right reason.
#[derive(Debug, Args)]
pub struct ServeAcme {
    /// Address for notices of the ACME server
    #[arg(long)]
    email: String,
    /// Name of the certificate; may be repeated
    #[arg(long = "domain", required = true, value_name = "NAME")]
    domains: Vec<String>,
    /// Directory of the ACME server
    #[arg(long, value_name = "URL")]
    directory_url: Option<String>,
    /// How the names are proven
    #[arg(long, value_parser = ["http-01", "dns-01", "tls-alpn-01"], value_name = "TYPE")]
    challenge_type: Option<String>,
    #[command(flatten)]
    common: Common,
}

impl Serve {
    /// Serves as the config says.
    pub fn run(self) -> Result<(), Failure> {
        let Self { tls, common } = self;
        if !tls {
            let settings = common.settings(TlsOverride::AsConfigured, false)?;
            return serve::run(Start { settings, certificates: Certificates::AsConfigured });
        }
        let names = self_signed::names(common.host.as_deref().filter(is_a_name).unwrap_or("localhost"));
        let names = names.map_err(|error| Failure::usage(&error))?;
        let folder = environment::server_dir()?.join("certs");
        let pair = PairPath { certificate: folder.join("server.crt"), key: folder.join("server.key") };
        let settings = common.settings(TlsOverride::SelfSigned, false)?;
        serve::run(Start { settings, certificates: Certificates::SelfSigned(pair, names) })
    }
}

/// A wildcard address is nobody's name.
fn is_a_name(host: &&str) -> bool {
    host.parse::<std::net::IpAddr>().map_or(true, |address| !address.is_unspecified())
}

impl ServeInsecure {
    /// Serves without TLS.
    pub fn run(mut self) -> Result<(), Failure> {
        let host = self.common.host.get_or_insert_with(|| OWN_MACHINE.to_owned());
        say(&format!(
            "warning: serving on {host} without TLS: whoever can see this traffic can read and change it"
        ));
        let settings = self.common.settings(TlsOverride::Off, true)?;
        serve::run(Start { settings, certificates: Certificates::AsConfigured })
    }
}

impl ServeCustom {
    /// Serves with the named certificate.
    pub fn run(self) -> Result<(), Failure> {
        let Self { cert_file, key_file, ca_bundle_file, common } = self;
        let files = TlsOverride::Files { cert_file, key_file, client_ca_file: ca_bundle_file };
        let settings = common.settings(files, false)?;
        serve::run(Start { settings, certificates: Certificates::AsConfigured })
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

impl ServeAcme {
    /// Refuses, with what to use instead.
    pub fn run(self) -> Result<(), Failure> {
        let names = self.domains.join(", ");
        Err(Failure::Usage(format!(
            "serve-acme is not available yet; have another client get a certificate for {names} and use \
             `vibectl-server serve-custom --cert-file FILE --key-file FILE`: renewed files are followed without a restart"
        )))
    }
}

impl Common {
    fn settings(self, tls: TlsOverride, insecure: bool) -> Result<Settings, Failure> {
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
