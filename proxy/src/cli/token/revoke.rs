//! `token revoke`: puts a token, or what a subject was given so far, on the list of what is refused.

use std::io::Write;

use clap::Args;
use jiff::Timestamp;
use vibectl_token::standalone::revocation::{Entry, What};

use super::revocation_file::RevocationFile;
use super::target::{Named, Target};
use crate::cli::alone::Which;
use crate::cli::outcome::Failure;

/// Arguments of `token revoke`.
#[derive(Debug, Args)]
pub(super) struct Revoke {
    #[command(flatten)]
    target: Target,
    /// With --subject: refuse what was issued before this moment, such as 2026-11-27T12:00:00Z [default: up to now]
    #[arg(long, value_name = "TIME", conflicts_with_all = ["jti", "token_file"])]
    before: Option<Timestamp>,
    #[command(flatten)]
    server: Which,
}

impl Revoke {
    pub(super) fn run(self, now: i64, out: &mut dyn Write) -> Result<(), Failure> {
        let what = match self.target.resolve()? {
            Named::Token { jti, subject, expires_at } => What::Token { jti, subject, expires_at },
            Named::Subject(subject) => {
                // A token of this second may be one that is to be refused.
                let issued_before = self.before.map_or(now.saturating_add(1), next_second);
                What::Subject { subject, issued_before }
            }
        };
        let entry = Entry { what, revoked_at: now };
        let file = RevocationFile::new(self.server.load()?.required_revocation_file()?);
        if entry.is_over(now) {
            return writeln!(out, "{} has ended by itself; nothing to revoke", name(&entry.what))
                .map_err(Failure::running);
        }
        let revoked = name(&entry.what);
        let changed = file.change(|list| list.revoke(entry)).map_err(Failure::Running)?;
        let path = file.path().display();
        if changed {
            writeln!(out, "revoked {revoked} in {path}; servers that follow this file refuse it from now on")
        } else {
            writeln!(out, "{revoked} was revoked already in {path}")
        }
        .map_err(Failure::running)
    }
}

/// The first whole second that is not before the moment.
fn next_second(moment: Timestamp) -> i64 {
    moment.as_second().saturating_add(i64::from(moment.subsec_nanosecond() > 0))
}

fn name(what: &What) -> String {
    match what {
        What::Token { jti, subject: Some(subject), .. } => format!("token {jti:?} of {subject:?}"),
        What::Token { jti, subject: None, .. } => format!("token {jti:?}"),
        What::Subject { subject, issued_before } => {
            let moment = Timestamp::from_second(*issued_before).unwrap_or(Timestamp::MAX);
            format!("what {subject:?} was given before {moment}")
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_moment_within_a_second_covers_the_whole_second() {
        assert_eq!(next_second("1970-01-01T00:00:05Z".parse().expect("a time")), 5);
        assert_eq!(next_second("1970-01-01T00:00:05.000001Z".parse().expect("a time")), 6);
    }

    #[test]
    fn names_of_strangers_cannot_write_to_the_terminal() {
        let what =
            What::Token { jti: "\u{1b}[2J".to_owned(), subject: Some("\n".to_owned()), expires_at: None };

        assert_eq!(name(&what), r#"token "\u{1b}[2J" of "\n""#);
    }
}
