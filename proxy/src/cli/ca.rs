//! `ca`: a private CA in a folder, for servers outside Kubernetes.
//!
//! A root that signs one intermediate, an intermediate that issues server certificates. All keys are ECDSA on P-256: as strong
//! as the RSA 3072 that they replace, accepted by every TLS client of the last ten years, and made in no time. Folders with RSA
//! keys keep working.

mod create_server_cert;
mod init;
mod status;

use std::{
    io::{self, Write},
    path::PathBuf,
};

use clap::{Args, Subcommand};
use jiff::Timestamp;

use crate::{
    cli::{environment, outcome::Failure},
    tls::ca_directory::CaDirectory,
};

/// Arguments of `ca`.
#[derive(Debug, Args)]
pub struct Ca {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Make a root and an intermediate CA
    ///
    /// The root key is needed for nothing else afterwards: move root/ca.key to a safe place.
    Init(init::Init),
    /// Issue a certificate for a server
    CreateServerCert(create_server_cert::CreateServerCert),
    /// Tell the state of all certificates; exits with 1 if one is missing, expired or wrong
    #[command(visible_alias = "check-expiry")]
    Status(status::Status),
}

/// Where the CA is.
#[derive(Debug, Args)]
struct Directory {
    /// Folder of the CA [default: ca in the server's config directory]
    #[arg(long, value_name = "DIR")]
    ca_dir: Option<PathBuf>,
}

impl Ca {
    /// Runs the command.
    pub fn run(self) -> Result<(), Failure> {
        self.run_at(Timestamp::now(), &mut io::stdout().lock())
    }

    /// Runs the command at a given time; what a person asked to see goes to `out`.
    pub fn run_at(self, now: Timestamp, out: &mut dyn Write) -> Result<(), Failure> {
        match self.command {
            Command::Init(command) => command.run(now, out),
            Command::CreateServerCert(command) => command.run(now, out),
            Command::Status(command) => command.run(now, out),
        }
    }
}

impl Directory {
    fn resolve(&self) -> Result<CaDirectory, Failure> {
        let folder = match &self.ca_dir {
            Some(folder) => folder.clone(),
            None => environment::server_dir()?.join("ca"),
        };
        Ok(CaDirectory::new(folder))
    }
}
