//! `ca renew`: the same names, a new lifetime; with `--keep-key` the same key, so that pins of it stay good.

use std::{io::Write, path::PathBuf, time::Duration};

use anyhow::{Context, anyhow, bail};
use clap::{ArgGroup, Args};
use jiff::{SignedDuration, Timestamp};
use vibectl_pki::{CertificateFacts, IssueRequest, Names, PrivateKey};
use zeroize::Zeroizing;

use super::{
    Directory,
    authorities::{INTERMEDIATE_VALIDITY, LIST_VALIDITY, retire_intermediate, write_authority},
    create_cert::{print, usage, write},
};
use crate::{
    cli::outcome::Failure,
    tls::{
        ca_directory::{CaDirectory, Issued, publish, read_chain},
        private_file,
    },
};

const DAY: Duration = Duration::from_hours(24);

/// Arguments of `ca renew`.
#[derive(Debug, Args)]
#[command(group = ArgGroup::new("what").required(true))]
pub(super) struct Renew {
    /// Names of issued certificates
    #[arg(value_name = "NAME", group = "what")]
    names: Vec<String>,
    /// Everything that was issued and is not revoked
    #[arg(long, group = "what")]
    all: bool,
    /// The intermediate CA; needs the key of the root. Without --keep-key the old one goes on being good for what it issued
    #[arg(long, group = "what")]
    intermediate: bool,
    /// Keep the private key, so that pins of the public key stay good
    #[arg(long)]
    keep_key: bool,
    /// Days until it expires [default: as long as before]
    #[arg(long, value_name = "DAYS", value_parser = clap::value_parser!(u32).range(1..))]
    validity_days: Option<u32>,
    #[command(flatten)]
    directory: Directory,
}

impl Renew {
    pub(super) fn run(&self, now: Timestamp, out: &mut dyn Write) -> Result<(), Failure> {
        let directory = self.directory.resolve()?;
        let renewed = if self.intermediate {
            self.renew_intermediate(&directory, now, out)
        } else {
            self.renew_issued(&directory, now, out)
        };
        renewed.map_err(Failure::Running)
    }

    fn renew_issued(
        &self,
        directory: &CaDirectory,
        now: Timestamp,
        out: &mut dyn Write,
    ) -> anyhow::Result<()> {
        let issued = directory.issued();
        for name in &self.names {
            if !issued.iter().any(|issued| issued.name == *name) {
                bail!(
                    "no certificate {name} in {}; `ca list` shows what there is",
                    directory.path().display()
                );
            }
        }
        let lists = publish::read_lists(directory)?;
        for issued in issued.iter().filter(|issued| self.all || self.names.contains(&issued.name)) {
            let facts = read_chain(&issued.paths.certificate)?.facts()?;
            let revoked = lists
                .iter()
                .any(|list| list.issuer_key_id == facts.issuer_key_id && list.revokes(&facts.serial));
            match (revoked, self.all) {
                (true, true) => {}
                (true, false) if self.keep_key => {
                    bail!("{} is revoked: leave out --keep-key, so that it gets a new key", issued.name)
                }
                _ => self.renew_one(directory, issued, &facts, now, out)?,
            }
        }
        Ok(())
    }

    fn renew_one(
        &self,
        directory: &CaDirectory,
        issued: &Issued,
        facts: &CertificateFacts,
        now: Timestamp,
        out: &mut dyn Write,
    ) -> anyhow::Result<()> {
        let names = Names::parse(&facts.names).with_context(|| format!("the names of {}", issued.name))?;
        let validity = self.validity(facts);
        let request = IssueRequest { names: &names, usage: usage(issued.purpose), validity, now };
        let ca = directory.read_intermediate()?;
        let leaf = if self.keep_key {
            ca.issue_for(&request, read_key(&issued.paths.key)?)?
        } else {
            ca.issue(&request)?
        };
        write(&issued.paths, &leaf, true)?;
        Ok(print(&leaf, &issued.paths, out)?)
    }

    fn renew_intermediate(
        &self,
        directory: &CaDirectory,
        now: Timestamp,
        out: &mut dyn Write,
    ) -> anyhow::Result<()> {
        let (root, old) = (directory.read_root()?, directory.read_intermediate()?);
        let validity = self.validity_days.map_or(INTERMEDIATE_VALIDITY, |days| DAY.saturating_mul(days));
        let paths = directory.intermediate();
        if self.keep_key {
            let renewed = root.intermediate_with_same_key(&old, validity, now)?;
            let pem = vibectl_pki::Chain::new(vec![renewed.chain().leaf().clone()])?.to_pem();
            private_file::replace(&paths.certificate, pem.as_bytes(), private_file::PUBLIC)
                .with_context(|| format!("failed to write {}", paths.certificate.display()))?;
        } else {
            let renewed = root.intermediate_in_place_of(old.chain(), validity, now)?;
            retire_intermediate(directory)?;
            write_authority(&paths, &renewed)?;
        }
        publish::bundle(directory)?;
        publish::lists(directory, None, now, LIST_VALIDITY)?;
        let facts = directory.read_intermediate()?.facts().clone();
        writeln!(out, "Renewed the intermediate CA; it is valid until {}.", facts.lifetime.not_after)?;
        writeln!(
            out,
            "Clients that trust the root need nothing new. Issued certificates stay good until they end."
        )?;
        Ok(())
    }

    /// As asked, or as long as the old one was.
    fn validity(&self, facts: &CertificateFacts) -> Duration {
        let before = facts.lifetime.not_after.duration_since(facts.lifetime.not_before);
        // The backdating of a few minutes is not part of what was asked for.
        let before = before.round(jiff::Unit::Hour).unwrap_or(SignedDuration::from_hours(90 * 24));
        let before = Duration::try_from(before).unwrap_or(DAY).max(Duration::from_hours(1));
        self.validity_days.map_or(before, |days| DAY.saturating_mul(days))
    }
}

fn read_key(path: &PathBuf) -> anyhow::Result<PrivateKey> {
    let text = std::fs::read_to_string(path).map(Zeroizing::new);
    let text = text.with_context(|| format!("failed to read {}", path.display()))?;
    PrivateKey::from_pem(&text).map_err(|error| anyhow!("{}: {error}", path.display()))
}
