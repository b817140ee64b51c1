//! Who refers to whom: from a Secret, a child or a label to the objects that must be reconciled. Pure.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use kube::Resource;

use crate::{
    api::{LlmProxy, ProxyToken, provider::Provider, tls::Acme},
    llm_proxy::dereference::ordered_secret,
    names::PROXY_LABEL,
};

/// Whether the LlmProxy names this Secret of its namespace, or has its certificate put into it.
pub fn names_secret(proxy: &LlmProxy, secret: &str) -> bool {
    let keys = proxy.spec.providers.iter().flat_map(Provider::secret_keys);
    let mut names = keys.map(|key| key.name.as_str());
    let serving = proxy.spec.tls.named_secret();
    let ordered = ordered_secret(proxy);
    let migration = proxy.spec.access.migration.as_ref().map(|migration| migration.secret.name.as_str());
    let mut acme = proxy.spec.tls.acme.iter().flat_map(Acme::named_keys);
    let single = [serving, ordered.as_deref(), migration];
    single.contains(&Some(secret)) || acme.any(|key| key.name == secret) || names.any(|name| name == secret)
}

/// The Secret that a ProxyToken is written to.
pub fn secret_of(token: &ProxyToken) -> &str {
    let own = token.metadata.name.as_deref().unwrap_or_default();
    token.spec.secret_name.as_deref().unwrap_or(own)
}

/// The name of the LlmProxy in the same namespace that an object belongs to: by its owner, or by its label when a hand
/// has removed the owner.
pub fn proxy_of(meta: &ObjectMeta) -> Option<&str> {
    let labelled = || meta.labels.as_ref()?.get(PROXY_LABEL).map(String::as_str);
    owner(meta, &LlmProxy::kind(&())).or_else(labelled)
}

/// The name of the ProxyToken in the same namespace that owns an object.
pub fn token_of(meta: &ObjectMeta) -> Option<&str> {
    owner(meta, &ProxyToken::kind(&()))
}

fn owner<'m>(meta: &'m ObjectMeta, kind: &str) -> Option<&'m str> {
    let owners = meta.owner_references.as_deref().unwrap_or_default();
    let ours = |owner: &&k8s_openapi::apimachinery::pkg::apis::meta::v1::OwnerReference| {
        owner.kind == kind && owner.api_version.starts_with("vibectl.dev/")
    };
    owners.iter().find(ours).map(|owner| owner.name.as_str())
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn every_secret_that_an_llm_proxy_names_is_found() {
        let proxy: LlmProxy = serde_json::from_value(json!({
            "apiVersion": "vibectl.dev/v1alpha1", "kind": "LlmProxy", "metadata": {"name": "team"},
            "spec": {
                "providers": [
                    {"name": "echo", "echo": {}},
                    {"name": "local", "openai": {
                        "baseUrl": "http://m", "apiKey": {"name": "key", "key": "k"}, "caBundle": {"name": "ca", "key": "c"},
                    }},
                ],
                "tls": {"secret": {"name": "serving"}},
                "access": {"migration": {
                    "secret": {"name": "former", "key": "s"}, "subjects": [], "until": "2027-01-01T00:00:00Z",
                }},
            },
        }))
        .unwrap();

        for name in ["key", "ca", "serving", "former"] {
            assert!(names_secret(&proxy, name), "{name}");
        }
        assert!(!names_secret(&proxy, "other"));
    }

    #[test]
    fn an_object_belongs_to_its_owner_or_else_to_its_label() {
        let meta = |value| -> ObjectMeta { serde_json::from_value(value).unwrap() };
        let owner = |kind: &str, group: &str| json!([{"kind": kind, "apiVersion": format!("{group}/v1alpha1"), "name": "x", "uid": "u"}]);

        assert_eq!(proxy_of(&meta(json!({"ownerReferences": owner("LlmProxy", "vibectl.dev")}))), Some("x"));
        assert_eq!(proxy_of(&meta(json!({"ownerReferences": owner("LlmProxy", "other.dev")}))), None);
        assert_eq!(proxy_of(&meta(json!({"labels": {"vibectl.dev/proxy": "y"}}))), Some("y"));
        assert_eq!(
            token_of(&meta(json!({"ownerReferences": owner("ProxyToken", "vibectl.dev")}))),
            Some("x")
        );
    }
}
