//! `ca revoke` and `ca crl`: the revocation list that a server checks callers against (`tls.client_crl_file`).

use std::{
    io::Write,
    path::{Path, PathBuf},
};

use anyhow::{anyhow, bail};
use clap::{ArgGroup, Args};
use jiff::{SignedDuration, Timestamp};
use vibectl_pki::{Chain, Crls, RevocationReason, Revoked};

use super::{Directory, authorities::LIST_VALIDITY};
use crate::{
    cli::outcome::Failure,
    tls::ca_directory::{CaDirectory, publish, read_chain},
};

/// Arguments of `ca revoke`.
#[derive(Debug, Args)]
#[command(group = ArgGroup::new("which").required(true))]
pub(super) struct Revoke {
    /// Name of an issued certificate, or its serial number
    #[arg(value_name = "NAME|SERIAL", group = "which")]
    name: Option<String>,
    /// A certificate of this CA that is kept elsewhere, PEM
    #[arg(long, value_name = "FILE", group = "which")]
    cert_file: Option<PathBuf>,
    /// Why: unspecified, key-compromise, superseded, cessation-of-operation or privilege-withdrawn
    #[arg(long, default_value = "unspecified", value_name = "REASON", value_parser = reason)]
    reason: RevocationReason,
    #[command(flatten)]
    list: List,
}

/// Arguments of `ca crl`.
#[derive(Debug, Args)]
pub(super) struct Refresh {
    #[command(flatten)]
    list: List,
}

#[derive(Debug, Args)]
struct List {
    /// Days until the list is stale; sign it anew before that: once it is, servers refuse every caller
    #[arg(long, value_name = "DAYS", value_parser = clap::value_parser!(i32).range(1..=3650))]
    days: Option<i32>,
    #[command(flatten)]
    directory: Directory,
}

impl Revoke {
    pub(super) fn run(&self, now: Timestamp, out: &mut dyn Write) -> Result<(), Failure> {
        let directory = self.list.directory.resolve()?;
        self.revoke(&directory, now, out).map_err(Failure::Running)
    }

    fn revoke(&self, directory: &CaDirectory, now: Timestamp, out: &mut dyn Write) -> anyhow::Result<()> {
        let leaf = self.find(directory)?;
        let facts = leaf.facts()?;
        let entry = Revoked { serial: facts.serial.clone(), at: now, reason: self.reason };
        let lists = publish::lists(directory, Some((&leaf, entry)), now, self.list.validity())?;
        writeln!(out, "Revoked {} (serial {}), {}.", facts.subject, facts.serial, self.reason.name())?;
        print(&lists, &directory.revocation_lists(), out)
    }

    fn find(&self, directory: &CaDirectory) -> anyhow::Result<Chain> {
        if let Some(path) = &self.cert_file {
            return Ok(read_chain(path)?);
        }
        let name = self.name.as_deref().unwrap_or_default();
        let mut found = Vec::new();
        for issued in directory.issued() {
            let chain = read_chain(&issued.paths.certificate)?;
            if issued.name == name || chain.facts()?.serial.eq_ignore_ascii_case(name) {
                found.push(chain);
            }
        }
        let only = found.pop().ok_or_else(|| {
            anyhow!("no certificate {name} in {}; `ca list` shows what there is", directory.path().display())
        })?;
        if !found.is_empty() {
            bail!("{name} is the name of a server and of a client; use a serial number of `ca list`");
        }
        Ok(only)
    }
}

impl Refresh {
    pub(super) fn run(&self, now: Timestamp, out: &mut dyn Write) -> Result<(), Failure> {
        let directory = self.list.directory.resolve()?;
        let lists = publish::lists(&directory, None, now, self.list.validity());
        let lists = lists.map_err(|error| Failure::Running(error.into()))?;
        print(&lists, &directory.revocation_lists(), out).map_err(Failure::Running)
    }
}

impl List {
    fn validity(&self) -> SignedDuration {
        self.days.map_or(LIST_VALIDITY, |days| SignedDuration::from_hours(24) * days)
    }
}

fn print(lists: &Crls, path: &Path, out: &mut dyn Write) -> anyhow::Result<()> {
    let revoked: usize = lists.iter().map(|list| list.revoked.len()).sum();
    writeln!(out, "{} revokes {revoked}; give it to servers as tls.client_crl_file.", path.display())?;
    if let Some(next_update) = lists.next_update() {
        writeln!(out, "Sign it anew before {next_update}: vibectl-server ca crl")?;
    }
    Ok(())
}

fn reason(text: &str) -> Result<RevocationReason, String> {
    let known = RevocationReason::NAMES;
    known
        .iter()
        .find(|(name, _)| *name == text)
        .map(|(_, reason)| *reason)
        .ok_or_else(|| format!("expected one of {}", known.map(|(name, _)| name).join(", ")))
}
