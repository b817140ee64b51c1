//! The fleet port over real sockets on the loopback address.

use std::net::{IpAddr, Ipv4Addr};

use serde_json::json;
use tokio::net::TcpListener;
use tokio_stream::wrappers::TcpListenerStream;
use tonic::{
    Request, Response, Status,
    transport::{Certificate, Identity, Server, ServerTlsConfig},
};
use vibectl_operator::{
    access::Lives,
    fleet::client::{FleetClient, FleetError},
    keys,
};
use vibectl_proto::fleet::v1::{
    RefuseRequest, RefuseResponse, ReportRequest, ReportResponse,
    fleet_server::{Fleet, FleetServer},
};

use super::world::{PROXY_UID, World};

struct Pod;

#[tonic::async_trait]
impl Fleet for Pod {
    async fn report(&self, _: Request<ReportRequest>) -> Result<Response<ReportResponse>, Status> {
        Ok(Response::new(ReportResponse { instance_id: "i1".into(), ..ReportResponse::default() }))
    }

    async fn refuse(&self, _: Request<RefuseRequest>) -> Result<Response<RefuseResponse>, Status> {
        Ok(Response::new(RefuseResponse {}))
    }
}

/// A pod with the fleet identity that the operator made for the LlmProxy of `world`; gives its port.
async fn pod(world: &World) -> u16 {
    let tls = server_tls(world).await;
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let server = Server::builder().tls_config(tls).unwrap().add_service(FleetServer::new(Pod));
    tokio::spawn(server.serve_with_incoming(TcpListenerStream::new(listener)));
    port
}

/// The identity that the operator made for the fleet port of the LlmProxy.
pub(crate) async fn server_tls(world: &World) -> ServerTlsConfig {
    let keys = keys::for_proxy(&world.context(), &world.proxy_object(), &Lives::default()).await.unwrap();
    let text = |key: &str| String::from_utf8(keys.fleet.data[key].0.clone()).unwrap();
    ServerTlsConfig::new()
        .identity(Identity::from_pem(text("tls.crt"), text("tls.key")))
        .client_ca_root(Certificate::from_pem(text("ca.crt")))
}

async fn client(world: &World, port: u16) -> FleetClient {
    let authority = keys::fleet_ca::ensure(&world.context()).await.unwrap();
    FleetClient::new(&authority.identity).unwrap().with_port(port)
}

const LOOPBACK: IpAddr = IpAddr::V4(Ipv4Addr::LOCALHOST);

pub(crate) fn install_provider() {
    _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
}

#[tokio::test]
async fn a_pod_answers_the_operator() {
    install_provider();
    let world = World::new();
    let port = pod(&world).await;

    let report = client(&world, port).await.report(PROXY_UID, LOOPBACK).await.unwrap();

    assert_eq!(report.instance_id, "i1");
}

#[tokio::test]
async fn a_pod_of_another_proxy_at_the_same_address_is_not_believed() {
    install_provider();
    let world = World::new();
    let port = pod(&world).await;

    let answer = client(&world, port).await.report("22222222-2222-2222-2222-222222222222", LOOPBACK).await;

    assert!(matches!(answer, Err(FleetError::Connect(_))), "{answer:?}");
}

#[tokio::test]
async fn a_pod_refuses_whoever_is_not_its_operator() {
    install_provider();
    let (world, stranger) = (World::new(), World::new());
    let port = pod(&world).await;

    let answer = client(&stranger, port).await.report(PROXY_UID, LOOPBACK).await;

    assert!(answer.is_err());
}

#[tokio::test]
async fn a_port_where_nobody_listens_is_an_error_in_time() {
    install_provider();
    let world = World::new();
    world.token("ai", "alice", json!({}));

    let answer = client(&world, 1).await.report(PROXY_UID, LOOPBACK).await;

    assert!(matches!(answer, Err(FleetError::Connect(_))), "{answer:?}");
}
