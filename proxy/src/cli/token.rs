//! `token`: looks after the tokens of a server that runs alone.

mod list;
mod prune;
pub(super) mod revocation_file;
mod revoke;
mod rotate_key;
pub(super) mod signing_keys;
mod target;
mod unrevoke;

use std::io;

use clap::{Args, Subcommand};

use crate::cli::outcome::Failure;
use crate::state::unix_now;

/// Arguments of `token`.
#[derive(Debug, Args)]
pub struct Token {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Refuse a token, or all that a subject was given so far; running servers follow within half a second
    Revoke(revoke::Revoke),
    /// Show what is revoked
    List(list::List),
    /// Accept again what was revoked
    Unrevoke(unrevoke::Unrevoke),
    /// Drop the entries of tokens that have ended, and the keys that signed no other ones
    Prune(prune::Prune),
    /// Sign with a new key, in the order in which no token is refused on the way; or take a key out of use at once
    RotateKey(rotate_key::RotateKey),
}

impl Token {
    /// Runs the command.
    pub fn run(self) -> Result<(), Failure> {
        let (out, now) = (&mut io::stdout().lock(), unix_now());
        match self.command {
            Command::Revoke(revoke) => revoke.run(now, out),
            Command::List(list) => list.run(out),
            Command::Unrevoke(unrevoke) => unrevoke.run(out),
            Command::Prune(prune) => prune.run(now, out),
            Command::RotateKey(rotate) => rotate.run(out),
        }
    }
}
