//! `generate-certs`: a self-signed pair in files, for trying things out.

use std::{
    io::{self, Write},
    path::PathBuf,
};

use anyhow::bail;
use clap::Args;
use jiff::Timestamp;
use vibectl_pki::{Leaf, Name, Names};

use crate::{
    cli::{environment, outcome::Failure},
    tls::{ca_directory::PairPath, self_signed},
};

/// Arguments of `generate-certs`.
#[derive(Debug, Args)]
pub struct GenerateCerts {
    /// DNS name or IP address of the server; localhost is always added
    #[arg(long, default_value = "localhost", value_name = "NAME")]
    hostname: Name,
    /// Certificate [default: certs/server.crt in the server's config directory]
    #[arg(long, value_name = "FILE")]
    cert_file: Option<PathBuf>,
    /// Private key [default: certs/server.key in the server's config directory]
    #[arg(long, value_name = "FILE")]
    key_file: Option<PathBuf>,
    /// Replace the files that are there
    #[arg(long)]
    force: bool,
}

impl GenerateCerts {
    /// Writes the pair.
    pub fn run(self) -> Result<(), Failure> {
        let names = self_signed::names(&self.hostname.to_string()).map_err(|error| Failure::usage(&error))?;
        let in_certs = |given: Option<PathBuf>, name: &str| match given {
            Some(path) => Ok(path),
            None => environment::server_dir().map(|folder| folder.join("certs").join(name)),
        };
        let paths = PairPath {
            certificate: in_certs(self.cert_file, "server.crt")?,
            key: in_certs(self.key_file, "server.key")?,
        };
        let leaf = write(&paths, &names, self.force).map_err(Failure::Running)?;
        print(&leaf, &paths).map_err(Failure::running)
    }
}

fn write(paths: &PairPath, names: &Names, force: bool) -> anyhow::Result<Leaf> {
    let there = [&paths.certificate, &paths.key].into_iter().find(|path| path.symlink_metadata().is_ok());
    if let Some(there) = there
        && !force
    {
        bail!("{} exists; --force replaces it", there.display());
    }
    Ok(self_signed::write(paths, names, Timestamp::now())?)
}

fn print(leaf: &Leaf, paths: &PairPath) -> io::Result<()> {
    let mut out = io::stdout().lock();
    let certificate = paths.certificate.display();
    writeln!(out, "Made a self-signed certificate for {}.", leaf.facts().names.join(", "))?;
    writeln!(out, "Certificate: {certificate}")?;
    writeln!(out, "Private key: {}", paths.key.display())?;
    writeln!(out, "Clients trust it with {certificate} itself.")
}
