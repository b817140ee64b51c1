//! `ca`: a private CA in a folder, for servers outside Kubernetes.
//!
//! A root that signs one intermediate, an intermediate that issues server certificates. All keys are ECDSA on P-256: as strong
//! as the RSA 3072 that they replace, accepted by every TLS client of the last ten years, and made in no time. Folders with RSA
//! keys keep working.

mod archive;
mod authorities;
mod backup;
mod create_cert;
mod init;
mod list;
mod print;
mod renew;
mod revoke;
mod rotate;
mod show;
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
    CreateServerCert(create_cert::CreateServerCert),
    /// Issue a certificate for a caller, for a server that asks callers for one (`tls.ca_bundle_file`)
    CreateClientCert(create_cert::CreateClientCert),
    /// Tell the state of all certificates; exits with 1 if one is missing, expired or wrong
    Status(status::Status),
    /// Tell what expires soon; exits with 1 if something does, or is missing, expired or wrong
    CheckExpiry(status::CheckExpiry),
    /// List the certificates that were issued, with serial numbers
    List(list::List),
    /// Show certificates with their fingerprints and public-key pins
    Show(show::Show),
    /// Issue certificates anew for the names that they have
    Renew(renew::Renew),
    /// Replace root and intermediate, in three steps with an overlap
    ///
    /// `ca rotate` makes a new CA and puts it into the bundle; it does not issue yet. When every client has the new bundle,
    /// `ca rotate --switch` lets it issue. When every certificate has been renewed, `ca rotate --finish` takes the old CA
    /// out of the bundle.
    Rotate(rotate::Rotate),
    /// Revoke a certificate and publish the revocation list (crl.pem)
    Revoke(revoke::Revoke),
    /// Sign the revocation list anew before it is stale
    Crl(revoke::Refresh),
    /// Save CA, token keys, revocations, ACME account and certificates in one file
    Backup(backup::Backup),
    /// Put the content of a backup in its places
    Restore(backup::Restore),
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
            Command::CreateClientCert(command) => command.run(now, out),
            Command::Status(command) => command.run(now, out),
            Command::CheckExpiry(command) => command.run(now, out),
            Command::List(command) => command.run(now, out),
            Command::Show(command) => command.run(out),
            Command::Renew(command) => command.run(now, out),
            Command::Rotate(command) => command.run(now, out),
            Command::Revoke(command) => command.run(now, out),
            Command::Crl(command) => command.run(now, out),
            Command::Backup(command) => command.run(out),
            Command::Restore(command) => command.run(now, out),
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
