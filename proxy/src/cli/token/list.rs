//! `token list`: what is revoked.

use std::io::{self, Write};

use clap::{Args, ValueEnum};
use serde::Serialize;
use vibectl_token::standalone::revocation::{Entry, What};

use super::revocation_file::RevocationFile;
use crate::cli::alone::Which;
use crate::cli::moment::moment;
use crate::cli::outcome::Failure;
use crate::cli::table;

/// Arguments of `token list`.
#[derive(Debug, Args)]
pub(super) struct List {
    /// How to print
    #[arg(short, long, value_enum, default_value_t = Output::Table, value_name = "FORMAT")]
    output: Output,
    #[command(flatten)]
    server: Which,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Output {
    Table,
    Json,
}

/// An entry for programs. Times are RFC 3339.
#[derive(Serialize)]
struct Shown<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    jti: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    subject: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    issued_before: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    expires_at: Option<String>,
    revoked_at: String,
}

impl List {
    pub(super) fn run(self, out: &mut dyn Write) -> Result<(), Failure> {
        let file = RevocationFile::new(self.server.load()?.required_revocation_file()?);
        let list = file.read().map_err(Failure::Running)?;
        let shown: Vec<Shown<'_>> = list.entries().iter().map(Shown::of).collect();
        match self.output {
            Output::Json => json(&shown, out),
            Output::Table if shown.is_empty() => writeln!(out, "nothing is revoked"),
            Output::Table => {
                table::write(&["TOKEN", "SUBJECT", "REVOKED", "ENDS"], shown.iter().map(Shown::cells), out)
            }
        }
        .map_err(Failure::running)
    }
}

fn json(shown: &[Shown<'_>], out: &mut dyn Write) -> io::Result<()> {
    serde_json::to_writer_pretty(&mut *out, shown)?;
    writeln!(out)
}

impl<'a> Shown<'a> {
    fn of(entry: &'a Entry) -> Self {
        let revoked_at = moment(entry.revoked_at);
        match &entry.what {
            What::Token { jti, subject, expires_at } => Self {
                jti: Some(jti),
                subject: subject.as_deref(),
                issued_before: None,
                expires_at: expires_at.map(moment),
                revoked_at,
            },
            What::Subject { subject, issued_before } => Self {
                jti: None,
                subject: Some(subject),
                issued_before: Some(moment(*issued_before)),
                expires_at: None,
                revoked_at,
            },
        }
    }

    fn cells(&self) -> Vec<String> {
        let token = match (self.jti, &self.issued_before) {
            (Some(jti), _) => jti.escape_debug().to_string(),
            (None, before) => format!("all before {}", before.as_deref().unwrap_or("?")),
        };
        let subject =
            self.subject.map_or_else(|| "-".to_owned(), |subject| subject.escape_debug().to_string());
        vec![
            token,
            subject,
            self.revoked_at.clone(),
            self.expires_at.clone().unwrap_or_else(|| "-".to_owned()),
        ]
    }
}
