use std::collections::BTreeSet;

use k8s_openapi::api::core::v1::PodSpec;
use kube::{Resource, ResourceExt};
use proptest::prelude::*;
use serde_json::{Value, json};

use super::*;
use crate::{
    api::{LlmProxy, LlmProxySpec},
    llm_proxy::{fixtures, validate::validate},
    names::MAX_NAME,
};

/// Every object as JSON, in the order in which they are applied.
fn objects(resources: &Resources<Prepared>) -> Vec<Value> {
    let Resources {
        service_account,
        config,
        ca_bundle,
        keeps_bundle: _,
        jwks,
        access,
        answers,
        challenge_service,
        certificate,
        generated,
        service,
        network_policy,
        disruption_budget,
        deployment,
        revisions: _,
        stage: _,
    } = resources;
    let mut all = vec![json!(service_account)];
    all.extend(certificate.iter().map(|certificate| json!(certificate)));
    all.extend(generated.iter().chain(access).map(|secret| json!(secret)));
    let maps = [Some(jwks), ca_bundle.as_ref(), answers.as_ref(), Some(config)];
    all.extend(maps.into_iter().flatten().map(|map| json!(map)));
    all.push(json!(service));
    all.extend(challenge_service.iter().map(|service| json!(service)));
    all.push(json!(network_policy));
    all.extend(disruption_budget.iter().map(|budget| json!(budget)));
    all.push(json!(deployment));
    all
}

fn identities(resources: &Resources<Prepared>) -> BTreeSet<String> {
    let identity = |object: &Value| format!("{}/{}", object["kind"], object["metadata"]["name"]);
    objects(resources).iter().map(identity).collect()
}

fn pod(resources: &Resources<Prepared>) -> PodSpec {
    resources.deployment.spec.clone().unwrap().template.spec.unwrap()
}

fn built(proxy: &LlmProxy) -> Resources<Prepared> {
    let validated = validate(proxy, &fixtures::complete(proxy)).unwrap();
    build(&validated, &fixtures::inputs(&validated)).unwrap()
}

fn changed(fixture: &str, change: impl FnOnce(&mut LlmProxySpec)) -> Resources<Prepared> {
    let mut proxy = fixtures::proxy(fixture);
    change(&mut proxy.spec);
    built(&proxy)
}

#[test]
fn every_fixture_gives_the_objects_in_the_golden_files() {
    for name in fixtures::ALL {
        let mut resources = fixtures::resources(name);
        resources
            .generated
            .iter_mut()
            .for_each(|secret| fixtures::hidden(&mut secret.data, ByteString::default));
        resources.ca_bundle.iter_mut().for_each(|map| fixtures::hidden(&mut map.data, || "PEM".to_owned()));
        let documents: Vec<String> =
            objects(&resources).iter().map(|object| serde_saphyr::to_string(object).unwrap()).collect();

        insta::with_settings!({snapshot_path => "../../../tests/golden", prepend_module_to_snapshot => false, omit_expression => true}, {
            insta::assert_snapshot!(name, documents.join("---\n"));
        });
    }
}

#[test]
fn the_rendered_config_is_a_config() {
    for name in fixtures::ALL {
        let proxy = fixtures::validated(name);
        let resources = fixtures::resources(name);
        let text = &resources.config.data.as_ref().unwrap()["config.yaml"];

        let parsed = vibectl_config::Config::parse(text, "config.yaml")
            .unwrap_or_else(|mistakes| panic!("{mistakes}"));

        assert_eq!(parsed.config, config::config(&proxy), "{name}");
        assert!(parsed.notices.is_empty(), "{name}");
    }
}

#[test]
fn content_changes_no_template_and_what_is_mounted_does() {
    let template = |resources: &Resources<Prepared>| resources.deployment.spec.clone().unwrap().template;
    let before = fixtures::resources("providers");

    let content = changed("providers", |spec| {
        spec.models.truncate(1);
        spec.limits = None;
        spec.replicas = 7;
        spec.service.port = 443;
    });
    let mounts = changed("providers", |spec| spec.providers[0].openai.as_mut().unwrap().api_key = None);

    assert_eq!(template(&before), template(&content));
    assert_eq!(before.config.name_any(), content.config.name_any());
    assert_ne!(before.config.data, content.config.data);
    assert_ne!(before.config.name_any(), mounts.config.name_any());
}

#[test]
fn a_headless_service_has_no_address_and_leads_to_the_ports_of_pods() {
    let service = changed("minimal", |spec| spec.service.headless = true).service.spec.unwrap();

    assert_eq!(service.cluster_ip.as_deref(), Some("None"));
    assert_eq!(service.ports.unwrap()[0].port, crate::names::SERVICE_PORT);
    assert_eq!(fixtures::resources("minimal").service.spec.unwrap().cluster_ip, None);
}

#[test]
fn reflection_is_in_the_config_where_it_is_asked_for() {
    let rendered = |resources: Resources<Prepared>| {
        resources.config.data.unwrap()["config.yaml"].contains("reflection: true")
    };

    assert!(rendered(changed("minimal", |spec| spec.service.reflection = true)));
    assert!(!rendered(fixtures::resources("minimal")));
}

#[test]
fn the_key_of_the_ca_is_mounted_only_where_certificates_are_issued() {
    for fixture in ["minimal", "own_ca"] {
        check_the_key_of_the_ca(&pod(&fixtures::resources(fixture)));
    }
}

fn check_the_key_of_the_ca(pod: &PodSpec) {
    let mounts = |mounts: &Option<Vec<k8s_openapi::api::core::v1::VolumeMount>>| -> BTreeSet<String> {
        mounts.iter().flatten().map(|mount| mount.name.clone()).collect()
    };
    assert!(pod.volumes.iter().flatten().all(|volume| {
        volume
            .secret
            .as_ref()
            .is_none_or(|secret| secret.secret_name.as_deref() != Some("team-ca-of-the-company"))
    }));
    let agent = &pod.init_containers.as_ref().unwrap()[0];

    assert!(mounts(&agent.volume_mounts).contains("ca"));
    assert!(!mounts(&pod.containers[0].volume_mounts).contains("ca"));
    assert_eq!(agent.restart_policy.as_deref(), Some("Always"));
    let ca = pod.volumes.iter().flatten().find(|volume| volume.name == "ca").unwrap();
    let keys: Vec<_> =
        ca.secret.as_ref().unwrap().items.iter().flatten().map(|item| item.key.as_str()).collect();
    assert_eq!(keys, ["tls.crt", "tls.key", "ca.crt"]);
}

#[test]
fn leaving_out_a_feature_removes_exactly_its_objects() {
    let full = identities(&fixtures::resources("providers"));
    let without = |change: fn(&mut LlmProxySpec)| -> BTreeSet<String> {
        full.difference(&identities(&changed("providers", change))).cloned().collect()
    };
    let config =
        |resources: &Resources<Prepared>| format!("\"ConfigMap\"/\"{}\"", resources.config.name_any());
    let own_config = config(&fixtures::resources("providers"));

    let one_replica = without(|spec| spec.replicas = 1);
    let plaintext = without(|spec| {
        spec.tls = serde_json::from_value(json!({"plaintext": {}})).unwrap();
    });

    assert_eq!(one_replica, BTreeSet::from(["\"PodDisruptionBudget\"/\"team\"".to_owned()]));
    let expected =
        ["\"ConfigMap\"/\"team-ca\"".to_owned(), "\"Secret\"/\"team-ca-key\"".to_owned(), own_config];
    assert_eq!(plaintext, BTreeSet::from(expected));
}

#[test]
fn revisions_follow_content_and_only_the_part_that_it_belongs_to() {
    let proxy = fixtures::validated("providers");
    let before = build(&proxy, &fixtures::inputs(&proxy)).unwrap().revisions.parts;
    let mut inputs = fixtures::inputs(&proxy);
    inputs.access_shards[2] = vec![9];

    let after = build(&proxy, &inputs).unwrap().revisions.parts;

    let differing: Vec<_> =
        before.iter().filter(|(part, revision)| after.get(part) != Some(revision)).collect();
    assert_eq!(differing.len(), 1);
    assert_eq!(*differing[0].0, vibectl_config::mount::Part::Access);
    assert_eq!(before.len(), 3);
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 24, ..ProptestConfig::default() })]

    #[test]
    fn every_accepted_spec_gives_sound_objects(proxy in proxies()) {
        let validated = validate(&proxy, &fixtures::complete(&proxy)).unwrap();
        let inputs = fixtures::inputs(&validated);
        let resources = build(&validated, &inputs).unwrap();

        prop_assert_eq!(objects(&resources), objects(&build(&validated, &inputs).unwrap()));
        for object in objects(&resources) {
            check_object(&proxy, &object);
        }
        check_restricted(&pod(&resources));
    }
}

fn check_object(proxy: &LlmProxy, object: &Value) {
    let metadata = &object["metadata"];
    let owner = &metadata["ownerReferences"][0];
    assert!(metadata["name"].as_str().unwrap().len() <= MAX_NAME, "{metadata}");
    assert_eq!(metadata["namespace"].as_str(), proxy.namespace().as_deref());
    assert_eq!(owner["uid"].as_str(), proxy.uid().as_deref());
    assert_eq!((&owner["controller"], &owner["blockOwnerDeletion"]), (&json!(true), &json!(true)));
    assert_eq!(metadata["labels"]["app.kubernetes.io/managed-by"], "vibectl-operator");
    for (key, value) in metadata["labels"].as_object().unwrap() {
        assert!(value.as_str().unwrap().len() <= 63, "{key}");
    }
    if object["kind"] != "Secret" {
        let text = object.to_string();
        assert!(!text.contains("PRIVATE KEY") && !text.contains("llama-key/api-key"), "{text}");
    }
}

/// The rules of the `restricted` Pod Security Standard, and ours.
fn check_restricted(pod: &PodSpec) {
    let whole = pod.security_context.as_ref().unwrap();
    assert_eq!(whole.run_as_non_root, Some(true));
    assert_eq!(whole.seccomp_profile.as_ref().unwrap().type_, "RuntimeDefault");
    assert_eq!(pod.automount_service_account_token, Some(false));
    assert!(pod.host_network.is_none() && pod.host_pid.is_none() && pod.host_ipc.is_none());
    for container in pod.containers.iter().chain(pod.init_containers.iter().flatten()) {
        let context = container.security_context.as_ref().unwrap();
        assert_eq!(context.allow_privilege_escalation, Some(false));
        assert_eq!(context.read_only_root_filesystem, Some(true));
        assert_eq!(context.capabilities.as_ref().unwrap().drop.as_deref(), Some(&["ALL".to_owned()][..]));
        assert!(context.privileged.is_none() && context.capabilities.as_ref().unwrap().add.is_none());
        assert!(container.ports.iter().flatten().all(|port| port.host_port.is_none()));
        assert!(container.resources.as_ref().unwrap().requests.is_some());
    }
    for volume in pod.volumes.iter().flatten() {
        let kinds = [
            volume.config_map.is_some(),
            volume.secret.is_some(),
            volume.projected.is_some(),
            volume.empty_dir.is_some(),
        ];
        assert_eq!(kinds.into_iter().filter(|kind| *kind).count(), 1, "{}", volume.name);
    }
}

/// Specs that the schema accepts.
fn proxies() -> impl Strategy<Value = LlmProxy> {
    let tls = prop_oneof![
        Just(json!({"plaintext": {}})),
        Just(json!({"privateCa": {}})),
        Just(json!({"privateCa": {"secret": {"name": "company"}}})),
        Just(json!({"selfSigned": {}})),
        Just(json!({"secret": {"name": "own"}})),
        Just(json!({"certManager": {"issuerRef": {"name": "ca"}}})),
    ];
    let name = "[a-z]([-a-z0-9]{0,61}[a-z0-9])?";
    let hosts = prop::collection::btree_set("[a-z]{1,20}\\.example\\.org", 0..3);
    (name, 0..64_i32, tls, hosts, 0..4_usize, 1..65535_i32).prop_map(|(name, replicas, tls, hosts, providers, port)| {
        let provider = |index| match index % 2 {
            0 => json!({"name": format!("p{index}"), "echo": {}}),
            _ => json!({"name": format!("p{index}"), "openai": {"baseUrl": "http://x/v1", "apiKey": {"name": "llama-key", "key": "api-key"}}}),
        };
        let model = |index| json!({"name": format!("m{index}"), "routes": [{"provider": format!("p{index}"), "model": "x"}]});
        let spec = json!({
            "replicas": replicas, "tls": tls, "hosts": hosts, "service": {"port": port},
            "providers": (0..providers).map(provider).collect::<Vec<_>>(),
            "models": (0..providers).map(model).collect::<Vec<_>>(),
        });
        let mut proxy = fixtures::proxy("minimal");
        proxy.meta_mut().name = Some(name);
        proxy.spec = serde_json::from_value(spec).unwrap();
        proxy
    })
}
