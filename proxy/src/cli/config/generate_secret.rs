//! `config generate-secret`: a secret for tokens that nobody can guess.

use std::io::{self, Write};
use std::path::{Path, PathBuf};

use anyhow::Context;
use clap::Args;
use vibectl_token::standalone::Secret;

use crate::cli::outcome::Failure;
use crate::tls::private_file::{self, PRIVATE};

/// Arguments of `config generate-secret`.
#[derive(Debug, Args)]
pub(super) struct GenerateSecret {
    /// File for the secret, readable by its owner alone [default: standard output]
    #[arg(long, value_name = "FILE")]
    output_file: Option<PathBuf>,
    /// Replace the file that is there; every token that its secret signed is refused then
    #[arg(long, requires = "output_file")]
    force: bool,
}

impl GenerateSecret {
    pub(super) fn run(self, out: &mut dyn Write) -> Result<(), Failure> {
        let mut random = zeroize::Zeroizing::new([0; Secret::RANDOM_BYTES]);
        aws_lc_rs::rand::fill(random.as_mut_slice())
            .map_err(|_| Failure::Running(anyhow::anyhow!("failed to draw random bytes")))?;
        let text = Secret::text_of(&random);
        let Some(path) = self.output_file else {
            return writeln!(out, "{}", text.as_str()).map_err(Failure::running);
        };
        write(&path, &text, self.force).map_err(Failure::Running)?;
        writeln!(out, "wrote {}; name it in jwt.secret_key_file or VIBECTL_JWT_SECRET_FILE", path.display())
            .map_err(Failure::running)
    }
}

fn write(path: &Path, text: &str, force: bool) -> anyhow::Result<()> {
    let write = if force { private_file::replace } else { private_file::create };
    match write(path, text.as_bytes(), PRIVATE) {
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
            anyhow::bail!(
                "{} exists; --force replaces it, and ends every token that it signed",
                path.display()
            )
        }
        written => written.with_context(|| format!("failed to write {}", path.display())),
    }
}
