//! Who was let in, and with what: the result of authentication, in the extensions of every request behind it.

use std::sync::Arc;

use vibectl_token::table::Identity;
use vibectl_token::{Verified, standalone};

use crate::caller::Caller;

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
    /// A token of a server that runs alone.
    Alone(Arc<standalone::Verified>),
}

impl Principal {
    /// The one principal that everybody is when authentication is off.
    pub fn anonymous() -> Self {
        Self { caller: Arc::new(Caller::anonymous()), credential: Credential::NotAsked }
    }
}
