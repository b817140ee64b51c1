//! Who was let in, and with what: the result of authentication, in the extensions of every request behind it.

use std::sync::Arc;

use vibectl_token::migration::MIGRATION;
use vibectl_token::renewal::is_late;
use vibectl_token::table::Identity;
use vibectl_token::{Verified, standalone};

use crate::caller::Caller;
use crate::usage::Late;

/// A caller, and the credential that it came with.
#[derive(Clone, Debug)]
pub struct Principal {
    /// Who calls, and what it may do.
    pub caller: Arc<Caller>,
    /// For asking again while the call runs.
    pub credential: Credential,
}

/// What is known of an accepted credential; never its text.
#[derive(Clone, Debug)]
pub enum Credential {
    /// Nobody asked for one.
    NotAsked,
    /// A token that the operator issued.
    Issued(Arc<Verified>),
    /// A token of another issuer: the row's identity that it proves, and when it was issued, where it says so.
    Foreign(Arc<Identity>, Option<i64>),
    /// A token of a server that runs alone, or of another issuer that it trusts.
    Alone(Arc<standalone::Verified>),
    /// A token of the shared secret of a server that has keys by now.
    Former(Arc<standalone::Verified>),
}

impl Credential {
    /// Its times, where its end is near.
    pub(super) fn late(&self, now: i64) -> Option<Late> {
        let (issued_at, expires_at) = match self {
            Self::Issued(verified) => (verified.claims.iat, verified.claims.exp),
            Self::Alone(verified) | Self::Former(verified) => (verified.issued_at?, verified.expires_at),
            Self::NotAsked | Self::Foreign(..) => return None,
        };
        is_late(issued_at, expires_at, now).then_some(Late { issued_at, expires_at, last_used: now })
    }

    /// The token's identifier, for joining what a log says of one token; never a secret.
    pub fn token_id(&self) -> Option<&str> {
        match self {
            Self::Issued(verified) => Some(&verified.claims.jti),
            Self::Alone(verified) | Self::Former(verified) => verified.jti.as_deref(),
            Self::NotAsked | Self::Foreign(..) => None,
        }
    }

    /// Whether it is of a shared secret beside which there are keys: its time ends with the migration.
    pub(super) fn is_former(&self) -> bool {
        match self {
            Self::Foreign(identity, _) => identity.issuer == MIGRATION,
            Self::Former(_) => true,
            Self::NotAsked | Self::Issued(_) | Self::Alone(_) => false,
        }
    }
}

impl Principal {
    /// The one principal that everybody is when authentication is off.
    pub fn anonymous() -> Self {
        Self { caller: Arc::new(Caller::anonymous()), credential: Credential::NotAsked }
    }
}
