//! The process ends in bounded time, whatever its peers do.

use std::io::{Read, Write};
use std::time::Duration;

use tokio::runtime::Runtime;
use tonic::transport::Endpoint;
use vibectl_pki::Usage;
use vibectl_proto::llm_proxy::vibectl_llm_proxy_client::VibectlLlmProxyClient as Client;
use vibectl_proto::llm_proxy::{ExecuteRequest, stream_chunk::ChunkType};

use crate::support::frames::{DATA, Frame, GOAWAY, PREFACE, SETTINGS, handshake, read_until, send};
use crate::support::tls::{DAY, ca, client, leaf, session};
use crate::support::{PATIENCE, Server};

/// The grace period of these tests. A busy machine gets more before it counts as hanging.
const CONFIG: &str = "server: {shutdown_grace_seconds: 2}";
/// The promise is one second on top of it.
const PROMISED: Duration = Duration::from_secs(3);
/// A busy machine may miss it, but not each time.
const TRIES: usize = 3;
const LONGEST: Duration = Duration::from_secs(8);

#[test]
fn without_calls_the_end_is_immediate_and_the_exit_code_is_0() {
    let mut server = Server::insecure(CONFIG);

    server.terminate();
    let (status, took) = server.wait(LONGEST);

    assert!(status.success());
    assert!(took < Duration::from_secs(2), "{took:?}");
}

/// How many connections of the service port are open.
fn connections(server: &Server) -> i64 {
    server.metric("vibectl_connections{port=\"service\"}")
}

/// A server with a long grace period ends well before it, although a peer with this beginning is connected.
fn ends_early_beside(beginning: &[u8]) {
    let mut server = Server::insecure("server: {shutdown_grace_seconds: 60}");
    let mut peer = server.connect();
    peer.write_all(beginning).expect("sent");
    server.wait_for("the connection", |server| connections(server) == 1);

    server.terminate();

    assert!(server.wait(PATIENCE).0.success());
}

/// A server with a short grace period ends at its end, although a peer with this beginning has a request under way.
fn is_cut_beside(beginning: &[u8]) {
    let mut took = Vec::new();
    for _ in 0..TRIES {
        let mut server = Server::insecure(CONFIG);
        let mut peer = server.connect();
        peer.write_all(beginning).expect("sent");
        server.wait_for("the connection", |server| connections(server) == 1);

        server.terminate();
        let (status, time) = server.wait(LONGEST);

        assert!(status.success());
        assert!(time > Duration::from_secs(1), "it was given its time: {time:?}");
        if time <= PROMISED {
            return;
        }
        took.push(time);
    }
    assert!(took.is_empty(), "never within a second of the grace period: {took:?}");
}

#[test]
fn k03_a_peer_that_says_nothing_does_not_hold_up_the_end() {
    ends_early_beside(b"");
}

#[test]
fn k03_a_peer_with_half_a_preface_does_not_hold_up_the_end() {
    ends_early_beside(&PREFACE[..10]);
}

#[test]
fn k03_an_idle_peer_that_answers_nothing_does_not_hold_up_the_end() {
    // It gets a second to go away by itself, however long the grace period is.
    let settings = Frame::new(SETTINGS, 0, 0, &[]).bytes();
    ends_early_beside(&[PREFACE, &settings].concat());
}

#[test]
fn k03_a_handshake_that_stops_does_not_hold_up_the_end() {
    let ca = ca();
    let mut server = Server::with_pair(&leaf(&ca, Usage::Server, DAY), "");
    let mut hello = Vec::new();
    session(&client(&ca, &[b"h2"], None)).write_tls(&mut hello).expect("memory");
    let mut peer = server.connect();
    peer.write_all(&hello).expect("sent");
    server.wait_for("the connection", |server| connections(server) == 1);

    server.terminate();

    assert!(server.wait(PATIENCE).0.success(), "before the end of the grace period, which is 30 s");
}

#[test]
fn k03_an_open_stream_is_cut_at_the_end_of_the_grace_period() {
    // Watch, with its message: answered by one message, and by another whenever the health changes. END_STREAM is flag 1.
    let settings = Frame::new(SETTINGS, 0, 0, &[]).bytes();
    let watch = Frame::request(1, "/grpc.health.v1.Health/Watch", false).bytes();
    let message = Frame::new(DATA, 1, 1, &[0; 5]).bytes();
    is_cut_beside(&[PREFACE, &settings, &watch, &message].concat());
}

#[test]
fn k03_a_peer_that_reads_nothing_is_cut_at_the_end_of_the_grace_period() {
    // The answer has no window to be sent in: setting 4 is the initial one.
    let settings = Frame::new(SETTINGS, 0, 0, &[0, 4, 0, 0, 0, 0]).bytes();
    let request = Frame::request(1, "/no/such/path", true).bytes();
    is_cut_beside(&[PREFACE, &settings, &request].concat());
}

#[test]
fn k03_a_body_that_does_not_come_is_cut_at_the_end_of_the_grace_period() {
    is_cut_beside(
        b"POST /v1/chat/completions HTTP/1.1\r\nHost: a\r\nContent-Type: application/json\r\nContent-Length: 100\r\n\r\n{",
    );
}

#[test]
fn k02_a_stream_that_ends_within_the_grace_period_is_not_cut() {
    let mut server = Server::insecure(
        "server: {default_model: m, shutdown_grace_seconds: 60}\n\
         providers: [{name: slow, echo: {chunk_delay_ms: 100, chunk_size: 1}}]\n\
         models: [{name: m, routes: [{provider: slow, model: m}]}]\n",
    );

    let text = Runtime::new().expect("a runtime").block_on(async {
        let endpoint =
            Endpoint::from_shared(format!("http://127.0.0.1:{}", server.port)).expect("an address");
        let mut client = Client::new(endpoint.connect().await.expect("connected"));
        let ask =
            ExecuteRequest { user_fragments: vec!["0123456789".to_owned()], ..ExecuteRequest::default() };
        let mut stream = client.stream_execute(ask).await.expect("accepted").into_inner();
        let mut text = String::new();
        while let Some(chunk) = stream.message().await.expect("no error") {
            if text.is_empty() {
                server.terminate();
            }
            match chunk.chunk_type.expect("a chunk") {
                ChunkType::TextChunk(piece) => text.push_str(&piece),
                ChunkType::Error(error) => panic!("{error:?}"),
                ChunkType::Complete(_) | ChunkType::FinalMetrics(_) => {}
            }
        }
        text
    });

    assert!(text.ends_with("0123456789"), "{text}");
    assert!(server.wait(PATIENCE).0.success());
}

#[test]
fn k08_a_second_signal_cuts_what_still_runs() {
    let mut server = Server::insecure("server: {shutdown_grace_seconds: 600}");
    let mut peer = server.connect();
    handshake(&mut peer);
    send(&mut peer, &Frame::request(1, "/grpc.health.v1.Health/Check", false)).expect("sent");
    server.wait_for("the connection", |server| connections(server) == 1);

    server.terminate();
    server.logs("draining");
    server.signal("-INT");

    assert!(server.wait(PATIENCE).0.success());
}

#[test]
fn k08_a_hangup_changes_nothing() {
    let server = Server::insecure(CONFIG);

    server.signal("-HUP");
    server.logs("nothing to do on SIGHUP");

    assert_eq!(server.get("/still-here").0, 404);
}

#[test]
fn open_connections_are_told_to_go_away() {
    let mut server = Server::insecure(CONFIG);
    let mut peer = server.connect();
    handshake(&mut peer);

    server.terminate();

    let goaway = read_until(&mut peer, |frame| frame.kind == GOAWAY);
    assert_eq!(goaway.error_code(), 0);
    assert!(server.wait(LONGEST).0.success());
}

#[test]
fn what_never_ends_is_cut_at_the_end_of_the_grace_period() {
    let mut server = Server::insecure(CONFIG);
    let mut peer = server.connect();
    handshake(&mut peer);
    // A request that never sends its message.
    send(&mut peer, &Frame::request(1, "/grpc.health.v1.Health/Check", false)).expect("sent");
    server.wait_for("the connection", |server| connections(server) == 1);

    server.terminate();
    let (status, took) = server.wait(LONGEST);

    assert!(status.success());
    assert!(took > Duration::from_secs(1), "it was given its time: {took:?}");
    let mut rest = Vec::new();
    assert!(peer.read_to_end(&mut rest).is_ok() || !rest.is_empty(), "the connection is closed");
}

#[test]
fn readiness_is_withdrawn_before_the_end() {
    let mut server = Server::insecure(CONFIG);
    let mut peer = server.connect();
    handshake(&mut peer);
    send(&mut peer, &Frame::request(1, "/grpc.health.v1.Health/Check", false)).expect("sent");
    server.wait_for("the connection", |server| connections(server) == 1);

    server.terminate();

    server.wait_for("not ready", |server| {
        server.admin_get("/readyz").is_some_and(|(status, text)| status == 503 && text == "draining\n")
    });
    server.wait_for("nothing new to be accepted", |server| {
        std::net::TcpStream::connect(("127.0.0.1", server.port)).is_err()
    });
    assert!(server.wait(LONGEST).0.success());
}
