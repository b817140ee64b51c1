//! Whether a ProxyToken gets access. Pure; the table uses the same judgement.

use super::dereference::Found;
use crate::{
    access::{self, Granted, Refusal, judge},
    api::{ProxyToken, conditions::Reason},
};

/// What becomes of a ProxyToken.
#[derive(Debug)]
pub enum Verdict {
    /// It gets a credential.
    Granted(Accepted),
    /// It gets none.
    Refused(Refused),
    /// That cannot be told now: the LlmProxy exists but cannot be read. Everything stays as it is.
    Unreadable,
}

/// A ProxyToken with access.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Accepted {
    /// Life of its credentials, in seconds.
    pub ttl: i64,
    /// Credentials issued before this second are refused.
    pub min_iat: i64,
    /// Fields that were cut to the proxy's ceilings.
    pub cut: Vec<&'static str>,
}

/// A ProxyToken without access.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refused {
    /// Whether its spec is accepted all the same.
    pub accepted: bool,
    /// For the condition.
    pub reason: Reason,
    /// In a sentence.
    pub message: String,
}

/// Judges.
pub fn validate(token: &ProxyToken, found: &Found) -> Verdict {
    if found.unreadable {
        return Verdict::Unreadable;
    }
    let Some(proxy) = &found.proxy else { return Verdict::Refused(no_proxy(token)) };
    match judge(proxy, token, found.labels.as_ref()) {
        Ok(Granted { row, ttl, cut }) => Verdict::Granted(Accepted { ttl, min_iat: row.min_iat, cut }),
        Err(refusal) => Verdict::Refused(refused(token, refusal)),
    }
}

fn refused(token: &ProxyToken, refusal: Refusal) -> Refused {
    let (accepted, reason, message) = match refusal {
        Refusal::NotAllowed | Refusal::NoIdentity => return no_proxy(token),
        Refusal::Suspended => (
            true,
            Reason::Suspended,
            "spec.suspended is true: every call with this token is refused until it is false again",
        ),
        Refusal::IdentityNotAvailable => (
            false,
            Reason::NotAvailableYet,
            "spec.identity: only issued is available in this version; leave spec.identity out",
        ),
        Refusal::NoModelLeft => (
            false,
            Reason::AboveCeiling,
            "spec.models: the proxy's access.ceilings.models allows none of them",
        ),
    };
    Refused { accepted, reason, message: message.to_owned() }
}

/// Reads the same whether the proxy does not exist or does not allow this namespace: its existence is nobody's business
/// who may not use it.
fn no_proxy(token: &ProxyToken) -> Refused {
    let own = token.metadata.namespace.as_deref().unwrap_or_default();
    let (namespace, name) = access::proxy_of(token);
    let message = format!("there is no LlmProxy {name} in namespace {namespace} that allows namespace {own}");
    Refused { accepted: false, reason: Reason::ProxyNotFound, message }
}
