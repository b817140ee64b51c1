//! `token prune`: drops what is of no use any more.

use std::io::Write;

use clap::Args;

use super::revocation_file::RevocationFile;
use super::signing_keys::SigningKeys;
use crate::cli::alone::Which;
use crate::cli::outcome::Failure;

/// Arguments of `token prune`.
#[derive(Debug, Args)]
pub(super) struct Prune {
    #[command(flatten)]
    server: Which,
}

impl Prune {
    pub(super) fn run(self, now: i64, out: &mut dyn Write) -> Result<(), Failure> {
        let server = self.server.load()?;
        let file = RevocationFile::new(server.required_revocation_file()?);
        let dropped = file.change(|list| Ok((list.prune(now), list.entries().len())));
        let (dropped, left) = dropped.map_err(Failure::Running)?;
        writeln!(
            out,
            "dropped {dropped} entries of tokens that have ended, {left} are left in {}",
            file.path().display()
        )
        .map_err(Failure::running)?;
        if server.config.jwt.algorithm.of_signing_keys().is_none() {
            return Ok(());
        }
        let keys = SigningKeys::new(server.signing_keys_dir()?);
        let dropped = keys.prune(now).map_err(Failure::Running)?;
        writeln!(out, "dropped {dropped} keys whose tokens have ended").map_err(Failure::running)
    }
}
