//! The command line: one file per group of commands, each with only its own options.
//!
//! Exit codes: 0, 1 for a failure while running, 64 for a mistake in usage or configuration. What a person asked to see
//! goes to standard output, all else to standard error.

pub mod acme;
mod admin_port;
mod alone;
pub mod ca;
pub mod certificate_agent;
pub mod completions;
pub mod config;
mod environment;
pub mod generate_certs;
pub mod generate_token;
pub mod health;
pub mod init_config;
mod minting;
mod moment;
pub mod outcome;
pub mod serve;
pub mod serve_acme;
pub mod status;
mod table;
pub mod test_jwt;
pub mod token;
mod token_file;

use std::ffi::OsString;
use std::process::ExitCode;

use clap::{CommandFactory, Parser, Subcommand};

use crate::cli::outcome::{Failure, report};

const EXIT_CODES: &str = "\
Exit codes:
  0   done, or stopped by a signal
  1   it failed while running, or what was asked about is not good
  64  a mistake in usage or configuration; trying again does not help";

/// LLM proxy: gRPC and HTTP in front of model providers, with access, limits and usage per token.
#[derive(Debug, Parser)]
#[command(name = "vibectl-server", version, disable_help_subcommand = true, after_help = EXIT_CODES)]
struct Cli {
    #[command(subcommand)]
    command: Option<Command>,
}

/// Every command; the file of its arguments also runs it.
#[derive(Debug, Subcommand)]
enum Command {
    /// Serve as the config says
    Serve(serve::Serve),
    /// Serve without TLS, on this machine only unless told otherwise
    ServeInsecure(serve::ServeInsecure),
    /// Serve with a certificate of your own
    ServeCustom(serve::ServeCustom),
    /// Serve with a certificate from a private CA, issued at the start
    ServeCa(serve::ServeCa),
    /// Serve with a certificate from an ACME server such as Let's Encrypt
    ServeAcme(serve_acme::ServeAcme),
    /// Look after the account at the ACME server
    Acme(acme::Acme),
    /// Write a config file to start from
    InitConfig(init_config::InitConfig),
    /// Look at the config and where its values come from, check it, change it
    Config(config::Config),
    /// Make and look after a private CA
    Ca(ca::Ca),
    /// Make a self-signed certificate, for trying things out
    GenerateCerts(generate_certs::GenerateCerts),
    /// Keep a fresh certificate in a folder; the init container of a proxy pod
    CertificateAgent(certificate_agent::CertificateAgent),
    /// Make a token for a server that runs without Kubernetes
    GenerateToken(generate_token::GenerateToken),
    /// Revoke tokens of a server that runs without Kubernetes, and rotate the keys that sign them
    Token(token::Token),
    /// Tell whether a token would be accepted, and if not, why
    TestJwt(test_jwt::TestJwt),
    /// Tell how a server is doing: certificates, tokens, providers, traffic; fails when there is a problem
    Status(status::Status),
    /// Print what a shell needs to complete these commands and their options
    Completions(completions::Completions),
    /// Ask a running server whether it is alive or ready; for probes of containers
    Health(health::Health),
}

/// Runs the command that the arguments name.
pub fn run(arguments: impl IntoIterator<Item = OsString>) -> ExitCode {
    match Cli::try_parse_from(arguments) {
        Ok(Cli { command: Some(command) }) => report(command.run()),
        Ok(Cli { command: None }) => report(Cli::command().print_help().map_err(Failure::running)),
        Err(error) => outcome::usage(&error),
    }
}

/// All commands, as a shell sees them.
fn definition() -> clap::Command {
    Cli::command()
}

impl Command {
    fn run(self) -> Result<(), Failure> {
        match self {
            Self::Serve(serve) => serve.run(),
            Self::ServeInsecure(serve) => serve.run(),
            Self::ServeCustom(serve) => serve.run(),
            Self::ServeCa(serve) => serve.run(),
            Self::ServeAcme(serve) => serve.run(),
            Self::Acme(acme) => acme.run(),
            Self::InitConfig(init) => init.run(),
            Self::Config(config) => config.run(),
            Self::Ca(ca) => ca.run(),
            Self::GenerateCerts(generate) => generate.run(),
            Self::CertificateAgent(agent) => agent.run(),
            Self::GenerateToken(generate) => generate.run(),
            Self::Token(token) => token.run(),
            Self::TestJwt(test) => test.run(),
            Self::Status(status) => status.run(),
            Self::Completions(completions) => completions.run(),
            Self::Health(health) => health.run(),
        }
    }
}
