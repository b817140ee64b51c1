use std::collections::BTreeSet;

use serde_json::json;

use super::*;
use crate::llm_proxy::fixtures::{self, server::Server};

const UID: &str = "5f0c5b1e-0000-4000-8000-000000000003";

async fn apply(server: &Server, prepared: &Resources<Prepared>) -> Result<usize, Error> {
    let client = server.client();
    let mut applier = Applier::new(&client, "ai", UID);
    applier.apply(prepared.clone(), &server.observed(), &BTreeSet::new()).await?;
    Ok(applier.writes())
}

#[tokio::test]
async fn the_workload_is_written_after_everything_that_it_mounts() {
    let server = Server::default();
    let prepared = fixtures::resources("providers");

    let writes = apply(&server, &prepared).await.unwrap();

    let calls = server.take_calls();
    assert_eq!(calls.last().map(String::as_str), Some("PATCH deployments/team"));
    assert_eq!(calls.len(), writes);
    assert_eq!(calls.iter().filter(|call| call.starts_with("POST secrets/")).count(), 2, "{calls:?}");
}

#[tokio::test]
async fn a_second_round_writes_nothing() {
    let server = Server::default();
    let prepared = fixtures::resources("providers");
    apply(&server, &prepared).await.unwrap();
    server.take_calls();

    let writes = apply(&server, &prepared).await.unwrap();

    assert_eq!((writes, server.take_calls()), (0, Vec::<String>::new()));
}

#[tokio::test]
async fn what_was_changed_or_deleted_by_hand_comes_back() {
    let server = Server::default();
    let prepared = fixtures::resources("providers");
    apply(&server, &prepared).await.unwrap();
    server.take_calls();
    server.change("/services/team", |service| service["spec"]["ports"][0]["port"] = json!(1));
    server.change("/secrets/team-access-1", |secret| secret["data"] = json!({}));
    server.objects.lock().unwrap().retain(|path, _| !path.ends_with("/configmaps/team-jwks"));

    apply(&server, &prepared).await.unwrap();

    assert_eq!(
        server.take_calls(),
        ["PATCH secrets/team-access-1", "PATCH configmaps/team-jwks", "PATCH services/team"]
    );
}

#[tokio::test]
async fn an_object_of_somebody_else_is_left_alone() {
    for owners in [
        json!([]),
        json!([{"apiVersion": "v1", "kind": "Release", "name": "other", "uid": "1", "controller": true}]),
    ] {
        let server = Server::default();
        let prepared = fixtures::resources("providers");
        let theirs = json!({"apiVersion": "v1", "kind": "Service", "metadata": {"name": "team", "ownerReferences": owners}});
        server.objects.lock().unwrap().insert("/api/v1/namespaces/ai/services/team".into(), theirs.clone());

        let error = apply(&server, &prepared).await.unwrap_err();

        assert!(matches!(error, Error::Conflict { .. }), "{error}");
        assert!(error.to_string().starts_with("Service team is there already"), "{error}");
        assert_eq!(server.objects.lock().unwrap()["/api/v1/namespaces/ai/services/team"], theirs);
    }
}

#[tokio::test]
async fn generated_keys_are_never_written_over() {
    let server = Server::default();
    let prepared = fixtures::resources("providers");
    apply(&server, &prepared).await.unwrap();
    let client = server.client();

    // Another leader that has not seen the Secrets yet and drew keys of its own.
    let other = fixtures::resources("providers");
    let mut applier = Applier::new(&client, "ai", UID);
    let error = applier.apply(other, &Observed::default(), &BTreeSet::new()).await.unwrap_err();

    assert!(error.to_string().starts_with("failed to create Secret"), "{error}");
    server.take_calls();
    assert_eq!(apply(&server, &prepared).await.unwrap(), 0);
}

#[tokio::test]
async fn what_is_no_longer_wanted_goes_and_what_is_not_ours_stays() {
    let server = Server::default();
    apply(&server, &fixtures::resources("providers")).await.unwrap();
    server.roll_out();
    server.take_calls();
    let theirs = json!({"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "theirs", "labels": {"vibectl.dev/proxy": "team"}}});
    server.objects.lock().unwrap().insert("/api/v1/namespaces/ai/secrets/theirs".into(), theirs);
    let mut smaller = fixtures::resources("providers");
    smaller.generated.retain(|secret| secret.name_any() == "team-fleet");
    smaller.ca_bundle = None;
    smaller.disruption_budget = None;

    apply(&server, &smaller).await.unwrap();

    assert_eq!(
        server.take_calls(),
        ["DELETE poddisruptionbudgets/team", "DELETE secrets/team-ca-key", "DELETE configmaps/team-ca"]
    );
}

#[tokio::test]
async fn the_config_of_an_older_template_goes_with_its_pods() {
    let server = Server::default();
    apply(&server, &fixtures::resources("providers")).await.unwrap();
    let mut newer = fixtures::resources("providers");
    let old = newer.config.name_any();
    newer.generated.clone_from(&fixtures::resources("providers").generated);
    newer.config.metadata.name = Some("team-config-new".into());
    let client = server.client();
    let observed = |server: &Server| {
        let mut observed = server.observed();
        observed.secrets.retain(|name, _| !name.ends_with("-ca-key"));
        observed
    };
    newer.generated.retain(|secret| secret.name_any() == "team-fleet");

    let mut rolling = Applier::new(&client, "ai", UID);
    rolling.apply(newer.clone(), &observed(&server), &BTreeSet::new()).await.unwrap();
    server.roll_out();
    let mut leaving = Applier::new(&client, "ai", UID);
    leaving.apply(newer.clone(), &observed(&server), &BTreeSet::from([old.clone()])).await.unwrap();
    assert!(server.observed().config_maps.contains_key(&old));
    let mut gone = Applier::new(&client, "ai", UID);
    gone.apply(newer, &observed(&server), &BTreeSet::new()).await.unwrap();

    assert!(!server.observed().config_maps.contains_key(&old));
}
