//! `test-jwt`: whether a token would be accepted, and if not, why. By the code that judges calls.

use std::io::{self, Write};
use std::path::{Path, PathBuf};

use clap::{Args, ValueEnum};
use serde::Serialize;
use serde_json::{Map, Value};
use tokio::runtime::Builder;
use vibectl_token::{Inspected, inspect};
use zeroize::Zeroizing;

use crate::auth::{Auth, Judgement};
use crate::cli::alone::{Alone, Which};
use crate::cli::minting::Order;
use crate::cli::moment::moment;
use crate::cli::outcome::{Failure, say};
use crate::cli::token_file;
use crate::listener::tls::ClientCertificate;
use crate::metrics::Metrics;
use crate::state::unix_now;
use crate::tls::ca_directory::read_chain;

/// Arguments of `test-jwt`.
#[derive(Debug, Args)]
pub struct TestJwt {
    /// File with the token; - for standard input
    #[arg(
        value_name = "TOKEN-FILE",
        required_unless_present = "generate_token",
        conflicts_with = "generate_token"
    )]
    token_file: Option<PathBuf>,
    /// Make a token for this subject, test it and forget it: whether secret or keys are in order
    #[arg(long, value_name = "SUBJECT")]
    generate_token: Option<String>,
    /// Certificate, PEM, that the caller shows: a token may be bound to one
    #[arg(long, value_name = "FILE")]
    client_cert: Option<PathBuf>,
    /// How to print
    #[arg(short, long, value_enum, default_value_t = Output::Text, value_name = "FORMAT")]
    output: Output,
    #[command(flatten)]
    server: Which,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Output {
    Text,
    Json,
}

/// What is told of a token: everything but its signature, without which it is of no use to anybody.
#[derive(Serialize)]
struct Report {
    accepted: bool,
    reason: Option<String>,
    header: Map<String, Value>,
    claims: Map<String, Value>,
}

impl TestJwt {
    /// Runs the command; fails when the token would be refused.
    pub fn run(self) -> Result<(), Failure> {
        let (now, server) = (unix_now(), self.server.load()?);
        let token = match (self.token_file, self.generate_token) {
            (Some(path), _) => token_file::read(&path).map_err(Failure::Running)?,
            (None, subject) => made(&server, subject.unwrap_or_default(), now)?,
        };
        let client = self.client_cert.as_deref().map(certificate).transpose()?;
        let judgement = judge(&server, &token, client, now)?;
        let report = Report::new(inspect(&token), &judgement);
        let out = &mut io::stdout().lock();
        match self.output {
            Output::Json => serde_json::to_writer_pretty(&mut *out, &report)
                .map_err(io::Error::from)
                .and_then(|()| writeln!(out)),
            Output::Text => report.text(&judgement, out),
        }
        .map_err(Failure::running)?;
        match judgement {
            Judgement::Accepted(_) | Judgement::NotAsked => Ok(()),
            Judgement::Refused(reason) => {
                Err(Failure::Running(anyhow::anyhow!("the token would be refused: {reason}")))
            }
        }
    }
}

fn made(server: &Alone, subject: String, now: i64) -> Result<Zeroizing<String>, Failure> {
    let jti = uuid::Uuid::new_v4().to_string();
    let order = Order { subject, lifetime: None, confirmation: None, jti };
    Ok(Zeroizing::new(server.mint(order, now)?.expose().to_owned()))
}

/// Puts in force what a server started now would have, and asks it.
fn judge(
    server: &Alone,
    token: &str,
    client: Option<ClientCertificate>,
    now: i64,
) -> Result<Judgement, Failure> {
    if server.config.access.is_some() {
        return Err(Failure::Usage(
            "the config has an access table; its tokens are judged by the status of their ProxyToken"
                .to_owned(),
        ));
    }
    let auth = Auth::new(&Metrics::default().key_fetches);
    auth.start(&server.config, false).map_err(|error| Failure::unusable(&error))?;
    let (_, files) = server.access_files().read().map_err(Failure::running)?;
    // Keys of other issuers may have to be fetched.
    let runtime = Builder::new_current_thread().enable_all().build().map_err(Failure::running)?;
    runtime.block_on(async {
        for problem in auth.follow(&server.config.jwt, &files, now).problems {
            say(&format!("warning: {problem}"));
        }
        Ok(auth.judge(token, client, now).await)
    })
}

fn certificate(path: &Path) -> Result<ClientCertificate, Failure> {
    let chain = read_chain(path).map_err(|error| Failure::unusable(&error))?;
    Ok(ClientCertificate::of(chain.leaf()))
}

impl Report {
    fn new(inspected: Option<Inspected>, judgement: &Judgement) -> Self {
        let (header, claims) = inspected.map(|token| (token.header, token.claims)).unwrap_or_default();
        let reason = match judgement {
            Judgement::Refused(reason) => Some(reason.clone()),
            Judgement::Accepted(_) | Judgement::NotAsked => None,
        };
        Self { accepted: reason.is_none(), reason, header, claims }
    }

    fn text(&self, judgement: &Judgement, out: &mut dyn Write) -> io::Result<()> {
        match judgement {
            Judgement::Accepted(subject) => writeln!(out, "accepted, as {subject:?}")?,
            Judgement::NotAsked => {
                writeln!(out, "accepted, as anything is: this server asks nobody for a token")?;
            }
            Judgement::Refused(_) => writeln!(out, "refused")?,
        }
        for (part, members) in [("header", &self.header), ("claim", &self.claims)] {
            for (name, value) in members {
                let time = if is_time(name) { value.as_i64().map(moment) } else { None };
                let time = time.map_or_else(String::new, |time| format!("  ({time})"));
                writeln!(out, "  {part} {}: {value}{time}", name.escape_debug())?;
            }
        }
        Ok(())
    }
}

fn is_time(claim: &str) -> bool {
    matches!(claim, "iat" | "nbf" | "exp")
}
