//! DNS-01: TXT records, by dynamic update or by a program of the operator's own.

pub mod exec;
pub mod rfc2136;

use vibectl_pki::acme::Answer;

pub use self::{
    exec::{Hook, HookError},
    rfc2136::{Update, UpdateError},
};

/// A way to make records.
#[derive(Debug)]
pub enum Records {
    /// Dynamic updates (RFC 2136).
    Update(Update),
    /// A program.
    Hook(Hook),
}

/// Why a record is not there, or still there.
#[derive(Debug, thiserror::Error)]
pub enum DnsError {
    /// The update.
    #[error(transparent)]
    Update(#[from] UpdateError),
    /// The program.
    #[error(transparent)]
    Hook(#[from] HookError),
}

impl Records {
    /// Makes the record of this answer; others of its name stay.
    pub async fn add(&self, answer: &Answer) -> Result<(), DnsError> {
        match self {
            Self::Update(update) => Ok(update.add(answer).await?),
            Self::Hook(hook) => Ok(hook.run("present", answer).await?),
        }
    }

    /// Removes the record of this answer; others of its name stay.
    pub async fn remove(&self, answer: &Answer) -> Result<(), DnsError> {
        match self {
            Self::Update(update) => Ok(update.remove(answer).await?),
            Self::Hook(hook) => Ok(hook.run("cleanup", answer).await?),
        }
    }
}
