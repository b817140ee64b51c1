//! Whom a ProxyToken names when it is not the holder of a credential that we issue, and which of two that name the same
//! has it. Pure.

use std::{cmp::Reverse, collections::HashMap, sync::Arc};

use kube::ResourceExt;
use vibectl_token::{foreign::SUBJECT, migration::MIGRATION, table::Identity};

use super::judge::allows;
use crate::{
    api::{LlmProxy, ProxyToken},
    names::CLUSTER_ISSUER,
};

/// Labels of a namespace, if that exists.
type Labels<'a> = dyn Fn(&str) -> Option<std::collections::BTreeMap<String, String>> + 'a;

/// Whom this ProxyToken names; none where it is the holder of the issued credential.
pub fn of(token: &ProxyToken) -> Option<Identity> {
    let named = token.spec.identity.as_ref()?;
    if let Some(account) = &named.service_account {
        // Always of its own namespace: nobody can name the accounts of others.
        let namespace = token.namespace().unwrap_or_default();
        let value = format!("system:serviceaccount:{namespace}:{}", account.name);
        return Some(Identity { issuer: CLUSTER_ISSUER.to_owned(), claim: SUBJECT.to_owned(), value });
    }
    let oidc = named.oidc.as_ref()?;
    let (issuer, claim, value) = (oidc.issuer.clone(), oidc.claim.clone(), oidc.value.clone());
    Some(Identity { issuer, claim, value })
}

/// The subjects of a former server that the proxy's author has mapped to this ProxyToken of the same namespace.
pub fn former(proxy: &LlmProxy, token: &ProxyToken) -> impl Iterator<Item = Identity> {
    let own = token.namespace() == proxy.namespace();
    let subjects = proxy.spec.access.migration.iter().flat_map(|migration| &migration.subjects);
    let mapped = subjects.filter(move |mapped| own && Some(&mapped.token) == token.metadata.name.as_ref());
    mapped.map(|mapped| of_former_subject(&mapped.subject))
}

/// Whoever has a former server's token for this subject.
pub fn of_former_subject(subject: &str) -> Identity {
    let text = str::to_owned;
    Identity { issuer: text(MIGRATION), claim: text(SUBJECT), value: text(subject) }
}

/// The UID of the ProxyToken that each identity belongs to. Those of the proxy's own namespace come first, so that its
/// owner can always take an identity back; then the oldest. One that is suspended still has its own: nobody gets in by
/// another row meanwhile.
pub fn holders(
    proxy: &LlmProxy,
    tokens: &[Arc<ProxyToken>],
    labels: &Labels<'_>,
) -> HashMap<Identity, String> {
    let mut holders: HashMap<Identity, &Arc<ProxyToken>> = HashMap::new();
    for token in tokens {
        let Some(identity) = of(token) else { continue };
        let namespace = token.namespace().unwrap_or_default();
        if !allows(proxy, &namespace, labels(&namespace).as_ref()) {
            continue;
        }
        let held = holders.entry(identity).or_insert(token);
        if rank(proxy, token) < rank(proxy, held) {
            *held = token;
        }
    }
    holders.into_iter().filter_map(|(identity, token)| Some((identity, token.uid()?))).collect()
}

/// The lowest one has the identity.
fn rank(proxy: &LlmProxy, token: &ProxyToken) -> impl Ord {
    let own = token.namespace() == proxy.namespace();
    (Reverse(own), token.metadata.creation_timestamp.clone(), token.uid())
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn proxy() -> LlmProxy {
        let object = json!({
            "apiVersion": "vibectl.dev/v1alpha1", "kind": "LlmProxy",
            "metadata": {"name": "team", "namespace": "ai", "uid": "p-uid"},
            "spec": {"access": {"allowedNamespaces": {"from": "Selector", "selector": {"matchLabels": {"team": "a"}}}}},
        });
        serde_json::from_value(object).unwrap()
    }

    fn token(namespace: &str, uid: &str, made: &str, suspended: bool) -> Arc<ProxyToken> {
        let object = json!({
            "apiVersion": "vibectl.dev/v1alpha1", "kind": "ProxyToken",
            "metadata": {"name": uid, "namespace": namespace, "uid": uid, "creationTimestamp": made},
            "spec": {
                "proxyRef": {"name": "team", "namespace": "ai"}, "suspended": suspended,
                "identity": {"oidc": {"issuer": "corp", "value": "alice"}},
            },
        });
        Arc::new(serde_json::from_value(object).unwrap())
    }

    fn holder(tokens: &[Arc<ProxyToken>]) -> Option<String> {
        let labels = |namespace: &str| {
            let team = if namespace == "hostile" { "b" } else { "a" };
            Some([("team".to_owned(), team.to_owned())].into())
        };
        holders(&proxy(), tokens, &labels).into_values().next()
    }

    #[test]
    fn the_oldest_has_an_identity_and_the_proxys_own_namespace_comes_before_it() {
        let old = token("other", "old", "2026-01-01T00:00:00Z", false);
        let new = token("other", "new", "2026-01-02T00:00:00Z", false);
        let own = token("ai", "own", "2026-01-03T00:00:00Z", false);

        assert_eq!(holder(&[Arc::clone(&new), Arc::clone(&old)]).as_deref(), Some("old"));
        assert_eq!(holder(&[old, new, own]).as_deref(), Some("own"));
    }

    #[test]
    fn a_suspended_one_keeps_its_identity_and_one_that_is_not_allowed_has_none() {
        let old = token("hostile", "old", "2026-01-01T00:00:00Z", false);
        let suspended = token("other", "suspended", "2026-01-02T00:00:00Z", true);
        let new = token("other", "new", "2026-01-03T00:00:00Z", false);

        assert_eq!(holder(&[Arc::clone(&old), suspended, new]).as_deref(), Some("suspended"));
        assert_eq!(holder(&[old]), None);
    }
}
