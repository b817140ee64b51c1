//! `ca list`: what the CA has issued into its folder.

use std::io::Write;

use clap::Args;
use jiff::Timestamp;
use serde::Serialize;
use vibectl_pki::{CertificateFacts, Crls};

use super::Directory;
use super::print::{Output, json, or_dash, table};
use crate::{
    cli::outcome::Failure,
    tls::ca_directory::{Issued, Purpose, publish, read_chain},
};

/// Arguments of `ca list`.
#[derive(Debug, Args)]
pub(super) struct List {
    #[command(flatten)]
    directory: Directory,
    /// How to print
    #[arg(short, long, value_enum, default_value_t = Output::Table, value_name = "FORMAT")]
    output: Output,
}

#[derive(Serialize)]
struct Report<'a> {
    ca_dir: &'a std::path::Path,
    certificates: &'a [Entry],
}

#[derive(Serialize)]
struct Entry {
    name: String,
    purpose: &'static str,
    state: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    facts: Option<Facts>,
    #[serde(skip_serializing_if = "Option::is_none")]
    problem: Option<String>,
}

#[derive(Serialize)]
struct Facts {
    serial: String,
    names: Vec<String>,
    issuer: String,
    not_before: String,
    not_after: String,
    fingerprint_sha256: String,
    public_key_pin: String,
}

impl List {
    pub(super) fn run(&self, now: Timestamp, out: &mut dyn Write) -> Result<(), Failure> {
        let directory = self.directory.resolve()?;
        let lists = publish::read_lists(&directory).map_err(|error| Failure::Running(error.into()))?;
        let entries: Vec<_> =
            directory.issued().into_iter().map(|issued| entry(issued, &lists, now)).collect();
        match self.output {
            Output::Table => table(
                ["NAME", "PURPOSE", "STATE", "EXPIRES", "SERIAL", "NAMES"],
                entries.iter().map(cells),
                out,
            ),
            Output::Json => json(&Report { ca_dir: directory.path(), certificates: &entries }, out),
        }
        .map_err(Failure::running)
    }
}

fn entry(Issued { name, purpose, paths }: Issued, lists: &Crls, now: Timestamp) -> Entry {
    let purpose = match purpose {
        Purpose::Server => "server",
        Purpose::Client => "client",
    };
    let chain = read_chain(&paths.certificate);
    let facts = match chain.as_ref().map(vibectl_pki::Chain::facts) {
        Ok(Ok(facts)) => facts,
        Ok(Err(error)) => return unreadable(name, purpose, error.to_string()),
        Err(error) => return unreadable(name, purpose, crate::cli::outcome::chain(error)),
    };
    let issuer = |list: &&vibectl_pki::Crl| list.issuer_key_id == facts.issuer_key_id;
    let state = if lists.iter().find(issuer).is_some_and(|list| list.revokes(&facts.serial)) {
        "revoked"
    } else if facts.lifetime.contains(now) {
        "valid"
    } else {
        "expired"
    };
    Entry { name, purpose, state, facts: Some(Facts::from(facts)), problem: None }
}

fn unreadable(name: String, purpose: &'static str, problem: String) -> Entry {
    Entry { name, purpose, state: "unreadable", facts: None, problem: Some(problem) }
}

impl From<CertificateFacts> for Facts {
    fn from(facts: CertificateFacts) -> Self {
        Self {
            serial: facts.serial,
            names: facts.names,
            issuer: facts.issuer,
            not_before: facts.lifetime.not_before.to_string(),
            not_after: facts.lifetime.not_after.to_string(),
            fingerprint_sha256: facts.fingerprint_sha256,
            public_key_pin: facts.public_key_pin,
        }
    }
}

fn cells(entry: &Entry) -> [String; 6] {
    let facts = entry.facts.as_ref();
    let day = |facts: &Facts| facts.not_after.get(..10).unwrap_or_default().to_owned();
    [
        entry.name.clone(),
        entry.purpose.to_owned(),
        entry.state.to_owned(),
        or_dash(facts.map(day)),
        or_dash(facts.map(|facts| facts.serial.clone())),
        or_dash(facts.map(|facts| facts.names.join(",")).or_else(|| entry.problem.clone())),
    ]
}
