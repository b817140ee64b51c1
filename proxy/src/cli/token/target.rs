//! What a command about revoked tokens is about.

use std::path::{Path, PathBuf};

use clap::Args;
use vibectl_token::{Inspected, inspect};

use crate::cli::outcome::Failure;
use crate::cli::token_file;

/// A token or a subject.
#[derive(Debug, Args)]
#[group(required = true, multiple = false)]
pub(super) struct Target {
    /// File with the token; - for standard input
    #[arg(value_name = "TOKEN-FILE")]
    token_file: Option<PathBuf>,
    /// The token's identifier: its claim jti, as `test-jwt` and the list show it
    #[arg(long)]
    jti: Option<String>,
    /// All tokens of this subject
    #[arg(long, value_name = "NAME")]
    subject: Option<String>,
}

/// What was named, as far as it is known.
pub(super) enum Named {
    /// One token.
    Token { jti: String, subject: Option<String>, expires_at: Option<i64> },
    /// All tokens of a subject.
    Subject(String),
}

impl Target {
    /// Reads the file, where one is named. Its token is not verified: what is refused anyway may be revoked as well.
    pub(super) fn resolve(self) -> Result<Named, Failure> {
        match self {
            Self { subject: Some(subject), .. } => Ok(Named::Subject(subject)),
            Self { jti: Some(jti), .. } => Ok(Named::Token { jti, subject: None, expires_at: None }),
            Self { token_file: Some(path), .. } => token_in(&path),
            Self { .. } => Err(Failure::Usage("name a token file, --jti or --subject".to_owned())),
        }
    }
}

fn token_in(path: &Path) -> Result<Named, Failure> {
    let inspected = inspect_file(path)?;
    let subject = inspected.text("sub").map(str::to_owned);
    let expires_at = inspected.seconds("exp");
    match inspected.text("jti").map(str::to_owned) {
        Some(jti) => Ok(Named::Token { jti, subject, expires_at }),
        None => Err(Failure::Usage(format!(
            "the token in {} has no identifier (jti); revoke by its subject: --subject {}",
            path.display(),
            subject.as_deref().unwrap_or("NAME")
        ))),
    }
}

fn inspect_file(path: &Path) -> Result<Inspected, Failure> {
    let token = token_file::read(path).map_err(Failure::Running)?;
    inspect(&token).ok_or_else(|| Failure::Usage(format!("there is no token in {}", path.display())))
}
