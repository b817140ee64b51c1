//! Two electors and one lease, against an API server in memory.

use std::time::{Duration, Instant};

use k8s_openapi::api::coordination::v1::Lease;
use kube::Api;
use tokio::time::timeout;
use vibectl_operator::{
    lease::{Elector, candidate::Timing},
    runtime::heartbeat::Heartbeat,
};

use super::fake_api::FakeApi;

const TIMING: Timing = Timing {
    duration: Duration::from_secs(3),
    renew_deadline: Duration::from_millis(1500),
    retry: Duration::from_millis(50),
};

fn elector(api: &FakeApi, name: &str) -> Elector {
    let leases: Api<Lease> = Api::namespaced(api.client(), "system");
    Elector::new(leases, name, TIMING, Heartbeat::default())
}

#[tokio::test]
async fn a_clean_stop_hands_the_lease_over_without_waiting_for_its_end() {
    let api = FakeApi::default();
    let (mut first, mut second) = (elector(&api, "first"), elector(&api, "second"));
    first.acquire().await;
    let second_waits = timeout(Duration::from_millis(200), second.acquire()).await;
    assert!(second_waits.is_err(), "the first one holds it");

    first.hold_until(tokio::time::sleep(Duration::from_millis(120))).await.unwrap();
    let begun = Instant::now();
    second.acquire().await;

    assert!(begun.elapsed() < TIMING.duration);
    let lease = api.get("/apis/coordination.k8s.io/v1/namespaces/system/leases/vibectl-operator").unwrap();
    assert_eq!(lease["spec"]["holderIdentity"], "second");
}

#[tokio::test]
async fn a_leader_that_died_is_replaced_after_its_lease_has_ended() {
    let api = FakeApi::default();
    let mut first = elector(&api, "first");
    first.acquire().await;
    drop(first);

    let begun = Instant::now();
    elector(&api, "second").acquire().await;

    assert!(begun.elapsed() >= TIMING.duration);
}

#[tokio::test]
async fn a_leader_whose_lease_was_taken_ends() {
    let api = FakeApi::default();
    let mut first = elector(&api, "first");
    first.acquire().await;
    let path = "/apis/coordination.k8s.io/v1/namespaces/system/leases/vibectl-operator";
    let mut lease = api.get(path).unwrap();
    lease["spec"]["holderIdentity"] = "thief".into();
    api.put("apis/coordination.k8s.io/v1/leases", lease);

    let held = timeout(Duration::from_secs(1), first.hold_until(std::future::pending())).await;

    assert!(held.unwrap().is_err());
}

#[tokio::test]
async fn a_leader_without_an_api_server_ends_before_its_lease_does() {
    let api = FakeApi::default();
    let mut first = elector(&api, "first");
    first.acquire().await;
    api.remove("/apis/coordination.k8s.io/v1/namespaces/system/leases/vibectl-operator");
    api.break_down();

    let begun = Instant::now();
    let held = timeout(Duration::from_secs(5), first.hold_until(std::future::pending())).await;

    assert!(held.unwrap().is_err());
    assert!(begun.elapsed() < TIMING.duration);
}
