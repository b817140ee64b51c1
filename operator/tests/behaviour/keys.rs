//! Keys in the operator's namespace, against an API server in memory.

use serde_json::json;
use vibectl_operator::{
    access::{self, Lives},
    keys::{self, KeysError, sweep::sweep},
};

use super::world::{LLM_PROXIES, SIGNING, World};

#[tokio::test]
async fn two_leaders_cannot_make_two_sets_of_keys() {
    let world = World::new();
    let (one, other) = (world.context(), world.context());
    let proxy = world.proxy_object();

    keys::for_proxy(&one, &proxy, &Lives::default()).await.unwrap();
    let made = world.api.get(SIGNING).unwrap();
    // The other one's caches are empty: it reads what there is before it makes anything.
    keys::for_proxy(&other, &proxy, &Lives::default()).await.unwrap();

    assert_eq!(world.api.get(SIGNING).unwrap()["data"], made["data"]);
}

#[tokio::test]
async fn a_leader_with_an_old_cache_gets_a_conflict_and_changes_nothing() {
    let world = World::new();
    world.token("ai", "alice", json!({"ttl": "1h"}));
    world.serve().await;
    let stale = world.context();
    world.token("ai", "bob", json!({"ttl": "48h"}));
    let behind = world.context();
    world.serve().await;
    let made = world.api.get(SIGNING).unwrap();

    // Its key Secret is one version old, and the longer life of bob's tokens is still to be written down.
    let context = vibectl_operator::context::Context {
        stores: vibectl_operator::context::Stores {
            own_secrets: stale.stores.own_secrets.clone(),
            ..behind.stores.clone()
        },
        client: behind.client.clone(),
        settings: behind.settings.clone(),
        fleet: behind.fleet.clone(),
        acme: std::sync::Arc::default(),
        cluster_issuer: std::sync::Arc::default(),
        departures: access::Departures::default(),
        events: behind.events.clone(),
        metrics: behind.metrics.clone(),
        triggers: behind.triggers.clone(),
        clock: behind.clock.clone(),
    };
    let lives = access::of(&context, &world.proxy_object()).unwrap().lives;
    let result = keys::for_proxy(&context, &world.proxy_object(), &lives).await;

    assert!(matches!(result, Err(KeysError::Conflict)), "{result:?}");
    assert_eq!(world.api.get(SIGNING).unwrap(), made);
}

#[tokio::test]
async fn at_rest_keys_are_not_written() {
    let world = World::new();
    world.serve().await;
    world.api.take_writes();

    world.serve().await;

    assert_eq!(world.api.take_writes(), Vec::<String>::new());
}

#[tokio::test]
async fn a_new_key_signs_only_after_every_pod_has_it_and_the_old_one_stays_published() {
    let world = World::new();
    world.pod("pod-1");
    world.token("ai", "alice", json!({"ttl": "1h"}));
    world.proxy(json!({"access": {"keys": {"rotateEvery": "24h"}}}));
    world.serve().await;
    let signing = || keys::signing::cached(&world.context(), super::world::PROXY_UID).unwrap().unwrap();
    let first = signing().active().unwrap().0.kid().to_owned();

    world.pass(24 * 3600);
    let revision = world.serve().await;
    assert_eq!(signing().published().len(), 2);
    assert_eq!(signing().active().unwrap().0.kid(), first, "no pod has the new one yet");

    world.report("pod-1", "i1", &revision, 0);
    world.serve().await;
    assert_ne!(signing().active().unwrap().0.kid(), first);
    assert!(signing().published().contains(&first));

    world.pass(3600 + 60);
    world.serve().await;
    assert!(!signing().published().contains(&first), "everything that it signed has ended");
}

#[tokio::test]
async fn keys_go_with_their_llm_proxy_and_not_before() {
    let world = World::new();
    world.serve().await;
    assert_eq!(sweep(&world.context()).await.unwrap(), 0);

    world.api.remove("/apis/vibectl.dev/v1alpha1/namespaces/ai/llmproxies/team");
    assert_eq!(sweep(&world.context()).await.unwrap(), 1);

    assert!(world.api.get(SIGNING).is_none());
}

#[tokio::test]
async fn keys_of_an_llm_proxy_made_again_under_the_same_name_are_swept() {
    let world = World::new();
    world.serve().await;
    let again = json!({
        "apiVersion": "vibectl.dev/v1alpha1", "kind": "LlmProxy",
        "metadata": {"name": "team", "namespace": "ai", "uid": "another"}, "spec": {},
    });
    world.api.put(LLM_PROXIES, again);

    assert_eq!(sweep(&world.context()).await.unwrap(), 1);
    assert!(world.api.get(SIGNING).is_none());
}

#[tokio::test]
async fn a_token_that_gets_no_access_keeps_no_key() {
    let world = World::new();
    world.pod("pod-1");
    world.token("ai", "alice", json!({"ttl": "1h"}));
    world.token("elsewhere", "mallory", json!({"ttl": "87600h"}));
    world.token("ai", "idle", json!({"ttl": "87600h", "suspended": true}));
    world.proxy(json!({"access": {"keys": {"rotateEvery": "24h"}}}));
    let published = async || {
        let revision = world.serve().await;
        world.report("pod-1", "i1", &revision, 0);
        world.serve().await;
        keys::signing::cached(&world.context(), super::world::PROXY_UID).unwrap().unwrap().published().len()
    };
    assert_eq!(published().await, 1);

    world.pass(24 * 3600);
    assert_eq!(published().await, 2);

    world.pass(3600 + 60);
    assert_eq!(published().await, 1, "everything that it signed has ended");
}

#[tokio::test]
async fn a_key_stays_for_an_earlier_credential_with_a_longer_life_until_its_token_is_deleted() {
    let world = World::new();
    world.pod("pod-1");
    world.token("ai", "alice", json!({"ttl": "720h"}));
    world.token("ai", "bob", json!({"ttl": "1h"}));
    world.proxy(json!({"access": {"keys": {"rotateEvery": "24h"}}}));
    let published = async || {
        let revision = world.serve().await;
        world.report("pod-1", "i1", &revision, 0);
        world.serve().await;
        keys::signing::cached(&world.context(), super::world::PROXY_UID).unwrap().unwrap().published().len()
    };
    published().await;
    world.settle().await;
    let end = world.status("ai", "alice")["expiresAt"].clone();

    world.token("ai", "alice", json!({"ttl": "1h"}));
    world.settle().await;
    assert_eq!(world.status("ai", "alice")["earlierUntil"], end);
    world.pass(24 * 3600);
    published().await;
    world.pass(3600 + 60);
    assert_eq!(published().await, 2, "what alice had before is still good");

    world.api.remove("/apis/vibectl.dev/v1alpha1/namespaces/ai/proxytokens/alice");
    published().await;
    world.pass(3600 + 60);
    assert_eq!(published().await, 1);
}

#[tokio::test]
async fn l02_a_key_that_is_revoked_goes_at_once_and_its_token_is_made_anew() {
    let world = World::new();
    world.pod("pod-1");
    world.token("ai", "alice", json!({"ttl": "1h"}));
    let revision = world.serve().await;
    world.report("pod-1", "i1", &revision, 0);
    world.settle().await;
    let first = world.secret("alice", "token").unwrap();
    let kid = world.status("ai", "alice")["keyId"].as_str().unwrap().to_owned();
    world.pass(5);

    let mut proxy = world.api.get("/apis/vibectl.dev/v1alpha1/namespaces/ai/llmproxies/team").unwrap();
    proxy["metadata"]["annotations"] = json!({"vibectl.dev/revoke-key": kid});
    world.api.put(LLM_PROXIES, proxy);
    let revision = world.serve().await;
    world.report("pod-1", "i1", &revision, 0);
    world.settle().await;

    let signing = keys::signing::cached(&world.context(), super::world::PROXY_UID).unwrap().unwrap();
    assert!(!signing.published().contains(&kid));
    assert!(signing.active().is_some(), "another one signs");
    assert_ne!(world.secret("alice", "token").unwrap(), first);
    assert_ne!(world.status("ai", "alice")["keyId"].as_str(), Some(kid.as_str()));
    world.api.take_writes();
    world.serve().await;
    assert_eq!(world.api.take_writes(), Vec::<String>::new(), "the annotation may stay");
}
