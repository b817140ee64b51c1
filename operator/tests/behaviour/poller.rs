//! The poller against a pod that is slow to see a change, over real sockets on loopback addresses.

use std::{
    net::SocketAddr,
    sync::{Arc, Mutex},
    time::Duration,
};

use serde_json::json;
use tokio::{
    net::TcpListener,
    time::{sleep, timeout},
};
use tokio_stream::wrappers::TcpListenerStream;
use tokio_util::sync::CancellationToken;
use tonic::{Request, Response, Status, transport::Server};
use vibectl_operator::fleet::poller;
use vibectl_proto::fleet::v1::{
    PartInForce, RefuseRequest, RefuseResponse, ReportRequest, ReportResponse,
    fleet_server::{Fleet, FleetServer},
};

use super::{fleet, world::World};

const POD: &str = "/api/v1/namespaces/ai/pods/pod-1";

/// A pod that shows what it is told to show.
#[derive(Clone, Default)]
struct Slow(Arc<Mutex<String>>, Arc<Mutex<Vec<RefuseRequest>>>);

#[tonic::async_trait]
impl Fleet for Slow {
    async fn report(&self, _: Request<ReportRequest>) -> Result<Response<ReportResponse>, Status> {
        let revision = self.0.lock().unwrap().clone();
        let part = PartInForce { part: "access".into(), revision, rejected: String::new() };
        Ok(Response::new(ReportResponse {
            instance_id: "i".into(),
            parts: vec![part],
            ..ReportResponse::default()
        }))
    }

    async fn refuse(&self, request: Request<RefuseRequest>) -> Result<Response<RefuseResponse>, Status> {
        self.1.lock().unwrap().push(request.into_inner());
        Ok(Response::new(RefuseResponse {}))
    }
}

/// Serves on the fleet port of an address of its own, so that tests do not meet.
async fn serve(world: &World, pod: Slow, address: &str) {
    let listener = TcpListener::bind(SocketAddr::new(address.parse().unwrap(), 9443)).await.unwrap();
    let tls = fleet::server_tls(world).await;
    let server = Server::builder().tls_config(tls).unwrap().add_service(FleetServer::new(pod));
    tokio::spawn(server.serve_with_incoming(TcpListenerStream::new(listener)));
}

fn annotation(world: &World) -> Option<String> {
    let pod = world.api.get(POD)?;
    pod["metadata"]["annotations"]["vibectl.dev/revision"].as_str().map(str::to_owned)
}

async fn until(what: &str, mut happened: impl FnMut() -> bool) {
    let waiting = async {
        while !happened() {
            sleep(Duration::from_millis(20)).await;
        }
    };
    assert!(timeout(Duration::from_secs(10), waiting).await.is_ok(), "{what} did not happen");
}

#[tokio::test]
async fn a_pod_is_annotated_again_until_it_shows_the_revision_and_then_left_alone() {
    fleet::install_provider();
    let world = World::new();
    let pod = Slow::default();
    world.pod_at("pod-1", "127.83.7.1");
    world.token("ai", "alice", json!({}));
    let revision = world.serve().await;
    serve(&world, pod.clone(), "127.83.7.1").await;
    let stop = CancellationToken::new();
    let poller = tokio::spawn(poller::run(world.context(), stop.clone()));

    until("the first attempt", || annotation(&world).is_some_and(|value| value.ends_with(".1"))).await;
    until("the second attempt", || annotation(&world).is_some_and(|value| value.ends_with(".2"))).await;
    pod.0.lock().unwrap().clone_from(&revision);
    until("the acknowledgement", || world.acknowledged("pod-1")).await;

    world.api.take_writes();
    sleep(Duration::from_millis(2500)).await;
    assert_eq!(world.api.take_writes(), Vec::<String>::new());
    stop.cancel();
    poller.await.unwrap();
}

#[tokio::test]
async fn a_pod_that_is_not_ready_is_annotated_too_since_what_it_mounts_may_be_the_cause() {
    fleet::install_provider();
    let world = World::new();
    world.pod_that_is("pod-1", "127.83.7.4", "False");
    world.token("ai", "alice", json!({}));
    world.serve().await;
    serve(&world, Slow::default(), "127.83.7.4").await;
    let stop = CancellationToken::new();
    let poller = tokio::spawn(poller::run(world.context(), stop.clone()));

    until("the second attempt", || annotation(&world).is_some_and(|value| value.ends_with(".2"))).await;
    stop.cancel();
    poller.await.unwrap();
}

#[tokio::test]
async fn a_change_is_acknowledged_within_a_fraction_of_a_second() {
    fleet::install_provider();
    let world = World::new();
    let pod = Slow::default();
    world.pod_at("pod-1", "127.83.7.2");
    let first = world.serve().await;
    pod.0.lock().unwrap().clone_from(&first);
    serve(&world, pod.clone(), "127.83.7.2").await;
    let stop = CancellationToken::new();
    let poller = tokio::spawn(poller::run(world.context(), stop.clone()));
    until("the first acknowledgement", || world.acknowledged("pod-1")).await;
    // At rest now: the next visit by itself is more than ten seconds away.

    world.token("ai", "alice", json!({}));
    let second = world.serve().await;
    pod.0.lock().unwrap().clone_from(&second);
    let acknowledged = async {
        while !world.acknowledged("pod-1") {
            sleep(Duration::from_millis(5)).await;
        }
    };

    assert!(timeout(Duration::from_secs(1), acknowledged).await.is_ok());
    stop.cancel();
    poller.await.unwrap();
}

#[tokio::test]
async fn a16_a_pod_is_told_of_a_deleted_token_before_its_table_says_so() {
    fleet::install_provider();
    let world = World::new();
    let pod = Slow::default();
    world.pod_at("pod-1", "127.83.7.3");
    world.token("ai", "alice", json!({}));
    let first = world.serve().await;
    pod.0.lock().unwrap().clone_from(&first);
    serve(&world, pod.clone(), "127.83.7.3").await;
    let stop = CancellationToken::new();
    let poller = tokio::spawn(poller::run(world.context(), stop.clone()));
    until("the first acknowledgement", || world.acknowledged("pod-1")).await;

    world.api.remove("/apis/vibectl.dev/v1alpha1/namespaces/ai/proxytokens/alice");
    let second = world.serve().await;

    until("the refusal", || !pod.1.lock().unwrap().is_empty()).await;
    let told = pod.1.lock().unwrap().clone();
    assert_eq!(
        (told[0].revision.as_str(), told[0].tokens[0].token_uid.as_str()),
        (second.as_str(), "uid-of-alice")
    );
    assert_eq!(told.len(), 1, "once is enough");
    assert!(!world.acknowledged("pod-1"));
    stop.cancel();
    poller.await.unwrap();
}
