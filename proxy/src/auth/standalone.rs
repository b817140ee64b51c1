//! Callers of a server that runs alone: whoever has a token signed with the shared secret.

use std::sync::Arc;

use vibectl_token::Limits;
use vibectl_token::standalone::{Secret, verify};
use vibectl_token::table::{Scope, Scopes};

use crate::auth::Denied;
use crate::caller::Caller;

/// The shared secret and whose tokens it signs.
#[derive(Debug)]
pub(super) struct Standalone {
    secret: Secret,
    issuer: String,
}

impl Standalone {
    pub(super) fn new(secret: Secret, issuer: &str) -> Self {
        Self { secret, issuer: issuer.to_owned() }
    }

    /// The holder of the token. Its limits are those of the config.
    pub(super) fn caller(&self, token: &str, now: i64) -> Result<Arc<Caller>, Denied> {
        let verified = verify(&self.secret, &self.issuer, token, now)?;
        Ok(Arc::new(Caller {
            uid: verified.subject.clone(),
            subject: verified.subject,
            namespace: None,
            models: None,
            scopes: Scopes::from_iter([Scope::Execute, Scope::Models]),
            limits: Limits::default(),
        }))
    }
}
