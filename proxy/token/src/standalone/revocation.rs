//! Tokens that are refused although signature and time are good: the revocation list of a server that runs alone.
//!
//! The list is a file of JSON lines ([`Entry`]). [`List`] is for those who change it, [`Revocations`] for the server,
//! which asks it for every call.

mod entry;
mod list;

use std::collections::HashMap;

use aws_lc_rs::digest::{SHA256, digest};
use thiserror::Error;

pub use entry::{Entry, What};
pub use list::List;

/// More entries than this are refused: they are what a start reads, and memory is kept for each.
pub const MAX_ENTRIES: usize = 1_000_000;
/// The largest file that is read: the most entries, each with long names.
pub const MAX_BYTES: u64 = 256 * 1024 * 1024;

/// Why a list cannot be used. It is refused whole: half a list would let revoked tokens in.
#[derive(Debug, Error)]
pub enum RevocationError {
    /// A line is not an entry.
    #[error("line {line} is not an entry of a revocation list: {problem}")]
    Line {
        /// Its number, from 1.
        line: usize,
        /// What is wrong with it; never its content.
        problem: &'static str,
    },
    /// More entries than a server holds.
    #[error(
        "more than {MAX_ENTRIES} entries; `vibectl-server token prune` drops what has ended, and one entry for a subject does for many tokens"
    )]
    TooMany,
}

/// Whose token it is: what a revocation list goes by.
#[derive(Clone, Copy, Debug)]
pub struct Identity<'a> {
    /// Whom the token is for.
    pub subject: &'a str,
    /// The token's identifier, where it has one.
    pub jti: Option<&'a str>,
    /// When it was issued, where it says so.
    pub issued_at: Option<i64>,
}

/// A list made for being asked: sixteen bytes for each token, and the moments of subjects.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Revocations {
    /// Sorted.
    tokens: Vec<u128>,
    subjects: HashMap<String, i64>,
}

impl Revocations {
    /// Reads a list. Entries of tokens that have ended by `now` are left out: such a token is refused anyway.
    pub fn parse(text: &[u8], now: i64) -> Result<Self, RevocationError> {
        let mut revocations = Self::default();
        for entry in entry::read(text) {
            let entry = entry?;
            if entry.is_over(now) {
                continue;
            }
            match entry.what {
                What::Token { jti, .. } => revocations.tokens.push(fingerprint(&jti)),
                What::Subject { subject, issued_before } => {
                    let before = revocations.subjects.entry(subject).or_insert(issued_before);
                    *before = issued_before.max(*before);
                }
            }
        }
        revocations.tokens.sort_unstable();
        revocations.tokens.dedup();
        revocations.tokens.shrink_to_fit();
        Ok(revocations)
    }

    /// Whether this token is revoked. One that does not say when it was issued counts as issued long ago.
    pub fn contains(&self, token: Identity<'_>) -> bool {
        let by_subject = self
            .subjects
            .get(token.subject)
            .is_some_and(|before| token.issued_at.is_none_or(|issued_at| issued_at < *before));
        by_subject || token.jti.is_some_and(|jti| self.contains_jti(jti))
    }

    /// How many tokens and subjects there are.
    pub fn len(&self) -> usize {
        self.tokens.len() + self.subjects.len()
    }

    /// Nothing is revoked.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    fn contains_jti(&self, jti: &str) -> bool {
        !self.tokens.is_empty() && self.tokens.binary_search(&fingerprint(jti)).is_ok()
    }
}

/// Half of a SHA-256: no two identifiers have the same, also if somebody tries.
fn fingerprint(jti: &str) -> u128 {
    let digest = digest(&SHA256, jti.as_bytes());
    digest.as_ref().iter().take(16).fold(0, |number, byte| number << 8 | u128::from(*byte))
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: i64 = 1_790_000_000;

    fn parse(text: &str) -> Result<Revocations, RevocationError> {
        Revocations::parse(text.as_bytes(), NOW)
    }

    fn token<'a>(subject: &'a str, jti: Option<&'a str>, issued_at: Option<i64>) -> Identity<'a> {
        Identity { subject, jti, issued_at }
    }

    #[test]
    fn a_token_is_revoked_by_its_identifier_whoever_holds_it() {
        let list = parse("{\"jti\":\"1\",\"sub\":\"alice\",\"exp\":1790000001,\"at\":1}\n").unwrap();

        assert!(list.contains(token("alice", Some("1"), Some(NOW))));
        assert!(list.contains(token("bob", Some("1"), None)));
        assert!(!list.contains(token("alice", Some("2"), Some(NOW))));
        assert!(!list.contains(token("alice", None, Some(NOW))));
    }

    #[test]
    fn a_subject_loses_what_was_issued_before_the_moment_and_keeps_the_rest() {
        let list = parse(
            "{\"sub\":\"alice\",\"before\":100,\"at\":1}\n{\"sub\":\"alice\",\"before\":50,\"at\":1}\n",
        );
        let list = list.unwrap();

        assert!(list.contains(token("alice", Some("1"), Some(99))));
        assert!(!list.contains(token("alice", Some("1"), Some(100))));
        assert!(!list.contains(token("bob", Some("1"), Some(1))));
        assert!(list.contains(token("alice", None, None)), "it cannot be told when this one was issued");
        assert_eq!(list.len(), 1);
    }

    #[test]
    fn entries_of_tokens_that_have_ended_are_left_out() {
        let list = parse("{\"jti\":\"1\",\"exp\":1000,\"at\":1}\n{\"jti\":\"2\",\"at\":1}\n\n").unwrap();

        assert_eq!(list.len(), 1);
        assert!(list.contains(token("x", Some("2"), None)));
    }

    #[test]
    fn half_a_list_is_no_list_and_the_line_is_named_without_its_content() {
        for bad in [
            "{\"jti\":\"hunter2\"",
            "{}",
            "[]",
            "{\"at\":1}",
            "{\"sub\":\"hunter2\",\"at\":1}",
            "{\"jti\":\"\",\"at\":1}",
            "{\"jti\":\"hunter2\",\"before\":1,\"at\":1}",
            "{\"sub\":\"\",\"before\":1,\"at\":1}",
            "{\"sub\":\"hunter2\",\"before\":1,\"exp\":1,\"at\":1}",
            "{\"jti\":\"hunter2\",\"at\":1,\"more\":1}",
            "{\"jti\":\"hunter2\",\"jti\":\"2\",\"at\":1}",
            "hunter2",
        ] {
            let error = parse(&format!("{{\"jti\":\"1\",\"at\":1}}\n{bad}\n")).unwrap_err().to_string();

            assert!(error.starts_with("line 2 is not an entry") && !error.contains("hunter2"), "{error}");
        }
        assert!(Revocations::parse(b"\xff\n", NOW).is_err());
    }
}
