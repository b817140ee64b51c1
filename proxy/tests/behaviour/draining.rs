//! The process ends in bounded time, whatever its peers do.

use std::io::Read;
use std::time::Duration;

use crate::support::Server;
use crate::support::frames::{Frame, GOAWAY, handshake, read_until, send};

/// The grace period of these tests. The promise is one second on top; a busy machine gets more before it counts as hanging.
const CONFIG: &str = "server: {shutdown_grace_seconds: 2}";
const LONGEST: Duration = Duration::from_secs(8);

#[test]
fn without_calls_the_end_is_immediate_and_the_exit_code_is_0() {
    let mut server = Server::insecure(CONFIG);

    server.terminate();
    let (status, took) = server.wait(LONGEST);

    assert!(status.success());
    assert!(took < Duration::from_secs(2), "{took:?}");
}

#[test]
fn silent_peers_do_not_hold_up_the_end() {
    // One that answers nothing gets a second to go away by itself, however long the grace period is.
    let mut server = Server::insecure("server: {shutdown_grace_seconds: 30}");
    let _silent = server.connect();
    let mut idle = server.connect();
    handshake(&mut idle);
    server.wait_for("both connections", |server| server.metric("vibectl_connections{port=\"service\"}") == 2);

    server.terminate();
    let (status, _) = server.wait(Duration::from_secs(15));

    assert!(status.success());
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
    server.wait_for("the connection", |server| server.metric("vibectl_connections{port=\"service\"}") == 1);

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
    server.wait_for("the connection", |server| server.metric("vibectl_connections{port=\"service\"}") == 1);

    server.terminate();

    server.wait_for("not ready", |server| {
        server.admin_get("/readyz").is_some_and(|(status, text)| status == 503 && text == "draining\n")
    });
    assert!(std::net::TcpStream::connect(("127.0.0.1", server.port)).is_err(), "nothing new is accepted");
    assert!(server.wait(LONGEST).0.success());
}
