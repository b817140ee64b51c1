use serde_json::{Value, json};
use zeroize::Zeroizing;

use super::*;
use crate::{
    api::reference::SecretKey,
    llm_proxy::{
        dereference::{Lookup, named_keys},
        fixtures,
    },
};

fn with_spec(spec: Value) -> LlmProxy {
    let mut proxy = fixtures::proxy("minimal");
    proxy.spec = serde_json::from_value(spec).unwrap();
    proxy
}

fn refusal(spec: Value) -> Refusal {
    let proxy = with_spec(spec);
    validate(&proxy, &fixtures::complete(&proxy)).unwrap_err()
}

#[test]
fn every_fixture_is_valid_and_resolved() {
    for name in fixtures::ALL {
        let validated = fixtures::validated(name);

        assert_eq!(validated.unresolved(), Vec::<&Unresolved>::new(), "{name}");
        assert!(!validated.providers.is_empty() && !validated.models.is_empty(), "{name}");
    }
}

#[test]
fn every_mistake_names_its_field() {
    let echo = json!([{"name": "p", "echo": {}}]);
    let model = |model: Value| json!({"providers": echo, "models": [model]});
    let openai = |url: &str| {
        json!({"providers": [{"name": "p", "openai": {"baseUrl": url}}],
        "models": [{"name": "m", "routes": [{"provider": "p", "model": "x"}]}]})
    };
    let acme = |more: Value| {
        let (mut tls, mut hosts) =
            (json!({"email": "a@b.example", "termsOfServiceAgreed": true}), json!(["a.example"]));
        for (key, value) in more.as_object().unwrap() {
            let of = if key == "hosts" { &mut hosts } else { &mut tls[key] };
            *of = value.clone();
        }
        json!({"hosts": hosts, "tls": {"acme": tls}})
    };
    let cases = [
        (json!({"replicas": -1}), "spec.replicas: must not be negative"),
        (json!({"hosts": ["a b"]}), "spec.hosts[0]: `a b` is neither"),
        (
            json!({"access": {"issuers": [{"name": "x", "issuer": "https://x", "audiences": ["a"], "jwks": "{\"keys\":[]}"}]}}),
            "spec.access.issuers[0].jwks: failed to use the issuer's key set: it has no signature key",
        ),
        (
            json!({"access": {"migration": {
                "secret": {"name": "s", "key": "k"}, "until": "2027-01-01T00:00:00Z",
                "subjects": [{"subject": "a", "token": "t"}, {"subject": "a", "token": "u"}],
            }}}),
            "spec.access.migration.subjects[1].subject: \"a\" is there twice",
        ),
        (
            json!({"access": {
                "issuers": [{"name": "x", "issuer": "https://x", "audiences": ["a"]}],
                "migration": {
                    "secret": {"name": "s", "key": "k"}, "issuer": "https://x", "until": "2027-01-01T00:00:00Z",
                    "subjects": [{"subject": "a", "token": "t"}],
                },
            }}),
            "spec.access.migration.issuer: \"https://x\" issues other tokens of this proxy",
        ),
        (json!({"tls": {"plaintext": {}, "privateCa": {}}}), "spec.tls: needs exactly one of"),
        (
            json!({"tls": {"certManager": {"issuerRef": {"name": "x"}, "duration": "1h", "renewBefore": "1h"}}}),
            "spec.tls.certManager.renewBefore: must be shorter",
        ),
        (
            json!({"hosts": ["*.example.org"], "tls": {"certManager": {"issuerRef": {"name": "x"}, "serviceNames": false}}}),
            "spec.hosts: needs a name that is no wildcard",
        ),
        (json!({"providers": echo}), "spec.models: is needed with spec.providers"),
        (json!({"models": [{"name": "m", "routes": []}]}), "spec.providers: is needed with spec.models"),
        (model(json!({"name": "m", "routes": []})), "spec.models[0].routes: needs at least one"),
        (
            model(json!({"name": "m", "routes": [{"provider": "q", "model": "x"}]})),
            "spec.models[0].routes[0].provider: \"q\" is not one of spec.providers",
        ),
        (
            model(json!({"name": "m", "aliases": ["m"], "routes": [{"provider": "p", "model": "x"}]})),
            "spec.models[0].aliases[0]: \"m\" already names a model",
        ),
        (
            json!({"providers": echo, "defaultModel": "z", "models": [{"name": "m", "routes": [{"provider": "p", "model": "x"}]}]}),
            "spec.defaultModel: \"z\" is neither",
        ),
        (
            json!({"providers": [{"name": "p"}], "models": []}),
            "spec.providers[0]: needs exactly one of echo, openai",
        ),
        (openai("ftp://x/v1"), "spec.providers[0].openai.baseUrl: must be an http or https URL"),
        (
            openai("https://me:secret@x/v1"),
            "spec.providers[0].openai.baseUrl: must not contain user information",
        ),
        (openai("https://x/v1?key=1"), "spec.providers[0].openai.baseUrl: must not contain a query"),
        (acme(json!({"termsOfServiceAgreed": false})), "spec.tls.acme.termsOfServiceAgreed: must be true"),
        (
            acme(json!({"directoryUrl": "http://ca.example/dir"})),
            "spec.tls.acme.directoryUrl: the directory URL has to begin with https://",
        ),
        (acme(json!({"hosts": []})), "spec.hosts: needs a name that is no wildcard with tls.acme"),
        (
            acme(json!({"hosts": ["a.example", "*.example"]})),
            "spec.hosts[1]: \"*.example\": a wildcard cannot be proven",
        ),
        (acme(json!({"hosts": ["192.0.2.1"]})), "spec.hosts[0]: \"192.0.2.1\": an address cannot be ordered"),
        (openai("/v1"), "spec.providers[0].openai.baseUrl: must be an http or https URL"),
    ];
    for (spec, expected) in cases {
        let refusal = refusal(spec.clone());

        assert_eq!(refusal.reason(), Reason::InvalidSpec, "{spec}");
        assert!(refusal.message().contains(expected), "{spec}: {}", refusal.message());
    }
}

#[test]
fn what_the_server_would_refuse_of_azure_is_refused_before() {
    let azure = |block: Value| {
        json!({"providers": [{"name": "p", "azureOpenai": block}],
        "models": [{"name": "m", "routes": [{"provider": "p", "model": "x"}]}]})
    };
    for (block, expected) in [
        (json!({"baseUrl": "https://x/openai/v1/"}), "azureOpenai.baseUrl: must end before /openai/v1"),
        (
            json!({"baseUrl": "https://x", "apiVersion": "2024/10"}),
            "azureOpenai.apiVersion: must be a version of the API",
        ),
    ] {
        let refusal = refusal(azure(block));

        assert_eq!(refusal.reason(), Reason::InvalidSpec);
        assert!(refusal.message().contains(expected), "{}", refusal.message());
    }
}

#[test]
fn all_mistakes_are_told_at_once() {
    let acme = json!({"acme": {"email": "a@b.example", "termsOfServiceAgreed": false}});
    let refusal = refusal(json!({"replicas": -1, "hosts": [""], "tls": acme}));

    assert_eq!(refusal.mistakes.len(), 3);
    assert_eq!(refusal.reason(), Reason::InvalidSpec);
}

#[test]
fn a_missing_key_turns_off_its_provider_alone() {
    let proxy = fixtures::proxy("providers");
    let missing = |named: &SecretKey| match named.name.as_str() {
        "llama-key" => Lookup::NoSecret,
        _ if named.key == "key" => Lookup::NoKey,
        _ => Lookup::Found(Zeroizing::new(b"no certificate".to_vec())),
    };
    let referenced = named_keys(&proxy).into_iter().map(|named| (named.clone(), missing(&named))).collect();

    let validated = validate(&proxy, &referenced).unwrap();

    let messages: Vec<_> =
        validated.unresolved().iter().map(|missing| (missing.reason, missing.message.clone())).collect();
    assert_eq!(
        messages[..2],
        [
            (
                Reason::SecretNotFound,
                "spec.providers[0].openai.apiKey: Secret \"llama-key\" does not exist; its key \"api-key\" is needed".to_owned()
            ),
            (
                Reason::SecretKeyNotFound,
                "spec.providers[1].openai.apiKey: Secret \"openai\" has no key \"key\"".to_owned()
            ),
        ]
    );
    assert_eq!(messages[2].0, Reason::SecretInvalid);
    assert!(
        messages[2].1.starts_with("spec.providers[1].openai.caBundle: key \"ca.crt\" of Secret \"openai\"")
    );
    assert_eq!(validated.providers[2].unresolved().count(), 0);
}

#[test]
fn a_certificate_that_does_not_fit_its_key_is_named_and_nothing_weaker_is_used() {
    let proxy = fixtures::proxy("own_certificate");
    let (certificate, ..) = fixtures::serving_pair();
    let (_, other_key, _) = fixtures::serving_pair();
    let content = |named: &SecretKey| match named.key.as_str() {
        "tls.crt" => Lookup::Found(Zeroizing::new(certificate.clone().into_bytes())),
        "tls.key" => Lookup::Found(Zeroizing::new(other_key.clone().into_bytes())),
        _ => Lookup::NoKey,
    };
    let referenced = named_keys(&proxy).into_iter().map(|named| (named.clone(), content(&named))).collect();

    let validated = validate(&proxy, &referenced).unwrap();

    assert!(validated.tls.is_encrypted());
    let missing = validated.unresolved();
    assert_eq!(missing[0].reason, Reason::SecretInvalid);
    assert!(!missing[0].message.contains("PRIVATE KEY"), "{}", missing[0].message);
}

#[test]
fn nothing_prints_the_content_of_a_secret() {
    let printed =
        format!("{:?}{:?}", fixtures::validated("providers"), fixtures::validated("own_certificate"));

    assert!(!printed.contains("llama-key/api-key") && !printed.contains("PRIVATE"), "{printed}");
}

#[test]
fn a_secret_of_somebody_else_where_cert_manager_should_write_is_a_conflict() {
    let proxy = fixtures::proxy("cert_manager");
    let referenced = fixtures::complete(&proxy).with_stranger(true);

    let refusal = validate(&proxy, &referenced).unwrap_err();

    assert_eq!(refusal.reason(), Reason::ObjectConflict);
    assert!(refusal.message().contains("Secret \"team-serving\" is there already"), "{}", refusal.message());
}

/// The verdict on a Secret whose ca.crt is this.
fn with_bundle(certificate: &str, key: &str, bundle: &str) -> Result<usize, String> {
    let proxy = fixtures::proxy("own_certificate");
    let content = |named: &SecretKey| {
        let text = match named.key.as_str() {
            "tls.crt" => certificate,
            "tls.key" => key,
            _ => bundle,
        };
        Lookup::Found(Zeroizing::new(text.as_bytes().to_vec()))
    };
    let referenced = named_keys(&proxy).into_iter().map(|named| (named.clone(), content(&named))).collect();
    let validated = validate(&proxy, &referenced).unwrap();
    let pair = validated.tls.kept().unwrap().pair.clone();
    pair.map(|pair| pair.bundle.map_or(0, |bundle| bundle.certificates().len()))
        .map_err(|missing| missing.message)
}

#[test]
fn l07_a_bundle_may_hold_several_roots_and_is_refused_when_clients_could_do_nothing_with_it() {
    let (certificate, key, ca) = fixtures::serving_pair();
    let (.., other) = fixtures::serving_pair();
    let (ca_certificate, ca_key, root) = fixtures::supplied_ca();
    let below = {
        let authority = vibectl_pki::Ca::from_pem(&ca_certificate, &ca_key).unwrap();
        let names = Names::parse(["team.ai.svc"]).unwrap();
        let validity = std::time::Duration::from_secs(3600);
        let usage = vibectl_pki::Usage::Server;
        authority
            .issue(&vibectl_pki::IssueRequest { names: &names, usage, validity, now: fixtures::now() })
            .unwrap()
    };
    let below_of = |bundle: &str| with_bundle(&below.chain_pem(), &below.key_pem(), bundle);
    let many = |count| (0..count).map(|_| fixtures::serving_pair().2).collect::<String>();
    let intermediate = ca_certificate.split_inclusive("-----END CERTIFICATE-----\n").next().unwrap();
    let of = |bundle: &str| with_bundle(&certificate, &key, bundle);

    assert_eq!(of(&format!("{ca}{other}")), Ok(2), "both roots");
    assert_eq!(of(&format!("{ca}{ca}")), Ok(1), "twice the same");
    assert_eq!(of(&format!("{}{ca}", many(100))), Ok(101), "many");
    assert_eq!(of(&format!("{ca}\n\n")), Ok(1), "empty lines at its end");
    assert_eq!(of(""), Ok(0), "none");
    assert_eq!(below_of(&root), Ok(1), "the root above an intermediate in the chain");
    assert_eq!(below_of(intermediate), Ok(1), "the intermediate alone");
    for (found, expected) in [
        (of(&other), "ca.crt of Secret \"llm-example-org-tls\": has no certificate that tls.crt leads to"),
        (of(&format!("{}{ca}", many(200))), "201 certificates are more than 200"),
        (of(&format!("{ca}{ca_key}")), "ca.crt of Secret"),
        (of(&ca[..ca.len() / 2]), "ca.crt of Secret"),
    ] {
        let message = found.unwrap_err();
        assert!(message.contains(expected) && !message.contains("PRIVATE"), "{message}");
    }
}
