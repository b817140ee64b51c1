use std::collections::BTreeMap;

use k8s_openapi::jiff::Timestamp;
use serde_json::{Value, json};

use super::{fixtures::server::Server, *};
use crate::{
    access::Departures,
    api::conditions::{ConditionType, find},
    context::{Settings, Triggers},
    events::Events,
    fleet::book::FleetBook,
    metrics::Metrics,
};

const PROXY: &str = "/apis/vibectl.dev/v1alpha1/namespaces/ai/llmproxies/team";

/// A cluster with one proxy in it.
fn cluster(fixture: &str) -> Server {
    let server = Server::default();
    let proxy = serde_json::to_value(fixtures::proxy(fixture)).unwrap();
    server.objects.lock().unwrap().insert(PROXY.to_owned(), proxy);
    server
}

fn proxy_in(server: &Server) -> LlmProxy {
    serde_json::from_value(server.objects.lock().unwrap()[PROXY].clone()).unwrap()
}

/// One reconcile by an operator that has just started and whose caches are complete.
async fn reconciled(server: &Server) -> Result<Done, Error> {
    let client = server.client();
    let context = Context {
        settings: Settings {
            operator_namespace: "vibectl-system".to_owned(),
            server_image: "vibectl-server:1".to_owned(),
            tls_switch_wait: Duration::from_secs(120),
            api_server: None,
            watch_namespaces: Vec::new(),
        },
        stores: server.stores(),
        fleet: Arc::new(FleetBook::default()),
        acme: Arc::default(),
        cluster_issuer: Arc::default(),
        departures: Departures::default(),
        events: Events::new(client.clone(), "test"),
        metrics: Arc::new(Metrics::default()),
        triggers: Triggers::default(),
        clock: Arc::new(|| Timestamp::from_second(1_800_000_000).unwrap()),
        client,
    };
    reconcile(Arc::new(proxy_in(server)), Arc::new(context)).await
}

async fn settled(fixture: &str) -> Server {
    let server = cluster(fixture);
    for _ in 0..6 {
        if reconciled(&server).await.is_ok_and(|done| done.outcome == Outcome::Unchanged) {
            break;
        }
    }
    server.take_calls();
    server
}

fn reason(server: &Server, kind: ConditionType) -> String {
    let status = proxy_in(server).status.unwrap_or_default();
    find(&status.conditions, kind).map(|condition| condition.reason.clone()).unwrap_or_default()
}

#[tokio::test]
async fn a_proxy_comes_to_rest_and_then_nothing_is_written() {
    let server = settled("minimal").await;

    let done = reconciled(&server).await.unwrap();

    assert_eq!(server.take_calls(), Vec::<String>::new());
    assert_eq!(done.outcome, Outcome::Unchanged);
    assert!(done.again.is_some(), "the CA and the keys have a next step");
    assert_eq!(reason(&server, ConditionType::Accepted), "Valid");
    assert_eq!(reason(&server, ConditionType::Ready), "NoReadyReplicas");
}

#[tokio::test]
async fn pods_that_answer_make_it_ready() {
    let server = settled("minimal").await;
    server.change("/deployments/team", |deployment| {
        deployment["status"] =
            json!({"replicas": 1, "updatedReplicas": 1, "availableReplicas": 1, "readyReplicas": 1});
    });

    reconciled(&server).await.unwrap();

    assert_eq!(reason(&server, ConditionType::Ready), "Serving");
    assert_eq!(proxy_in(&server).status.unwrap().endpoint.as_deref(), Some("https://team.ai.svc:50051"));
}

#[tokio::test]
async fn a_spec_that_only_its_author_can_mend_changes_nothing_that_runs() {
    let server = settled("minimal").await;
    server.change("/llmproxies/team", |proxy| {
        let issuer = json!({"name": "x", "issuer": "https://x", "audiences": ["a"], "jwks": "{\"keys\":[]}"});
        proxy["spec"]["access"] = json!({"issuers": [issuer]});
        proxy["metadata"]["generation"] = json!(2);
    });

    let done = reconciled(&server).await.unwrap();

    assert_eq!(
        server.take_calls().iter().filter(|call| !call.contains("events")).count(),
        1,
        "the status alone"
    );
    assert_eq!(done.again, None);
    assert_eq!(reason(&server, ConditionType::Accepted), "InvalidSpec");
    assert_eq!(proxy_in(&server).status.unwrap().observed_generation, Some(2));
}

#[tokio::test]
async fn a_service_of_somebody_else_is_told_and_left_alone() {
    let server = cluster("minimal");
    let theirs =
        json!({"apiVersion": "v1", "kind": "Service", "metadata": {"name": "team", "namespace": "ai"}});
    server.objects.lock().unwrap().insert("/api/v1/namespaces/ai/services/team".to_owned(), theirs.clone());

    let result = settled_error(&server).await;

    assert!(matches!(result, Err(Error::Conflict { .. })));
    assert_eq!(reason(&server, ConditionType::Accepted), "ObjectConflict");
    assert_eq!(server.objects.lock().unwrap()["/api/v1/namespaces/ai/services/team"], theirs);
}

/// Keys are made over a few rounds; what follows is the same in every round.
async fn settled_error(server: &Server) -> Result<Done, Error> {
    for _ in 0..4 {
        let _ = reconciled(server).await;
    }
    reconciled(server).await
}

#[tokio::test]
async fn no_secret_leaves_the_secrets() {
    let server = settled("providers").await;

    let objects: BTreeMap<String, Value> = server.objects.lock().unwrap().clone();

    for (path, object) in objects.iter().filter(|(path, _)| !path.contains("/secrets/")) {
        assert!(!object.to_string().contains("PRIVATE KEY"), "{path}");
    }
}

/// Puts the CA that a user supplies into the API server; no watch tells of it.
fn put_supplied_ca(server: &Server) {
    let (certificate, key, root) = fixtures::supplied_ca();
    let files = [("tls.crt", certificate), ("tls.key", key), ("ca.crt", root)];
    let data: BTreeMap<_, _> =
        files.map(|(name, content)| (name.to_owned(), k8s_openapi::ByteString(content.into_bytes()))).into();
    let secret = json!({
        "apiVersion": "v1", "kind": "Secret", "metadata": {"name": "team-ca-of-the-company", "namespace": "ai"},
        "data": data,
    });
    let path = "/api/v1/namespaces/ai/secrets/team-ca-of-the-company".to_owned();
    server.objects.lock().unwrap().insert(path, secret);
}

#[tokio::test]
async fn l09_a_changed_issuer_is_found_by_the_next_pass_although_no_watch_told_of_it() {
    let server = cluster("own_ca");
    put_supplied_ca(&server);
    for _ in 0..6 {
        let _ = reconciled(&server).await;
    }
    let prepared = |server: &Server| {
        let objects = server.objects.lock().unwrap();
        objects["/api/v1/namespaces/ai/secrets/team-ca-key"]["data"].get("next.crt").is_some()
    };
    assert!(!prepared(&server));

    put_supplied_ca(&server);
    reconciled(&server).await.unwrap();

    assert!(prepared(&server), "the roll-over has begun");
}
