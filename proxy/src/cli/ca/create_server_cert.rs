//! `ca create-server-cert`: issues a leaf into the folder of the CA.

use std::{io::Write, path::Path, time::Duration};

use anyhow::{Context, bail};
use clap::Args;
use jiff::Timestamp;
use vibectl_pki::{Leaf, Name, Names};

use super::Directory;
use crate::{
    cli::outcome::Failure,
    tls::{
        ca_directory::{CaDirectory, PairPath},
        issuer::CaIssuer,
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
        let directory = self.directory.resolve()?;
        let names = std::iter::once(&self.hostname).chain(&self.sans).cloned();
        let names = Names::new(names).map_err(|error| Failure::usage(&error))?;
        let paths = directory.server(&self.hostname);
        let leaf = self.issue(directory, names, &paths, now).map_err(Failure::Running)?;
        print(&leaf, &paths, out).map_err(Failure::running)
    }

    fn issue(
        &self,
        directory: CaDirectory,
        names: Names,
        paths: &PairPath,
        now: Timestamp,
    ) -> anyhow::Result<Leaf> {
        if let Some(there) = [&paths.certificate, &paths.key].into_iter().find(|path| path.exists())
            && !self.force
        {
            bail!("{} exists; --force replaces it", there.display());
        }
        let validity = DAY.saturating_mul(self.validity_days);
        let leaf = CaIssuer { directory, names, validity }.issue(now)?;
        self.write(paths, &leaf)?;
        Ok(leaf)
    }

    /// The key first: a server that reads in between sees a pair that does not match, and keeps the one it has.
    fn write(&self, paths: &PairPath, leaf: &Leaf) -> anyhow::Result<()> {
        let write = if self.force { private_file::replace } else { private_file::create };
        let PairPath { certificate, key } = paths;
        let failed = |path: &Path| format!("failed to write {}", path.display());
        if let Some(folder) = key.parent() {
            private_file::create_dir(folder, PRIVATE_DIR).with_context(|| failed(folder))?;
        }
        write(key, leaf.key_pem().as_bytes(), PRIVATE).with_context(|| failed(key))?;
        write(certificate, leaf.chain_pem().as_bytes(), PUBLIC).with_context(|| failed(certificate))
    }
}

fn print(leaf: &Leaf, paths: &PairPath, out: &mut dyn Write) -> std::io::Result<()> {
    let facts = leaf.facts();
    writeln!(out, "Issued a certificate for {}.", facts.names.join(", "))?;
    writeln!(out, "Certificate and chain: {}", paths.certificate.display())?;
    writeln!(out, "Private key:           {}", paths.key.display())?;
    writeln!(out, "Valid until:           {}", facts.lifetime.not_after)
}
