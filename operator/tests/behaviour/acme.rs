//! The Secret of an order with an ACME server, against an API server in memory.

use std::sync::Arc;

use serde_json::{Value, json};
use vibectl_operator::{
    acme::{
        orders::Wanted,
        store::{SecretStore, forget},
    },
    llm_proxy::validate::AcmeAccess,
    names::acme_secret,
};
use vibectl_pki::{
    Names,
    acme::{ChallengeKind, Record, Session, Store},
};

use super::world::{PROXY_UID, World};

const DIRECTORY: &str = "https://ca.example/dir";

fn wanted(directory_url: &str, host: &str) -> Arc<Wanted> {
    Arc::new(Wanted {
        uid: PROXY_UID.to_owned(),
        namespace: "ai".to_owned(),
        name: "team".to_owned(),
        directory_url: directory_url.to_owned(),
        email: "a@b.example".to_owned(),
        challenge: ChallengeKind::Http01,
        names: Names::parse([host]).unwrap(),
        access: AcmeAccess::default(),
    })
}

fn store(world: &World, wanted: &Arc<Wanted>) -> SecretStore {
    SecretStore::new(&world.context(), wanted)
}

fn path(directory_url: &str) -> String {
    format!("/api/v1/namespaces/system/secrets/{}", acme_secret(PROXY_UID, directory_url))
}

async fn record(store: &SecretStore, record: Record) -> Option<Value> {
    let bytes = store.read(record).await.unwrap();
    bytes.map(|bytes| serde_json::from_slice(&bytes).unwrap())
}

#[tokio::test]
async fn h03_of_two_leaders_one_writes_and_the_other_fails_before_it_asks_anybody() {
    let world = World::new();
    let wanted = wanted(DIRECTORY, "a.example");
    let (one, other) = (store(&world, &wanted), store(&world, &wanted));
    let mut first = one.open().await.unwrap().unwrap();
    let mut second = other.open().await.unwrap().unwrap();

    first.write(Record::Account, Some(b"{\"of\":1}")).await.unwrap();
    let created = second.write(Record::Account, Some(b"{\"of\":2}")).await.unwrap_err();
    let mut second = other.open().await.unwrap().unwrap();
    first.write(Record::Order, Some(b"{\"of\":1}")).await.unwrap();
    let replaced = second.write(Record::Order, Some(b"{\"of\":2}")).await.unwrap_err();

    for error in [created, replaced] {
        assert!(error.to_string().contains("by another process first"), "{error}");
    }
    other.open().await.unwrap();
    assert_eq!(record(&other, Record::Account).await, Some(json!({"of": 1})));
    assert_eq!(record(&other, Record::Order).await, Some(json!({"of": 1})));
    assert_eq!(
        world.api.get(&path(DIRECTORY)).unwrap()["metadata"]["annotations"]["vibectl.dev/proxy"],
        "ai/team"
    );
}

#[tokio::test]
async fn what_is_there_already_is_not_written_again() {
    let world = World::new();
    let store = store(&world, &wanted(DIRECTORY, "a.example"));
    let mut session = store.open().await.unwrap().unwrap();
    session.write(Record::History, Some(b"{}")).await.unwrap();
    world.api.take_writes();

    session.write(Record::History, Some(b"{}")).await.unwrap();
    session.write(Record::Order, None).await.unwrap();

    assert_eq!(world.api.take_writes(), Vec::<String>::new());
}

#[tokio::test]
async fn h05_a_failure_holds_back_the_same_order_and_not_a_mended_one() {
    let world = World::new();
    let history = json!({
        "failures": 3, "not_before": "2100-01-01T00:00:00Z", "last_error": "no",
        "failed_authorizations": {"a.example": ["2027-01-01T00:00:00Z"]}, "orders": ["2027-01-01T00:00:00Z"],
    });
    let same = store(&world, &wanted(DIRECTORY, "a.example"));
    let mut session = same.open().await.unwrap().unwrap();
    session.write(Record::History, Some(history.to_string().as_bytes())).await.unwrap();

    let again = store(&world, &wanted(DIRECTORY, "a.example"));
    let mended = store(&world, &wanted(DIRECTORY, "b.example"));
    again.open().await.unwrap();
    mended.open().await.unwrap();

    let held = record(&again, Record::History).await.unwrap();
    let free = record(&mended, Record::History).await.unwrap();
    assert_eq!((&held["failures"], &held["not_before"]), (&json!(3), &history["not_before"]));
    assert_eq!((&free["failures"], &free["not_before"]), (&json!(0), &Value::Null));
    assert_eq!(free["failed_authorizations"], history["failed_authorizations"]);
    assert_eq!(free["orders"], history["orders"]);
}

#[tokio::test]
async fn h13_each_acme_server_has_a_secret_of_its_own_and_those_of_others_can_go() {
    let world = World::new();
    let other = "https://other.example/dir";
    for directory in [DIRECTORY, other] {
        let store = store(&world, &wanted(directory, "a.example"));
        let mut session = store.open().await.unwrap().unwrap();
        assert_eq!(record(&store, Record::Account).await, None);
        session.write(Record::Account, Some(b"{}")).await.unwrap();
    }

    assert_eq!(forget(&world.context(), PROXY_UID, Some(other)).await.unwrap(), 1);
    assert!(world.api.get(&path(DIRECTORY)).is_none() && world.api.get(&path(other)).is_some());

    assert_eq!(forget(&world.context(), "another proxy", None).await.unwrap(), 0);
    assert_eq!(forget(&world.context(), PROXY_UID, None).await.unwrap(), 1);
}
