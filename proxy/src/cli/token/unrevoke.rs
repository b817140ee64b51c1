//! `token unrevoke`: takes a token, or a subject, off the list of what is refused.

use std::io::Write;

use clap::Args;

use super::revocation_file::RevocationFile;
use super::target::{Named, Target};
use crate::cli::alone::Which;
use crate::cli::outcome::Failure;

/// Arguments of `token unrevoke`.
#[derive(Debug, Args)]
pub(super) struct Unrevoke {
    #[command(flatten)]
    target: Target,
    #[command(flatten)]
    server: Which,
}

impl Unrevoke {
    pub(super) fn run(self, out: &mut dyn Write) -> Result<(), Failure> {
        let named = self.target.resolve()?;
        let file = RevocationFile::new(self.server.load()?.required_revocation_file()?);
        let found = file.change(|list| {
            Ok(match &named {
                Named::Token { jti, .. } => list.unrevoke_token(jti),
                Named::Subject(subject) => list.unrevoke_subject(subject),
            })
        });
        let path = file.path().display();
        if !found.map_err(Failure::Running)? {
            return Err(Failure::Running(anyhow::anyhow!("there is no such entry in {path}")));
        }
        writeln!(out, "taken off {path}").map_err(Failure::running)
    }
}
