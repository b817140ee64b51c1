//! `ca show`: certificates with what people compare over another channel: fingerprints and pins.

use std::io::{self, Write};

use anyhow::anyhow;
use clap::Args;
use serde::Serialize;
use vibectl_pki::CertificateFacts;

use super::Directory;
use super::print::{Output, json};
use crate::{
    cli::outcome::Failure,
    tls::ca_directory::{CaDirectory, PairPath, read_chain},
};

/// Arguments of `ca show`.
#[derive(Debug, Args)]
pub(super) struct Show {
    /// root, intermediate, or the name of an issued certificate [default: the CAs]
    #[arg(value_name = "NAME")]
    name: Option<String>,
    #[command(flatten)]
    directory: Directory,
    /// How to print
    #[arg(short, long, value_enum, default_value_t = Output::Table, value_name = "FORMAT")]
    output: Output,
}

#[derive(Serialize)]
struct Shown {
    name: String,
    subject: String,
    issuer: String,
    serial: String,
    names: Vec<String>,
    not_before: String,
    not_after: String,
    /// Upper-case pairs with colons, as browsers and `openssl x509 -fingerprint` print it.
    fingerprint_sha256: String,
    /// What curl takes as `--pinnedpubkey` and RFC 7469 as `pin-sha256`.
    public_key_pin: String,
}

impl Show {
    pub(super) fn run(&self, out: &mut dyn Write) -> Result<(), Failure> {
        let shown = self.shown(&self.directory.resolve()?).map_err(Failure::Running)?;
        match self.output {
            Output::Table => shown.iter().try_for_each(|shown| shown.print(out)),
            Output::Json => json(&shown, out),
        }
        .map_err(Failure::running)
    }

    fn shown(&self, directory: &CaDirectory) -> anyhow::Result<Vec<Shown>> {
        let wanted: Vec<_> = match &self.name {
            Some(name) => known(directory).into_iter().filter(|(known, _)| known == name).collect(),
            None => authorities(directory),
        };
        if wanted.is_empty() {
            let name = self.name.as_deref().unwrap_or("CA");
            return Err(anyhow!(
                "no {name} in {}; `ca list` shows what there is",
                directory.path().display()
            ));
        }
        let shown = wanted.into_iter().map(|(name, paths)| {
            let facts = read_chain(&paths.certificate)?.facts()?;
            Ok(Shown::new(name, facts))
        });
        shown.collect()
    }
}

/// Root, intermediate, and those of a rotation, where there are such.
fn authorities(directory: &CaDirectory) -> Vec<(String, PairPath)> {
    let next = directory.next();
    let named = [
        ("root", directory.root()),
        ("intermediate", directory.intermediate()),
        ("next-root", next.root()),
        ("next-intermediate", next.intermediate()),
        ("previous-root", directory.previous_root()),
    ];
    let there = named.into_iter().filter(|(_, paths)| paths.certificate.exists());
    there.map(|(name, paths)| (name.to_owned(), paths)).collect()
}

fn known(directory: &CaDirectory) -> Vec<(String, PairPath)> {
    let issued = directory.issued().into_iter().map(|issued| (issued.name, issued.paths));
    authorities(directory).into_iter().chain(issued).collect()
}

impl Shown {
    fn new(name: String, facts: CertificateFacts) -> Self {
        let pairs: Vec<_> =
            facts.fingerprint_sha256.as_bytes().chunks(2).map(String::from_utf8_lossy).collect();
        Self {
            name,
            subject: facts.subject,
            issuer: facts.issuer,
            serial: facts.serial,
            names: facts.names,
            not_before: facts.lifetime.not_before.to_string(),
            not_after: facts.lifetime.not_after.to_string(),
            fingerprint_sha256: pairs.join(":").to_uppercase(),
            public_key_pin: format!("sha256//{}", facts.public_key_pin),
        }
    }

    fn print(&self, out: &mut dyn Write) -> io::Result<()> {
        let Self {
            name,
            subject,
            issuer,
            serial,
            names,
            not_before,
            not_after,
            fingerprint_sha256,
            public_key_pin,
        } = self;
        writeln!(out, "{name}")?;
        writeln!(out, "  subject:             {subject}")?;
        writeln!(out, "  issuer:              {issuer}")?;
        writeln!(out, "  serial:              {serial}")?;
        if !names.is_empty() {
            writeln!(out, "  names:               {}", names.join(", "))?;
        }
        writeln!(out, "  valid:               {not_before} to {not_after}")?;
        writeln!(out, "  SHA-256 fingerprint: {fingerprint_sha256}")?;
        writeln!(out, "  public-key pin:      {public_key_pin}")
    }
}
