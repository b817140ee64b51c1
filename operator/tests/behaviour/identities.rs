//! ProxyTokens that name somebody whom another issuer knows: a row, and no Secret.

use serde_json::json;
use vibectl_operator::{access, api::conditions::ConditionType};

use super::world::World;

const SECRET: &str = "/api/v1/namespaces/ai/secrets/alice";

fn builder() -> serde_json::Value {
    json!({"identity": {"serviceAccount": {"name": "builder"}}})
}

#[tokio::test]
async fn a_service_account_is_let_in_once_every_pod_has_its_row_and_there_is_no_secret() {
    let world = World::new();
    world.pod("pod-1");
    world.token("ai", "alice", builder());
    let revision = world.serve().await;

    world.reconcile("ai", "alice").await;
    assert_eq!(world.condition("ai", "alice", ConditionType::Ready).1, "WaitingForReplicas");
    world.report("pod-1", "i1", &revision, 3);
    world.settle().await;

    let (status, reason, message) = world.condition("ai", "alice", ConditionType::Ready);
    assert_eq!((status.as_str(), reason.as_str()), ("True", "Recognized"));
    assert!(message.contains("system:serviceaccount:ai:builder"), "{message}");
    let status = world.status("ai", "alice");
    assert_eq!(status["audience"], "vibectl.dev/ai/team");
    assert_eq!(status["usage"]["requests"], 3);
    assert!(status["secretName"].is_null() && status["expiresAt"].is_null(), "{status}");
    assert!(world.api.get(SECRET).is_none());
}

#[tokio::test]
async fn the_secret_of_a_token_that_becomes_an_identity_goes_and_its_credential_with_it() {
    let world = World::new();
    world.pod("pod-1");
    world.token("ai", "alice", json!({"ttl": "1h"}));
    let revision = world.serve().await;
    world.report("pod-1", "i1", &revision, 0);
    world.settle().await;
    assert!(world.api.get(SECRET).is_some());

    world.token("ai", "alice", builder());
    let revision = world.serve().await;
    world.report("pod-1", "i1", &revision, 0);
    world.settle().await;

    assert!(world.api.get(SECRET).is_none());
    assert!(world.status("ai", "alice")["keyId"].is_null());
    let row = access::of(&world.context(), &world.proxy_object()).unwrap().rows.into_values().next().unwrap();
    assert!(!row.issued, "what was issued before is refused");
}

#[tokio::test]
async fn of_two_that_name_the_same_identity_one_is_told_and_has_no_row() {
    let world = World::new();
    world.proxy(json!({"access": {
        "allowedNamespaces": {"from": "All"},
        "issuers": [{"name": "corp", "issuer": "https://corp", "audiences": ["llm"]}],
    }}));
    world.pod("pod-1");
    let oidc = || json!({"identity": {"oidc": {"issuer": "corp", "value": "alice@example.org"}}});
    world.token("other", "taker", oidc());
    world.token("ai", "alice", oidc());
    let revision = world.serve().await;
    world.report("pod-1", "i1", &revision, 0);

    world.reconcile("other", "taker").await;
    world.reconcile("ai", "alice").await;

    assert_eq!(world.condition("ai", "alice", ConditionType::Ready).1, "Recognized");
    assert_eq!(world.condition("other", "taker", ConditionType::Accepted).1, "IdentityTaken");
    let table = access::of(&world.context(), &world.proxy_object()).unwrap();
    let subjects: Vec<_> = table.rows.values().map(|row| row.subject.as_str()).collect();
    assert_eq!(subjects, ["ai/alice"]);
}

#[tokio::test]
async fn an_issuer_that_the_proxy_does_not_have_is_told() {
    let world = World::new();
    world.token("ai", "alice", json!({"identity": {"oidc": {"issuer": "corp", "value": "alice"}}}));

    world.reconcile("ai", "alice").await;

    let (status, reason, message) = world.condition("ai", "alice", ConditionType::Accepted);
    assert_eq!((status.as_str(), reason.as_str()), ("False", "IssuerNotFound"));
    assert!(message.starts_with("spec.identity.oidc.issuer: "), "{message}");
}

#[tokio::test]
async fn a_secret_carries_what_its_template_says_beside_our_own_labels() {
    let world = World::new();
    world.pod("pod-1");
    let template = json!({"labels": {"team": "a"}, "annotations": {"reflector/allowed": "true"}});
    world.token("ai", "alice", json!({"secretTemplate": template}));
    let revision = world.serve().await;
    world.report("pod-1", "i1", &revision, 0);

    world.settle().await;

    let metadata = world.api.get(SECRET).unwrap()["metadata"].clone();
    assert_eq!(metadata["labels"]["team"], "a");
    assert_eq!(metadata["labels"]["app.kubernetes.io/managed-by"], "vibectl-operator");
    assert_eq!(metadata["annotations"]["reflector/allowed"], "true");
}
