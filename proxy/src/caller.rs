//! Who calls: what everything behind authentication knows of a caller.

use std::sync::Arc;

use vibectl_token::Limits;
use vibectl_token::table::{Scope, Scopes};

/// Subject and usage key of callers when authentication is off.
pub const ANONYMOUS: &str = "anonymous";

/// A caller whose credential was accepted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Caller {
    /// Key of usage and limits: the UID of the `ProxyToken`; the subject where there is no Kubernetes.
    pub uid: String,
    /// Name for logs: `namespace/name` of the `ProxyToken`, or the token's subject.
    pub subject: String,
    /// Consuming namespace, whose calls share a limit.
    pub namespace: Option<String>,
    /// Models that the caller may use; `None` means all.
    pub models: Option<Arc<[String]>>,
    /// What the caller may do.
    pub scopes: Scopes,
    /// The caller's own limits, narrower or wider than those of the proxy; the smallest wins.
    pub limits: Limits,
}

impl Caller {
    /// The one caller that everybody is when authentication is off.
    pub fn anonymous() -> Self {
        Self {
            uid: ANONYMOUS.to_owned(),
            subject: ANONYMOUS.to_owned(),
            namespace: None,
            models: None,
            scopes: Scopes::from_iter([Scope::Execute, Scope::Models]),
            limits: Limits::default(),
        }
    }

    /// True when the caller may use the model of this (resolved) name.
    pub fn may_use(&self, model: &str) -> bool {
        self.models.as_ref().is_none_or(|models| models.iter().any(|allowed| allowed == model))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_caller_without_a_list_of_models_may_use_all() {
        let caller = Caller::anonymous();

        assert!(caller.may_use("anything"));
    }

    #[test]
    fn a_caller_with_a_list_of_models_may_use_only_those() {
        let caller = Caller { models: Some(Arc::from(["small".to_owned()])), ..Caller::anonymous() };

        assert!(caller.may_use("small"));
        assert!(!caller.may_use("Small"));
        assert!(!caller.may_use("large"));
    }
}
