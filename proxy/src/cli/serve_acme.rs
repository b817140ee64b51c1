//! `serve-acme`: with a certificate that an ACME server issues.

use clap::{Args, ValueEnum};
use vibectl_config::ChallengeType;

use crate::cli::outcome::Failure;
use crate::cli::serve::Common;
use crate::serve::certificates::Certificates;
use crate::serve::{self, Start};
use crate::settings::TlsOverride;
use crate::settings::acme::AcmeFlags;

/// Arguments of `serve-acme`. What they leave out is taken from `acme` in the config.
#[derive(Debug, Args)]
pub struct ServeAcme {
    /// Address for notices of the ACME server
    #[arg(long, value_name = "ADDRESS")]
    email: Option<String>,
    /// Name of the certificate; may be repeated, the first one names its files
    #[arg(long = "domain", value_name = "NAME")]
    domains: Vec<String>,
    /// Directory of the ACME server [default: Let's Encrypt]
    #[arg(long, value_name = "URL", conflicts_with = "staging")]
    directory_url: Option<String>,
    /// Use Let's Encrypt's test environment, whose certificates nobody trusts
    #[arg(long)]
    staging: bool,
    /// How the names are proven [default: http-01]
    #[arg(long, value_name = "TYPE")]
    challenge_type: Option<Kind>,
    /// Accept the terms of service of the ACME server
    #[arg(long)]
    agree_tos: bool,
    #[command(flatten)]
    common: Common,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum Kind {
    /// A file on port 80
    #[value(name = "http-01")]
    Http01,
    /// A certificate in a handshake on port 443
    #[value(name = "tls-alpn-01")]
    TlsAlpn01,
    /// A DNS record
    #[value(name = "dns-01")]
    Dns01,
}

impl From<Kind> for ChallengeType {
    fn from(kind: Kind) -> Self {
        match kind {
            Kind::Http01 => Self::Http01,
            Kind::TlsAlpn01 => Self::TlsAlpn01,
            Kind::Dns01 => Self::Dns01,
        }
    }
}

impl ServeAcme {
    /// Serves with the certificate of the ACME server, as soon as there is one.
    pub fn run(self) -> Result<(), Failure> {
        let Self { email, domains, directory_url, staging, challenge_type, agree_tos, common } = self;
        let challenge = challenge_type.map(ChallengeType::from);
        let flags = AcmeFlags { email, domains, directory_url, staging, challenge, agree_tos };
        let settings = common.settings(TlsOverride::Acme(flags), false)?;
        serve::run(Start { settings, certificates: Certificates::Named })
    }
}
