//! `ca create-server-cert` and `ca create-client-cert`: issue a leaf into the folder of the CA.

use std::{io::Write, path::Path, time::Duration};

use anyhow::{Context, bail};
use clap::Args;
use jiff::Timestamp;
use vibectl_pki::{IssueRequest, Leaf, Name, Names, Usage};

use super::Directory;
use crate::{
    cli::outcome::Failure,
    tls::{
        ca_directory::{CaDirectory, PairPath, Purpose},
        private_file::{self, PRIVATE, PRIVATE_DIR, PUBLIC},
    },
};

const DAY: Duration = Duration::from_hours(24);

/// Arguments of `ca create-server-cert`.
#[derive(Debug, Args)]
pub(super) struct CreateServerCert {
    /// DNS name or IP address of the server; also the name of its files
    #[arg(value_name = "HOSTNAME")]
    hostname: Name,
    #[command(flatten)]
    options: Options,
}

/// Arguments of `ca create-client-cert`.
#[derive(Debug, Args)]
pub(super) struct CreateClientCert {
    /// Name of the caller, written as a DNS name; also the name of its files
    #[arg(value_name = "NAME")]
    name: Name,
    #[command(flatten)]
    options: Options,
}

#[derive(Debug, Args)]
struct Options {
    /// Further DNS name or IP address; may be repeated
    #[arg(long = "san", value_name = "NAME")]
    sans: Vec<Name>,
    #[command(flatten)]
    directory: Directory,
    /// Days until it expires; never longer than the CA
    #[arg(long, default_value_t = 90, value_name = "DAYS", value_parser = clap::value_parser!(u32).range(1..))]
    validity_days: u32,
    /// Replace the certificate and the key that are there
    #[arg(long)]
    force: bool,
}

impl CreateServerCert {
    pub(super) fn run(&self, now: Timestamp, out: &mut dyn Write) -> Result<(), Failure> {
        self.options.run(&self.hostname, Purpose::Server, now, out)
    }
}

impl CreateClientCert {
    pub(super) fn run(&self, now: Timestamp, out: &mut dyn Write) -> Result<(), Failure> {
        self.options.run(&self.name, Purpose::Client, now, out)
    }
}

impl Options {
    fn run(&self, name: &Name, purpose: Purpose, now: Timestamp, out: &mut dyn Write) -> Result<(), Failure> {
        let directory = self.directory.resolve()?;
        let names = std::iter::once(name).chain(&self.sans).cloned();
        let names = Names::new(names).map_err(|error| Failure::usage(&error))?;
        let paths = directory.pair_of(purpose, name);
        let leaf = self.issue(&directory, purpose, &names, &paths, now).map_err(Failure::Running)?;
        print(&leaf, &paths, out).map_err(Failure::running)
    }

    fn issue(
        &self,
        directory: &CaDirectory,
        purpose: Purpose,
        names: &Names,
        paths: &PairPath,
        now: Timestamp,
    ) -> anyhow::Result<Leaf> {
        if let Some(there) = [&paths.certificate, &paths.key].into_iter().find(|path| path.exists())
            && !self.force
        {
            bail!("{} exists; --force replaces it", there.display());
        }
        let validity = DAY.saturating_mul(self.validity_days);
        let request = IssueRequest { names, usage: usage(purpose), validity, now };
        let leaf = directory.read_intermediate()?.issue(&request)?;
        write(paths, &leaf, self.force)?;
        Ok(leaf)
    }
}

/// What a certificate for this purpose may be used for.
pub(super) fn usage(purpose: Purpose) -> Usage {
    match purpose {
        Purpose::Server => Usage::Server,
        Purpose::Client => Usage::Client,
    }
}

/// Writes a leaf and its key. The key first: a server that reads in between sees a pair that does not match, and keeps the
/// one it has.
pub(super) fn write(paths: &PairPath, leaf: &Leaf, replace: bool) -> anyhow::Result<()> {
    let write = if replace { private_file::replace } else { private_file::create };
    let PairPath { certificate, key } = paths;
    let failed = |path: &Path| format!("failed to write {}", path.display());
    if let Some(folder) = key.parent() {
        private_file::create_dir(folder, PRIVATE_DIR).with_context(|| failed(folder))?;
    }
    write(key, leaf.key_pem().as_bytes(), PRIVATE).with_context(|| failed(key))?;
    write(certificate, leaf.chain_pem().as_bytes(), PUBLIC).with_context(|| failed(certificate))
}

/// Tells where the files are.
pub(super) fn print(leaf: &Leaf, paths: &PairPath, out: &mut dyn Write) -> std::io::Result<()> {
    let facts = leaf.facts();
    writeln!(out, "Issued a certificate for {}.", facts.names.join(", "))?;
    writeln!(out, "Certificate and chain: {}", paths.certificate.display())?;
    writeln!(out, "Private key:           {}", paths.key.display())?;
    writeln!(out, "Valid until:           {}", facts.lifetime.not_after)
}
