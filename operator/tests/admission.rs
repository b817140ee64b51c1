//! What the API server refuses: the rules in the schema, evaluated here as it evaluates them.

#![cfg(test)]

use kube::{
    CustomResourceExt,
    core::cel::{Validator, apply_defaults},
};
use serde_json::{Value, json};
use vibectl_operator::api::{LlmProxy, ProxyToken};

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
fn every_mistake_in_an_llm_proxy_is_named() {
    let openai = |url: &str| json!([{"name": "p", "openai": {"baseUrl": url}}]);
    let models = json!([{"name": "m", "routes": [{"provider": "p", "model": "x"}]}]);
    let with_url = |url: &str| json!({"providers": openai(url), "models": models});
    let cases = [
        (
            json!({"providers": [{"name": "p"}], "models": models}),
            "provider needs exactly one of echo, openai",
        ),
        (
            json!({"providers": [{"name": "p", "echo": {}, "openai": {"baseUrl": "http://x"}}], "models": models}),
            "provider needs exactly one of echo, openai",
        ),
        (with_url("ftp://x/v1"), "baseUrl must be an http or https URL"),
        (with_url("x"), "baseUrl must be an http or https URL"),
        (with_url("https://me:secret@x/v1"), "baseUrl must not contain user information"),
        (with_url("https://x/v1?key=1"), "baseUrl must not contain a query"),
        (json!({"tls": {}}), "tls needs exactly one of plaintext"),
        (json!({"tls": {"plaintext": {}, "secret": {"name": "x"}}}), "tls needs exactly one of plaintext"),
        (json!({"providers": openai("http://x")}), "spec.providers and spec.models belong together"),
        (json!({"models": models}), "spec.providers and spec.models belong together"),
        (
            json!({"providers": openai("http://x"), "models": [{"name": "m", "routes": [{"provider": "q", "model": "x"}]}]}),
            "spec.models[].routes[].provider must name one of spec.providers",
        ),
        (json!({"defaultModel": "m"}), "spec.defaultModel must be the name or an alias"),
        (
            json!({"defaultModel": "z", "providers": openai("http://x"), "models": models}),
            "spec.defaultModel must be the name or an alias",
        ),
        (
            json!({"access": {"allowedNamespaces": {"from": "Selector"}}}),
            "allowedNamespaces.selector is needed with from: Selector",
        ),
        (
            json!({"access": {"allowedNamespaces": {"from": "All", "selector": {}}}}),
            "allowedNamespaces.selector is needed with from: Selector",
        ),
        (cert_manager(json!({"renewBefore": "3000h"})), "certManager.renewBefore must be shorter"),
        (
            cert_manager(json!({"duration": "1h", "renewBefore": "1h"})),
            "certManager.renewBefore must be shorter",
        ),
        (cert_manager(json!({"duration": "59m"})), "certManager.duration must be between 1h"),
        (cert_manager(json!({"renewBefore": "4m"})), "certManager.renewBefore must be between 5m"),
        (cert_manager(json!({"serviceNames": false})), "spec.hosts needs a name that is no wildcard"),
        (
            json!({"tls": {"privateCa": {"validity": "100h"}}}),
            "privateCa.validity (8760h when left out) must be at least five times",
        ),
        (
            json!({"tls": {"privateCa": {"validity": "30m", "clientRefresh": "1s"}}}),
            "privateCa.validity must be between 1h",
        ),
        (
            json!({"tls": {"privateCa": {"clientRefresh": "0s"}}}),
            "privateCa.clientRefresh must be between 1s",
        ),
        (
            json!({"tls": {"privateCa": {"validity": "8760h", "secret": {"name": "x"}}}}),
            "privateCa.validity is of a CA that the operator makes",
        ),
        (
            json!({"tls": {"selfSigned": {"validity": "24h"}}}),
            "must be at least five times selfSigned.clientRefresh",
        ),
        (
            json!({"tls": {"selfSigned": {"clientRefresh": "721h"}}}),
            "selfSigned.clientRefresh must be between 1s",
        ),
        (json!({"access": {"ceilings": {"ttl": "59s"}}}), "ceilings.ttl must be between 1m"),
        (json!({"access": {"keys": {"rotateEvery": "59m"}}}), "keys.rotateEvery must be between 1h"),
        (json!({"limits": {"requestTimeout": "500ms"}}), "requestTimeout must be between 1s"),
        (
            json!({"service": {"annotations": {"vibectl.dev/applied": "x"}}}),
            "service.annotations must not begin with vibectl.dev/",
        ),
    ];
    for (spec, expected) in cases {
        let found = proxy(&spec);

        assert!(found.contains(expected), "{spec}: {found:?}");
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
fn every_mistake_in_a_proxy_token_is_named() {
    let with = |field: &str, value: Value| json!({"proxyRef": {"name": "team"}, field: value});
    let cases = [
        (with("ttl", json!("59s")), "ttl must be between 1m and 87600h"),
        (with("ttl", json!("99999h")), "ttl must be between 1m and 87600h"),
        (with("identity", json!({})), "identity needs exactly one of issued, serviceAccount, oidc"),
        (
            with("identity", json!({"issued": {}, "oidc": {}})),
            "identity needs exactly one of issued, serviceAccount, oidc",
        ),
        (with("limits", json!({"requestTimeout": "25h"})), "requestTimeout must be between 1s and 24h"),
    ];
    for (spec, expected) in cases {
        let found = token(&spec);

        assert!(found.contains(expected), "{spec}: {found:?}");
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
