//! One ProxyToken before one LlmProxy: its row, or why it has none. Pure.

use std::collections::{BTreeMap, BTreeSet};

use jiff::Timestamp;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::LabelSelector;
use kube::{
    ResourceExt,
    core::{Selector, SelectorExt},
};
use vibectl_token::{
    Limits,
    table::{Row, Scope},
};

use crate::{
    access::identity,
    api::{
        LlmProxy, ProxyToken,
        access::{self, Ceilings, FromNamespaces},
        limits,
    },
    names::{CLUSTER_ISSUER, REVOKED_BEFORE_ANNOTATION},
};

/// Name of the embedded echo provider's model, and its alias: what a proxy without models has.
const ECHO_MODEL: &str = "echo";
const ECHO_ALIAS: &str = "default";

/// Why a ProxyToken has no row.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Refusal {
    /// The proxy does not allow its namespace. What the author is told does not depend on whether the proxy exists.
    NotAllowed,
    /// Its author suspended it.
    Suspended,
    /// Its identity is of an issuer that the proxy does not have.
    IssuerNotFound,
    /// Another ProxyToken of the proxy names the same identity, and comes first.
    IdentityTaken,
    /// None of its scopes is within the proxy's ceilings.
    NoScopeLeft,
    /// None of its models is within the proxy's ceilings.
    NoModelLeft,
    /// It has no UID or namespace: it did not come from an API server.
    NoIdentity,
}

/// What a ProxyToken gets.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Granted {
    /// Its row.
    pub row: Row,
    /// Life of its credentials, in seconds.
    pub ttl: i64,
    /// What it asked for beyond the proxy's ceilings and did not get, as field names.
    pub cut: Vec<&'static str>,
}

/// The row of this ProxyToken; `labels` are those of its namespace, if that exists.
pub fn judge(
    proxy: &LlmProxy,
    token: &ProxyToken,
    labels: Option<&BTreeMap<String, String>>,
) -> Result<Granted, Refusal> {
    let uid = token.uid().ok_or(Refusal::NoIdentity)?;
    let namespace = token.namespace().ok_or(Refusal::NoIdentity)?;
    if !allows(proxy, &namespace, labels) {
        return Err(Refusal::NotAllowed);
    }
    let identity = identity::of(token);
    let known = |name: &str| {
        name == CLUSTER_ISSUER || proxy.spec.access.issuers.iter().any(|issuer| issuer.name == name)
    };
    if identity.as_ref().is_some_and(|identity| !known(&identity.issuer)) {
        return Err(Refusal::IssuerNotFound);
    }
    if token.spec.suspended {
        return Err(Refusal::Suspended);
    }
    let ceilings = proxy.spec.access.ceilings.clone().unwrap_or_default();
    let models = models(proxy, token, &ceilings)?;
    let asked = to_limits(token.spec.limits.as_ref());
    let limits = asked.smallest(&to_limits(ceilings.limits.as_ref()));
    let scopes: Vec<_> = token.spec.scopes.iter().filter(|scope| ceilings.scopes.contains(scope)).collect();
    if scopes.is_empty() {
        return Err(Refusal::NoScopeLeft);
    }
    let cut = [
        ("spec.models", models.cut),
        ("spec.scopes", scopes.len() < token.spec.scopes.len()),
        ("spec.limits", cuts(&asked, &limits)),
        ("spec.ttl", ceilings.ttl.is_some_and(|ttl| token.spec.ttl > ttl)),
    ];
    let ttl = ceilings.ttl.map_or(token.spec.ttl, |ceiling| ceiling.min(token.spec.ttl));
    let row = Row {
        uid,
        subject: format!("{namespace}/{}", token.name_any()),
        namespace,
        models: models.allowed,
        scopes: row_scopes(&scopes),
        limits,
        min_iat: min_iat(token),
        issued: identity.is_none(),
        identities: identity.into_iter().chain(identity::former(proxy, token)).collect(),
    };
    let ttl = i64::try_from(ttl.as_secs_ceil()).unwrap_or(i64::MAX);
    Ok(Granted { row, ttl, cut: cut.into_iter().filter(|(_, was)| *was).map(|(field, _)| field).collect() })
}

/// Whether this LlmProxy allows ProxyTokens of this namespace.
pub fn allows(proxy: &LlmProxy, namespace: &str, labels: Option<&BTreeMap<String, String>>) -> bool {
    let allowed = &proxy.spec.access.allowed_namespaces;
    if proxy.namespace().as_deref() == Some(namespace) {
        return true;
    }
    match allowed.from {
        FromNamespaces::Same => false,
        FromNamespaces::All => true,
        FromNamespaces::Selector => {
            allowed.selector.as_ref().zip(labels).is_some_and(|(selector, labels)| selects(selector, labels))
        }
    }
}

/// The second before which credentials of this ProxyToken are refused: the later one of `spec.revokedBefore` and the
/// annotation. A part of a second counts as a whole one, so that nothing issued before the moment slips through.
pub fn min_iat(token: &ProxyToken) -> i64 {
    let annotation = token.annotations().get(REVOKED_BEFORE_ANNOTATION);
    let annotation = annotation.and_then(|moment| moment.parse::<Timestamp>().ok());
    let moments = [token.spec.revoked_before.as_ref().map(|moment| moment.0), annotation];
    let moment = moments.into_iter().flatten().max();
    moment.map_or(0, |moment| moment.as_second() + i64::from(moment.subsec_nanosecond() > 0))
}

/// In the order of the table, each once.
fn row_scopes(scopes: &[&access::Scope]) -> Vec<Scope> {
    let scopes = scopes.iter().map(|scope| match scope {
        access::Scope::Execute => Scope::Execute,
        access::Scope::Models => Scope::Models,
        access::Scope::Admin => Scope::Admin,
    });
    scopes.collect::<BTreeSet<_>>().into_iter().collect()
}

/// A selector that cannot be read selects nothing.
fn selects(selector: &LabelSelector, labels: &BTreeMap<String, String>) -> bool {
    Selector::try_from(selector.clone()).is_ok_and(|selector| selector.matches(labels))
}

struct Models {
    allowed: Option<Vec<String>>,
    cut: bool,
}

/// The models that both sides allow, by their names: an alias stands for its model.
fn models(proxy: &LlmProxy, token: &ProxyToken, ceilings: &Ceilings) -> Result<Models, Refusal> {
    let known = canonical_names(proxy);
    let named = |models: &Option<Vec<String>>| -> Option<BTreeSet<String>> {
        let models = models.as_ref()?;
        Some(models.iter().map(|model| known.get(model).cloned().unwrap_or_else(|| model.clone())).collect())
    };
    let (asked, ceiling) = (named(&token.spec.models), named(&ceilings.models));
    let allowed = match (&asked, &ceiling) {
        (Some(asked), Some(ceiling)) => Some(asked.intersection(ceiling).cloned().collect::<BTreeSet<_>>()),
        (one, other) => one.clone().or_else(|| other.clone()),
    };
    if asked.is_some() && allowed.as_ref().is_some_and(BTreeSet::is_empty) {
        return Err(Refusal::NoModelLeft);
    }
    let cut = asked.is_some() && asked != allowed;
    Ok(Models { allowed: allowed.map(|models| models.into_iter().collect()), cut })
}

fn canonical_names(proxy: &LlmProxy) -> BTreeMap<String, String> {
    if proxy.spec.models.is_empty() {
        return BTreeMap::from([(ECHO_ALIAS.to_owned(), ECHO_MODEL.to_owned())]);
    }
    let models = proxy.spec.models.iter();
    models.flat_map(|model| model.aliases.iter().map(|alias| (alias.clone(), model.name.clone()))).collect()
}

fn to_limits(limits: Option<&limits::Limits>) -> Limits {
    let Some(limits) = limits else { return Limits::default() };
    let positive = |number: Option<i32>| number.and_then(|number| u32::try_from(number).ok());
    Limits {
        max_requests_per_minute: positive(limits.requests_per_minute),
        max_tokens_per_minute: positive(limits.tokens_per_minute),
        max_concurrent_requests: positive(limits.concurrent_requests),
        max_input_length: positive(limits.max_input_length),
        request_timeout_seconds: limits
            .request_timeout
            .map(|timeout| u32::try_from(timeout.as_secs_ceil()).unwrap_or(u32::MAX)),
    }
}

/// Whether the token asked for more than it gets; what it did not ask for is not cut.
fn cuts(asked: &Limits, given: &Limits) -> bool {
    let pairs = [
        (asked.max_requests_per_minute, given.max_requests_per_minute),
        (asked.max_tokens_per_minute, given.max_tokens_per_minute),
        (asked.max_concurrent_requests, given.max_concurrent_requests),
        (asked.max_input_length, given.max_input_length),
        (asked.request_timeout_seconds, given.request_timeout_seconds),
    ];
    pairs.iter().any(|(asked, given)| asked.is_some() && asked != given)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn proxy(spec: serde_json::Value) -> LlmProxy {
        let mut object = json!({
            "apiVersion": "vibectl.dev/v1alpha1", "kind": "LlmProxy",
            "metadata": {"name": "team", "namespace": "ai", "uid": "p-uid"},
        });
        object["spec"] = spec;
        serde_json::from_value(object).unwrap()
    }

    fn token(namespace: &str, spec: serde_json::Value) -> ProxyToken {
        let mut spec = spec;
        spec["proxyRef"] = json!({"name": "team", "namespace": "ai"});
        let object = json!({
            "apiVersion": "vibectl.dev/v1alpha1", "kind": "ProxyToken",
            "metadata": {"name": "alice", "namespace": namespace, "uid": "t-uid"}, "spec": spec,
        });
        serde_json::from_value(object).unwrap()
    }

    fn models() -> serde_json::Value {
        let routes = json!([{"provider": "local", "model": "m"}]);
        json!([
            {"name": "small", "aliases": ["default"], "routes": routes},
            {"name": "large", "routes": routes},
        ])
    }

    #[test]
    fn a_token_without_wishes_sees_every_model_without_limits() {
        let granted = judge(&proxy(json!({})), &token("ai", json!({})), None).unwrap();

        assert_eq!(granted.row.subject, "ai/alice");
        assert_eq!(granted.row.models, None);
        assert!(granted.row.limits.is_unlimited());
        assert_eq!(granted.row.scopes, [Scope::Execute, Scope::Models]);
        assert!(granted.cut.is_empty());
    }

    #[test]
    fn ceilings_bind_what_is_asked_for_and_what_is_not() {
        let proxy = proxy(json!({
            "models": models(),
            "access": {"ceilings": {
                "ttl": "24h", "models": ["default"], "limits": {"requestsPerMinute": 10, "requestTimeout": "30s"},
            }},
        }));
        let greedy =
            json!({"ttl": "720h", "models": ["small", "large"], "limits": {"requestsPerMinute": 100}});

        let granted = judge(&proxy, &token("ai", greedy), None).unwrap();
        let modest = judge(&proxy, &token("ai", json!({"ttl": "1h"})), None).unwrap();

        assert_eq!(granted.row.models, Some(vec!["small".to_owned()]));
        assert_eq!(granted.row.limits.max_requests_per_minute, Some(10));
        assert_eq!(granted.row.limits.request_timeout_seconds, Some(30));
        assert_eq!(granted.cut, ["spec.models", "spec.limits", "spec.ttl"]);
        assert_eq!((granted.ttl, modest.ttl), (24 * 3600, 3600));
        assert_eq!(modest.row.models, Some(vec!["small".to_owned()]));
        assert!(modest.cut.is_empty());
    }

    #[test]
    fn a_token_that_names_only_models_above_the_ceiling_has_no_row() {
        let proxy = proxy(json!({"models": models(), "access": {"ceilings": {"models": ["small"]}}}));

        let refused = judge(&proxy, &token("ai", json!({"models": ["large"]})), None);

        assert_eq!(refused, Err(Refusal::NoModelLeft));
    }

    #[test]
    fn suspended_and_unknown_identities_have_no_row() {
        let proxy = proxy(json!({}));

        let suspended = judge(&proxy, &token("ai", json!({"suspended": true})), None);
        let oidc = json!({"identity": {"oidc": {"issuer": "corp", "value": "alice"}}});
        let unknown = judge(&proxy, &token("ai", oidc), None);

        assert_eq!(suspended, Err(Refusal::Suspended));
        assert_eq!(unknown, Err(Refusal::IssuerNotFound));
    }

    #[test]
    fn an_identity_has_a_row_of_its_own_and_no_issued_credential() {
        let proxy = proxy(json!({"access": {"issuers": [
            {"name": "corp", "issuer": "https://corp", "audiences": ["llm"]},
        ]}}));
        let granted = |identity: serde_json::Value| {
            judge(&proxy, &token("ai", json!({"identity": identity})), None).unwrap().row
        };

        let account = granted(json!({"serviceAccount": {"name": "builder"}}));
        let oidc = granted(json!({"oidc": {"issuer": "corp", "claim": "groups", "value": "dev"}}));
        let issued = granted(json!({"issued": {}}));

        assert_eq!(account.identities[0].value, "system:serviceaccount:ai:builder");
        assert_eq!((account.identities[0].issuer.as_str(), account.issued), ("kubernetes", false));
        assert_eq!((oidc.identities[0].claim.as_str(), oidc.issued), ("groups", false));
        assert!(issued.identities.is_empty() && issued.issued);
    }

    #[test]
    fn admin_has_to_be_allowed_by_the_proxys_owner() {
        let wants = token("ai", json!({"scopes": ["admin", "models"]}));
        let only_admin = token("ai", json!({"scopes": ["admin"]}));
        let generous = proxy(json!({"access": {"ceilings": {"scopes": ["execute", "models", "admin"]}}}));

        let cut = judge(&proxy(json!({})), &wants, None).unwrap();
        let given = judge(&generous, &wants, None).unwrap();

        assert_eq!((cut.row.scopes, cut.cut), (vec![Scope::Models], vec!["spec.scopes"]));
        assert_eq!((given.row.scopes, given.cut), (vec![Scope::Models, Scope::Admin], vec![]));
        assert_eq!(judge(&proxy(json!({})), &only_admin, None), Err(Refusal::NoScopeLeft));
    }

    #[test]
    fn the_annotation_revokes_like_the_field_and_the_later_one_counts() {
        let mut token = token("ai", json!({"revokedBefore": "2026-01-01T00:00:00Z"}));
        let mut annotate = |moment: &str| {
            token.annotations_mut().insert(REVOKED_BEFORE_ANNOTATION.to_owned(), moment.to_owned());
            min_iat(&token)
        };

        assert_eq!(annotate("2025-01-01T00:00:00Z"), 1_767_225_600);
        assert_eq!(annotate("2026-01-01T01:00:00+01:00"), 1_767_225_600);
        assert_eq!(annotate("2026-01-01T00:01:00Z"), 1_767_225_660);
        assert_eq!(annotate("now"), 1_767_225_600, "what is no moment revokes nothing");
    }

    #[test]
    fn another_namespace_needs_to_be_allowed() {
        let team = BTreeMap::from([("team".to_owned(), "blue".to_owned())]);
        let selector = json!({"from": "Selector", "selector": {"matchLabels": {"team": "blue"}}});
        let cases = [
            (json!({"from": "Same"}), Some(&team), false),
            (json!({"from": "All"}), None, true),
            (selector.clone(), Some(&team), true),
            (selector.clone(), None, false),
        ];
        for (allowed, labels, expected) in cases {
            let proxy = proxy(json!({"access": {"allowedNamespaces": allowed}}));
            let judged = judge(&proxy, &token("other", json!({})), labels);
            assert_eq!(judged.is_ok(), expected, "{:?}", proxy.spec.access.allowed_namespaces);
        }
        let own = proxy(json!({"access": {"allowedNamespaces": selector}}));
        assert!(judge(&own, &token("ai", json!({})), None).is_ok(), "its own namespace always is");
    }

    #[test]
    fn revoking_refuses_everything_issued_before_that_moment() {
        let exact = token("ai", json!({"revokedBefore": "2026-01-01T00:00:00Z"}));
        let later = token("ai", json!({"revokedBefore": "2026-01-01T00:00:00.5Z"}));

        assert_eq!(min_iat(&exact), 1_767_225_600);
        assert_eq!(min_iat(&later), 1_767_225_601);
        assert_eq!(judge(&proxy(json!({})), &exact, None).unwrap().row.min_iat, 1_767_225_600);
    }
}
