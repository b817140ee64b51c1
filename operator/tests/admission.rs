//! What the API server refuses: the rules in the schema, evaluated here as it evaluates them.

#![cfg(test)]

use std::collections::BTreeMap;

use kube::{
    CustomResourceExt,
    core::cel::{Validator, apply_defaults},
};
use serde::Deserialize;
use serde_json::{Value, json};
use vibectl_operator::api::{LlmProxy, ProxyToken};

/// A real API server is asked the same.
const REFUSED: &str = include_str!("refused.yaml");

/// Whoever writes a proxy has to be allowed to read what it names.
const POLICY: &str = include_str!("../../charts/vibectl-operator/templates/admission_policy.yaml");

#[derive(Deserialize)]
struct Case {
    spec: Value,
    /// Words of the refusal.
    says: String,
}

/// The object as the API server sees it when it evaluates rules: as written, with defaults.
fn object<K: CustomResourceExt>(name: &str, spec: &Value) -> Value {
    let kind = K::crd().spec.names.kind;
    let object = json!({"apiVersion": "vibectl.dev/v1alpha1", "kind": kind, "metadata": {"name": name, "namespace": "ai"}, "spec": spec});
    apply_defaults(&schema::<K>(), &object)
}

fn schema<K: CustomResourceExt>() -> Value {
    let definition = serde_json::to_value(K::crd()).unwrap();
    definition["spec"]["versions"][0]["schema"]["openAPIV3Schema"].clone()
}

/// What the API server answers; nothing when it accepts.
fn refusal<K: CustomResourceExt>(object: &Value, old: Option<&Value>) -> String {
    let result = Validator::new().validate(&schema::<K>(), object, old);
    result.err().map(|errors| errors.to_string()).unwrap_or_default()
}

fn proxy(spec: &Value) -> String {
    refusal::<LlmProxy>(&object::<LlmProxy>("team", spec), None)
}

fn token(spec: &Value) -> String {
    refusal::<ProxyToken>(&object::<ProxyToken>("alice", spec), None)
}

#[test]
fn what_the_documentation_shows_is_accepted() {
    let full = json!({
        "replicas": 2,
        "hosts": ["llm.example.org"],
        "service": {"type": "ClusterIP", "port": 50051, "annotations": {"a": "b"}},
        "providers": [{"name": "local", "openai": {"baseUrl": "http://llama.ai.svc:8000/v1", "apiKey": {"name": "llama-key", "key": "api-key"}}}],
        "models": [{"name": "small", "aliases": ["default"], "routes": [{"provider": "local", "model": "llama-3.1-8b", "priority": 0, "weight": 1}]}],
        "defaultModel": "default",
        "tls": {"privateCa": {}},
        "access": {
            "allowedNamespaces": {"from": "Selector", "selector": {"matchLabels": {"team": "a"}}},
            "ceilings": {"ttl": "2160h", "models": ["small"], "limits": {"requestsPerMinute": 10}},
            "keys": {"algorithm": "ES256", "rotateEvery": "720h"},
        },
        "limits": {"requestsPerMinute": 600, "concurrentRequests": 64, "maxInputLength": 200_000, "requestTimeout": "60s"},
    });

    assert_eq!(proxy(&json!({})), "");
    assert_eq!(proxy(&full), "");
    assert_eq!(token(&json!({"proxyRef": {"name": "team"}})), "");
    assert_eq!(
        token(
            &json!({"proxyRef": {"name": "team"}, "ttl": "1m", "identity": {"issued": {}}, "limits": {"requestTimeout": "24h"}})
        ),
        ""
    );
}

fn cert_manager(mut fields: Value) -> Value {
    fields["issuerRef"] = json!({"name": "ca"});
    json!({"hosts": ["*.example.org"], "tls": {"certManager": fields}})
}

#[test]
fn certificates_with_short_lives_and_short_overlaps_are_accepted() {
    for tls in [
        json!({"selfSigned": {}}),
        json!({"selfSigned": {"validity": "1h", "clientRefresh": "12m", "privateKey": {"rotationPolicy": "Never"}}}),
        json!({"privateCa": {"validity": "1h", "clientRefresh": "3s"}}),
        json!({"privateCa": {"secret": {"name": "company"}, "clientRefresh": "720h"}}),
    ] {
        assert_eq!(proxy(&json!({"tls": tls})), "");
    }
}

#[test]
fn orders_with_cert_manager_are_accepted() {
    for fields in [
        json!({}),
        json!({"duration": "1h", "renewBefore": "59m"}),
        json!({"privateKey": {"rotationPolicy": "Never"}, "serviceNames": true}),
    ] {
        assert_eq!(proxy(&cert_manager(fields)), "");
    }
}

/// What a schema fills in belongs to nobody: it would stay when a server-side apply takes the choice back.
#[test]
fn no_choice_of_tls_has_defaults() {
    let written = json!({"tls": {"certManager": {"issuerRef": {"name": "ca"}, "privateKey": {}}}});

    assert_eq!(object::<LlmProxy>("team", &written)["spec"]["tls"], written["tls"]);
}

#[test]
fn every_mistake_is_named() {
    let cases: BTreeMap<String, Vec<Case>> = serde_saphyr::from_str(REFUSED).unwrap();
    let judge = |kind: &str, spec: &Value| if kind == "LlmProxy" { proxy(spec) } else { token(spec) };
    assert_eq!(cases.keys().collect::<Vec<_>>(), ["LlmProxy", "ProxyToken"]);

    for (kind, Case { spec, says }) in
        cases.iter().flat_map(|(kind, all)| all.iter().map(move |case| (kind, case)))
    {
        let found = judge(kind, spec);

        assert!(found.contains(says), "{kind} {spec}: {found:?}");
    }
}

#[test]
fn a_name_that_cannot_be_a_service_is_refused() {
    for name in ["with.dots".to_owned(), "x".repeat(64)] {
        let found = refusal::<LlmProxy>(&object::<LlmProxy>(&name, &json!({})), None);

        assert!(found.contains("metadata.name must be a DNS label"), "{name}: {found:?}");
    }
}

#[test]
fn a_service_stays_with_or_without_an_address() {
    let plain = object::<LlmProxy>("team", &json!({}));
    let wider = object::<LlmProxy>("team", &json!({"service": {"type": "LoadBalancer"}}));
    let headless = object::<LlmProxy>("team", &json!({"service": {"headless": true}}));

    assert_eq!(refusal::<LlmProxy>(&headless, None), "");
    assert_eq!(refusal::<LlmProxy>(&wider, Some(&plain)), "");
    for (new, old) in [(&headless, &plain), (&plain, &headless)] {
        assert!(refusal::<LlmProxy>(new, Some(old)).contains("spec.service.headless is immutable"));
    }
}

#[test]
fn a_proxy_token_stays_with_its_proxy() {
    let team = object::<ProxyToken>("alice", &json!({"proxyRef": {"name": "team"}}));
    let longer = object::<ProxyToken>("alice", &json!({"proxyRef": {"name": "team"}, "ttl": "2h"}));
    let others = object::<ProxyToken>("alice", &json!({"proxyRef": {"name": "others"}}));

    assert_eq!(refusal::<ProxyToken>(&longer, Some(&team)), "");
    assert!(refusal::<ProxyToken>(&others, Some(&team)).contains("spec.proxyRef is immutable"));
}

#[test]
fn the_policy_of_the_chart_asks_for_every_secret_that_a_provider_can_name() {
    let schema = schema::<LlmProxy>();
    let kinds = &schema["properties"]["spec"]["properties"]["providers"]["items"]["properties"];
    let mut found = 0;
    for (kind, block) in kinds.as_object().unwrap() {
        let fields = block["properties"].as_object().into_iter().flatten();
        for (field, _) in fields.filter(|(_, field)| field["properties"]["key"].is_object()) {
            let asked = format!(
                "variables.providers.filter(p, has(p.{kind}) && has(p.{kind}.{field})).map(p, p.{kind}.{field}.name)"
            );

            assert!(POLICY.contains(&asked), "{kind}.{field}");
            found += 1;
        }
    }
    assert!(found >= 14, "{found}");
}
