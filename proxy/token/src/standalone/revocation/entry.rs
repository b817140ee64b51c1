//! One line of a revocation list.

use serde::{Deserialize, Serialize};

use super::{MAX_ENTRIES, RevocationError};
use crate::claims::LEEWAY_SECONDS;

/// What was revoked, and when.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// What is refused.
    pub what: What,
    /// When it was written down, in seconds since 1970.
    pub revoked_at: i64,
}

/// What is refused.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum What {
    /// One token.
    Token {
        /// Its identifier.
        jti: String,
        /// Whom it is for, where that is known; for people.
        subject: Option<String>,
        /// When it ends and its entry with it, where that is known.
        expires_at: Option<i64>,
    },
    /// Everything of one subject that was issued before a moment.
    Subject {
        /// Whose tokens.
        subject: String,
        /// The moment, in seconds since 1970.
        issued_before: i64,
    },
}

/// An entry as it stands in the file.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Line {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    jti: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    sub: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    before: Option<i64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    exp: Option<i64>,
    at: i64,
}

impl Entry {
    /// Whether its token has ended, so that the entry is of no use any more.
    pub fn is_over(&self, now: i64) -> bool {
        match self.what {
            What::Token { expires_at: Some(exp), .. } => exp.saturating_add(LEEWAY_SECONDS) <= now,
            What::Token { expires_at: None, .. } | What::Subject { .. } => false,
        }
    }

    /// The line, without its end.
    pub(super) fn to_line(&self) -> Result<String, serde_json::Error> {
        let Self { what, revoked_at: at } = self.clone();
        let line = match what {
            What::Token { jti, subject, expires_at } => {
                Line { jti: Some(jti), sub: subject, before: None, exp: expires_at, at }
            }
            What::Subject { subject, issued_before } => {
                Line { jti: None, sub: Some(subject), before: Some(issued_before), exp: None, at }
            }
        };
        serde_json::to_string(&line)
    }
}

impl TryFrom<Line> for Entry {
    type Error = &'static str;

    fn try_from(line: Line) -> Result<Self, Self::Error> {
        let Line { jti, sub, before, exp, at } = line;
        if jti.as_ref().is_some_and(String::is_empty) || sub.as_ref().is_some_and(String::is_empty) {
            return Err("jti or sub is empty");
        }
        let what = match (jti, sub, before, exp) {
            (Some(jti), subject, None, expires_at) => What::Token { jti, subject, expires_at },
            (None, Some(subject), Some(issued_before), None) => What::Subject { subject, issued_before },
            _ => return Err("neither a token (jti, perhaps exp) nor a subject (sub and before)"),
        };
        Ok(Self { what, revoked_at: at })
    }
}

/// The entries of a file, up to the first that is none. Empty lines are passed over.
pub(super) fn read(text: &[u8]) -> impl Iterator<Item = Result<Entry, RevocationError>> {
    let lines =
        text.split(|byte| *byte == b'\n').enumerate().filter(|(_, line)| !line.trim_ascii().is_empty());
    lines.enumerate().map(|(count, (index, line))| {
        if count >= MAX_ENTRIES {
            return Err(RevocationError::TooMany);
        }
        let wrong = |problem| RevocationError::Line { line: index + 1, problem };
        if !line.trim_ascii_start().starts_with(b"{") {
            return Err(wrong("not a JSON object"));
        }
        let line: Line = serde_json::from_slice(line)
            .map_err(|_| wrong("not a JSON object of at, and jti, sub, before or exp"))?;
        Entry::try_from(line).map_err(wrong)
    })
}
