//! From a ProxyToken to a Secret, against an API server in memory.

use serde_json::json;
use vibectl_operator::{api::conditions::ConditionType, keys::signing};
use vibectl_token::{Expectation, KeySet, audience_of, issuer_of, verify};

use super::world::{PROXY_UID, World, uid};

const SECRET: &str = "/api/v1/namespaces/ai/secrets/alice";

/// A world in which `ai/alice` has a row that the one pod knows.
async fn served() -> World {
    let world = World::new();
    world.pod("pod-1");
    world.token("ai", "alice", json!({"ttl": "1h"}));
    let revision = world.serve().await;
    world.report("pod-1", "i1", &revision, 0);
    world
}

fn claims(world: &World) -> vibectl_token::Claims {
    let keys = signing::cached(&world.context(), PROXY_UID).unwrap().unwrap();
    let keys = KeySet::parse(keys.jwks.as_bytes()).unwrap();
    let (issuer, audience) = (issuer_of(PROXY_UID), audience_of(PROXY_UID));
    let expected = Expectation { issuer: &issuer, audience: &audience };
    verify(&keys, &expected, &world.secret("alice", "token").unwrap(), world.now()).unwrap().claims
}

#[tokio::test]
async fn the_issuance_is_in_the_status_before_the_secret_exists() {
    let world = served().await;

    world.reconcile("ai", "alice").await;
    assert_eq!(
        world.api.take_writes().last().unwrap(),
        "PATCH /apis/vibectl.dev/v1alpha1/namespaces/ai/proxytokens/alice/status"
    );
    assert!(world.status("ai", "alice")["keyId"].is_string());
    assert!(world.api.get(SECRET).is_none());

    world.reconcile("ai", "alice").await;

    let claims = claims(&world);
    assert_eq!((claims.sub.as_str(), claims.uid), ("ai/alice", uid("alice")));
    assert_eq!(claims.exp - claims.iat, 3600);
    assert_eq!(world.secret("alice", "url").unwrap(), "vibectl-server://team.ai.svc:50051");
    assert_eq!(world.secret("alice", "OPENAI_BASE_URL").unwrap(), "https://team.ai.svc:50051/v1");
    assert_eq!(world.condition("ai", "alice", ConditionType::Ready).1, "Issued");
    assert_eq!(world.status("ai", "alice")["secretName"], "alice");
}

#[tokio::test]
async fn at_rest_nothing_is_written() {
    let world = served().await;
    world.settle().await;

    for _ in 0..5 {
        world.pass(60);
        let done = world.reconcile("ai", "alice").await;
        assert_eq!(done.outcome, vibectl_operator::metrics::Outcome::Unchanged);
    }

    assert_eq!(world.api.take_writes(), Vec::<String>::new());
}

#[tokio::test]
async fn no_credential_is_handed_out_before_the_ready_replicas_accept_it() {
    let world = World::new();
    world.pod("pod-1");
    world.token("ai", "alice", json!({}));
    let revision = world.serve().await;
    world.report("pod-1", "i1", "an older table", 0);

    world.settle().await;
    assert!(world.api.get(SECRET).is_none());
    assert_eq!(world.condition("ai", "alice", ConditionType::Ready).1, "WaitingForReplicas");

    world.report("pod-1", "i1", &revision, 0);
    world.settle().await;

    assert!(world.api.get(SECRET).is_some());
    assert_eq!(world.condition("ai", "alice", ConditionType::Ready).0, "True");
}

#[tokio::test]
async fn after_ten_seconds_it_goes_on_with_a_condition() {
    let world = World::new();
    world.pod("pod-1");
    world.token("ai", "alice", json!({}));
    let revision = world.serve().await;
    world.settle().await;

    world.pass(10);
    world.settle().await;
    assert!(world.api.get(SECRET).is_some());
    assert_eq!(world.condition("ai", "alice", ConditionType::Ready).1, "WaitingForReplicas");

    world.report("pod-1", "i1", &revision, 0);
    world.settle().await;
    assert_eq!(world.condition("ai", "alice", ConditionType::Ready).1, "Issued");
}

#[tokio::test]
async fn without_a_ready_pod_the_secret_is_written_but_nothing_is_ready() {
    let world = World::new();
    world.token("ai", "alice", json!({"ttl": "1h"}));
    world.serve().await;
    world.settle().await;
    let token = world.secret("alice", "token");
    assert!(token.is_some());
    let (status, reason, message) = world.condition("ai", "alice", ConditionType::Ready);
    assert_eq!((status.as_str(), reason.as_str()), ("False", "NoReadyReplicas"));
    assert_eq!(message, "no pod of LlmProxy team is ready");
    world.reconcile("ai", "alice").await;
    assert_eq!(world.api.take_writes(), Vec::<String>::new());

    world.pod("pod-1");
    let revision = world.serve().await;
    world.report("pod-1", "i1", &revision, 0);
    world.settle().await;
    assert_eq!(world.condition("ai", "alice", ConditionType::Ready).0, "True");

    world.api.remove("/api/v1/namespaces/ai/pods/pod-1");
    world.settle().await;
    assert_eq!(world.condition("ai", "alice", ConditionType::Ready).1, "NoReadyReplicas");
    assert_eq!(world.secret("alice", "token"), token, "the credential itself is as good as before");
}

#[tokio::test]
async fn a_rolling_update_leaves_a_token_ready() {
    let world = served().await;
    world.settle().await;

    world.pod("pod-2");
    world.reconcile("ai", "alice").await;
    world.api.remove("/api/v1/namespaces/ai/pods/pod-1");
    world.reconcile("ai", "alice").await;

    assert_eq!(world.condition("ai", "alice", ConditionType::Ready).0, "True");
    assert_eq!(world.api.take_writes(), Vec::<String>::new());
}

#[tokio::test]
async fn a_secret_of_somebody_else_is_left_alone() {
    let world = served().await;
    let foreign = json!({
        "apiVersion": "v1", "kind": "Secret", "metadata": {"name": "alice", "namespace": "ai"}, "data": {"mine": "eA=="},
    });
    world.api.put("api/v1/secrets", foreign);

    world.settle().await;

    assert_eq!(world.api.get(SECRET).unwrap()["data"], json!({"mine": "eA=="}));
    assert_eq!(world.condition("ai", "alice", ConditionType::Ready).1, "ObjectConflict");
}

#[tokio::test]
async fn a_secret_of_another_proxy_token_is_left_alone() {
    let world = served().await;
    world.settle().await;
    let before = world.api.get(SECRET).unwrap();
    world.token("ai", "bob", json!({"secretName": "alice"}));
    let revision = world.serve().await;
    world.report("pod-1", "i1", &revision, 0);

    world.reconcile("ai", "bob").await;
    world.reconcile("ai", "bob").await;

    assert_eq!(world.api.get(SECRET).unwrap(), before);
    assert_eq!(world.condition("ai", "bob", ConditionType::Ready).1, "ObjectConflict");
}

#[tokio::test]
async fn it_is_renewed_at_two_thirds_and_stays_ready_meanwhile() {
    let world = served().await;
    world.settle().await;
    let first = claims(&world);

    world.pass(2400);
    world.reconcile("ai", "alice").await;
    assert_eq!(world.condition("ai", "alice", ConditionType::Ready).0, "True");
    assert_eq!(claims(&world).jti, first.jti, "the old one stays until the new one is written");
    world.settle().await;

    let second = claims(&world);
    assert_eq!(second.iat, first.iat + 2400);
    assert_eq!(world.condition("ai", "alice", ConditionType::Ready).0, "True");
}

#[tokio::test]
async fn a_secret_that_was_deleted_or_edited_gets_a_new_credential() {
    let world = served().await;
    world.settle().await;
    let first = claims(&world);

    world.pass(600);
    world.api.remove(SECRET);
    world.settle().await;
    let second = claims(&world);
    assert_ne!(second.jti, first.jti);

    world.pass(600);
    let mut edited = world.api.get(SECRET).unwrap();
    edited["data"]["token"] = json!("bm9uc2Vuc2U=");
    world.api.put("api/v1/secrets", edited);
    world.settle().await;
    assert_ne!(claims(&world).jti, second.jti);
}

#[tokio::test]
async fn another_ca_changes_the_secret_but_not_the_credential() {
    let world = served().await;
    world.bundle("first");
    world.settle().await;
    let (first, token) = (world.secret("alice", "ca.crt"), world.secret("alice", "token"));

    world.bundle("second");
    world.settle().await;

    assert_eq!(first.as_deref(), Some("first"));
    assert_eq!(world.secret("alice", "ca.crt").as_deref(), Some("second"));
    assert_eq!(world.secret("alice", "token"), token);
}

#[tokio::test]
async fn a_suspended_token_keeps_its_secret_and_says_that_it_is_refused() {
    let world = served().await;
    world.settle().await;
    let token = world.secret("alice", "token");

    world.token("ai", "alice", json!({"ttl": "1h", "suspended": true}));
    world.settle().await;

    assert_eq!(world.secret("alice", "token"), token);
    let (status, reason, _) = world.condition("ai", "alice", ConditionType::Ready);
    assert_eq!((status.as_str(), reason.as_str()), ("False", "Suspended"));
    assert_eq!(world.condition("ai", "alice", ConditionType::Accepted).0, "True");
}

#[tokio::test]
async fn revoking_writes_a_credential_that_is_not_refused() {
    let world = served().await;
    world.settle().await;
    let first = claims(&world);
    world.pass(100);
    let moment = jiff::Timestamp::from_second(world.now() - 1).unwrap().to_string();

    world.token("ai", "alice", json!({"ttl": "1h", "revokedBefore": moment}));
    let revision = world.serve().await;
    world.report("pod-1", "i1", &revision, 0);
    world.settle().await;

    let second = claims(&world);
    assert!(first.iat < world.now() - 1 && second.iat >= world.now() - 1);
}

#[tokio::test]
async fn another_name_moves_the_secret() {
    let world = served().await;
    world.settle().await;

    world.token("ai", "alice", json!({"ttl": "1h", "secretName": "moved"}));
    world.settle().await;

    assert!(world.api.get(SECRET).is_none());
    assert!(world.secret("moved", "token").is_some());
    assert_eq!(world.status("ai", "alice")["secretName"], "moved");
}

#[tokio::test]
async fn a_refusal_reads_the_same_whether_the_proxy_exists_or_not() {
    let world = served().await;
    let unreachable = |name: &str| json!({"proxyRef": {"name": name, "namespace": "ai"}});
    world.token("other", "guess", unreachable("team"));
    world.token("other", "guess2", unreachable("nothing"));

    world.reconcile("other", "guess").await;
    world.reconcile("other", "guess2").await;

    let of = |name: &str| {
        let told = world.condition("other", name, ConditionType::Accepted);
        (told.0, told.1, told.2.replace("nothing", "team"))
    };
    assert_eq!(of("guess"), of("guess2"));
    assert_eq!(of("guess").1, "ProxyNotFound");
    assert!(world.status("other", "guess")["usage"].is_null());
}

#[tokio::test]
async fn usage_is_written_when_it_changed_and_only_then() {
    let world = served().await;
    world.settle().await;

    world.report("pod-1", "i1", "r1", 5);
    world.settle().await;
    assert_eq!(world.status("ai", "alice")["usage"]["requests"], 5);
    assert_eq!(world.status("ai", "alice")["usage"]["tokens"], 55);

    world.report("pod-1", "i1", "r1", 5);
    world.reconcile("ai", "alice").await;
    assert_eq!(world.api.take_writes(), Vec::<String>::new());

    world.report("pod-1", "restarted", "r1", 2);
    world.settle().await;
    assert_eq!(world.status("ai", "alice")["usage"]["requests"], 7);
}

#[tokio::test]
async fn a_write_that_was_overtaken_is_tried_again_without_an_error() {
    let world = served().await;
    let stale = world.context();
    let token = stale.stores.tokens.get("ai", "alice").unwrap();
    world.settle().await;
    let token_now = world.secret("alice", "token");

    let done = vibectl_operator::proxy_token::reconcile(token, stale).await.unwrap();

    assert!(done.again.is_some());
    assert_eq!(world.api.take_writes(), Vec::<String>::new());
    assert_eq!(world.secret("alice", "token"), token_now);
}

#[tokio::test]
async fn a_credential_that_is_used_near_its_end_although_there_is_a_newer_one_is_told_once() {
    let world = served().await;
    world.settle().await;
    let old = claims(&world);
    let revision = world.serve().await;
    let late = || world.report_with("pod-1", "i1", &revision, 5, Some((old.iat, old.exp)));
    let stale = || world.status("ai", "alice")["staleCredential"].clone();

    world.pass(3100);
    late();
    world.settle().await;
    assert!(claims(&world).iat > old.iat, "the operator was away, and the Secret has a newer one just now");
    assert!(stale().is_null(), "nobody could follow it yet");
    world.pass(120);
    late();
    world.api.take_notes();
    world.settle().await;

    let told = world.api.take_notes();
    assert!(
        told.len() == 1 && told[0].starts_with("StaleCredential: still used with the credential that ends"),
        "{told:?}"
    );
    assert!(told[0].contains("although Secret alice has a newer one"), "{told:?}");
    assert!(stale()["expiresAt"].is_string());

    // Another leader, a later report: the status remembers.
    world.pass(60);
    late();
    world.settle().await;
    assert!(world.api.take_notes().is_empty());
    world.pass(400);
    world.settle().await;
    assert!(stale().is_null(), "it has ended");
}
