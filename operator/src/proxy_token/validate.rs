//! Whether a ProxyToken gets access. Pure; the table uses the same judgement.

use vibectl_token::table::Row;

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
    /// It gets a credential of ours; else it names somebody whom another issuer knows.
    pub issued: bool,
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
        Ok(_) if found.outranked => Verdict::Refused(refused(token, Refusal::IdentityTaken)),
        Ok(Granted { row, ttl, cut }) => {
            let Row { min_iat, issued, .. } = row;
            Verdict::Granted(Accepted { ttl, min_iat, issued, cut })
        }
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
        Refusal::IssuerNotFound => (
            false,
            Reason::IssuerNotFound,
            "spec.identity.oidc.issuer: the proxy has no entry of that name in spec.access.issuers",
        ),
        Refusal::IdentityTaken => (
            false,
            Reason::IdentityTaken,
            "spec.identity: another ProxyToken of this proxy names the same identity and comes first; remove one of them",
        ),
        Refusal::NoScopeLeft => (
            false,
            Reason::AboveCeiling,
            "spec.scopes: the proxy's access.ceilings.scopes allows none of them",
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
