use k8s_openapi::{
    api::apps::v1::{Deployment, DeploymentStatus},
    apimachinery::pkg::apis::meta::v1::Time,
};

use super::*;
use crate::{
    api::{
        conditions::{Reason, find, is_true},
        llm_proxy::CertificateStatus,
    },
    llm_proxy::{dereference::Referenced, fixtures, validate::validate},
};

fn deployment(name: &str, status: DeploymentStatus) -> Resources<Applied> {
    let resources = fixtures::resources(name);
    let deployment = Deployment { status: Some(status), ..resources.deployment.clone() };
    resources.into_applied(deployment)
}

fn rolled_out(replicas: i32) -> DeploymentStatus {
    DeploymentStatus {
        replicas: Some(replicas),
        updated_replicas: Some(replicas),
        ready_replicas: Some(replicas),
        available_replicas: Some(replicas),
        ..DeploymentStatus::default()
    }
}

fn reason(status: &LlmProxyStatus, kind: ConditionType) -> &str {
    find(&status.conditions, kind).map_or("", |condition| condition.reason.as_str())
}

fn seen() -> Seen {
    let certificate = CertificateStatus {
        fingerprint: "f".into(),
        pin: "p".into(),
        not_after: Time("2030-01-01T00:00:00Z".parse().unwrap()),
    };
    let certificate = Served { status: certificate, overdue_at: None };
    Seen { certificate: Some(certificate), tokens: 2, ..Seen::default() }
}

#[test]
fn a_proxy_whose_pods_answer_is_ready() {
    let (proxy, validated) = (fixtures::proxy("providers"), fixtures::validated("providers"));

    let status =
        report(&proxy, &validated, &deployment("providers", rolled_out(3)), &seen(), fixtures::now());

    assert!(is_true(&status.conditions, ConditionType::Ready));
    assert!(is_true(&status.conditions, ConditionType::CertificateReady));
    assert_eq!(reason(&status, ConditionType::Progressing), "Complete");
    assert_eq!((status.ready_replicas, status.models, status.tokens), (3, 2, 2));
    assert_eq!(status.endpoint.as_deref(), Some("https://team.ai.svc:50051"));
    assert_eq!(status.observed_generation, Some(4));
}

#[test]
fn the_same_state_gives_the_same_status_later() {
    let (mut proxy, validated) = (fixtures::proxy("providers"), fixtures::validated("providers"));
    let applied = deployment("providers", rolled_out(3));
    let first = report(&proxy, &validated, &applied, &seen(), fixtures::now());
    proxy.status = Some(first.clone());

    let later = fixtures::now() + jiff::SignedDuration::from_hours(1);

    assert_eq!(report(&proxy, &validated, &applied, &seen(), later), first);
}

#[test]
fn missing_keys_are_named_and_only_a_proxy_without_any_provider_is_not_ready() {
    let mut proxy = fixtures::proxy("providers");
    let some = validate(&proxy, &Referenced::default()).unwrap();
    let status = report(&proxy, &some, &deployment("providers", rolled_out(3)), &seen(), fixtures::now());
    assert!(is_true(&status.conditions, ConditionType::Ready));
    assert_eq!(reason(&status, ConditionType::ResolvedRefs), "SecretNotFound");
    assert_eq!(
        status.providers.iter().map(|provider| provider.available).collect::<Vec<_>>(),
        [false, false, true]
    );

    proxy.spec.providers.truncate(1);
    proxy.spec.models.truncate(1);
    proxy.spec.models[0].routes.truncate(1);
    let none = validate(&proxy, &Referenced::default()).unwrap();
    let status = report(&proxy, &none, &deployment("providers", rolled_out(3)), &seen(), fixtures::now());
    assert_eq!(reason(&status, ConditionType::Ready), "SecretNotFound");
}

#[test]
fn a_provider_that_a_pod_does_not_use_is_not_available() {
    let (proxy, validated) = (fixtures::proxy("providers"), fixtures::validated("providers"));
    let name = validated.providers[0].name.clone();
    let off = BTreeMap::from([(name, "no key".to_owned())]);
    let seen = Seen { providers_off: off, ..seen() };

    let status = report(&proxy, &validated, &deployment("providers", rolled_out(3)), &seen, fixtures::now());

    assert_eq!(status.providers[0].reason.as_deref(), Some("no key"));
    let available: Vec<_> = status.providers.iter().map(|provider| provider.available).collect();
    assert_eq!(available, [false, true, true]);
}

#[test]
fn e04_a_key_that_a_provider_refuses_shows_with_the_names_of_provider_and_secret_and_heals_by_itself() {
    let (mut proxy, validated) = (fixtures::proxy("providers"), fixtures::validated("providers"));
    let refused = Seen { keys_refused: ["local".to_owned()].into(), ..seen() };
    let applied = deployment("providers", rolled_out(3));

    let status = report(&proxy, &validated, &applied, &refused, fixtures::now());

    let told = find(&status.conditions, ConditionType::ResolvedRefs).unwrap();
    assert_eq!((told.status.as_str(), told.reason.as_str()), ("False", "KeyRefused"));
    assert_eq!(told.message, r#"provider "local" does not accept the key "api-key" of Secret "llama-key""#);
    assert_eq!(status.providers[0].reason.as_ref(), Some(&told.message));
    assert!(is_true(&status.conditions, ConditionType::Ready), "the other providers serve");

    proxy.status = Some(status);
    let status = report(&proxy, &validated, &applied, &seen(), fixtures::now());
    assert!(is_true(&status.conditions, ConditionType::ResolvedRefs));
    assert!(status.providers[0].available);
}

#[test]
fn each_trouble_has_its_reason() {
    let (proxy, validated) = (fixtures::proxy("providers"), fixtures::validated("providers"));
    let of = |status: DeploymentStatus, seen: &Seen| {
        report(&proxy, &validated, &deployment("providers", status), seen, fixtures::now())
    };
    let expired = {
        let mut seen = seen();
        seen.certificate.as_mut().unwrap().status.not_after = Time(fixtures::now());
        seen
    };

    let none = of(DeploymentStatus::default(), &Seen::default());
    let held = of(rolled_out(3), &Seen { access_held: Some("9 of 10 rows would go".into()), ..seen() });
    let waiting = of(rolled_out(3), &Seen { waiting: vec!["team-1".into()], ..seen() });

    assert_eq!(reason(&none, ConditionType::Ready), Reason::NoReadyReplicas.as_str());
    assert_eq!(reason(&none, ConditionType::CertificateReady), Reason::Pending.as_str());
    assert_eq!(reason(&none, ConditionType::Progressing), Reason::RollingOut.as_str());
    assert_eq!(reason(&of(rolled_out(3), &expired), ConditionType::Ready), Reason::Expired.as_str());
    assert_eq!(reason(&held, ConditionType::Progressing), Reason::AccessTableHeld.as_str());
    assert_eq!(reason(&waiting, ConditionType::Progressing), Reason::WaitingForReplicas.as_str());
}

#[test]
fn a_refused_spec_keeps_what_is_known_of_the_running_pods() {
    let (mut proxy, validated) = (fixtures::proxy("providers"), fixtures::validated("providers"));
    proxy.status =
        Some(report(&proxy, &validated, &deployment("providers", rolled_out(3)), &seen(), fixtures::now()));
    proxy.spec.replicas = -1;
    let refusal = validate(&proxy, &Referenced::default()).unwrap_err();

    let status = refused(&proxy, &refusal, fixtures::now());

    assert_eq!(reason(&status, ConditionType::Accepted), "InvalidSpec");
    assert_eq!(reason(&status, ConditionType::Ready), "InvalidSpec");
    assert_eq!(reason(&status, ConditionType::CertificateReady), "Issued");
    assert_eq!(status.ready_replicas, 3);
}
