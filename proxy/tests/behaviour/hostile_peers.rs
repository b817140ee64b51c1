//! Peers that are silent, greedy or broken cost a bounded amount and nobody else. The figures are those that a default
//! gRPC server fails: see docs/security.md.

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::thread;
use std::time::{Duration, Instant};

use tokio::runtime::Runtime;
use tonic::transport::Endpoint;
use vibectl_proto::llm_proxy::ExecuteRequest;
use vibectl_proto::llm_proxy::vibectl_llm_proxy_client::VibectlLlmProxyClient as Client;

use crate::support::frames::{ACK, DATA, Frame, GOAWAY, PING, PREFACE, handshake, read_until, send};
use crate::support::{PATIENCE, Server};

/// Time for the first bytes, and some for a busy machine.
const SILENCE: Duration = Duration::from_secs(10 + 5);

/// How long until the server closes the connection.
fn closed_after(mut stream: TcpStream) -> Duration {
    stream.set_read_timeout(Some(SILENCE)).expect("a timeout");
    let start = Instant::now();
    let mut rest = Vec::new();
    let end = stream.read_to_end(&mut rest);
    let took = start.elapsed();
    assert!(took < SILENCE, "still open: {end:?}");
    took
}

#[test]
fn c08_peers_that_never_finish_their_first_bytes_are_cut() {
    let server = Server::insecure("");
    let beginnings: [&[u8]; 4] = [b"", b"PRI * HTTP/2.0\r\n", PREFACE, b"GET / HTTP/1.1\r\nHost: a\r\n"];

    let waiting: Vec<_> = beginnings
        .into_iter()
        .map(|bytes| {
            let mut stream = server.connect();
            stream.write_all(bytes).expect("sent");
            thread::spawn(move || closed_after(stream))
        })
        .collect();

    for peer in waiting {
        peer.join().expect("closed in time");
    }
}

/// A provider that streams 200 MB to whoever asks, as fast as it is read, and counts what it got rid of.
fn generous_provider() -> (u16, Arc<AtomicU64>) {
    let listener = TcpListener::bind(("127.0.0.1", 0)).expect("a port");
    let (port, sent) = (listener.local_addr().expect("an address").port(), Arc::new(AtomicU64::new(0)));
    let counter = Arc::clone(&sent);
    thread::spawn(move || {
        for stream in listener.incoming().map_while(Result::ok) {
            let sent = Arc::clone(&counter);
            thread::spawn(move || pour(stream, &sent));
        }
    });
    (port, sent)
}

fn pour(mut stream: TcpStream, sent: &AtomicU64) {
    let _ = stream.read(&mut [0; 4096]);
    let _ =
        stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\nconnection: close\r\n\r\n");
    let text = "x".repeat(64 * 1024);
    let event = format!("data: {{\"choices\":[{{\"index\":0,\"delta\":{{\"content\":\"{text}\"}}}}]}}\n\n");
    for _ in 0..200 * 1024 / 64 {
        if stream.write_all(event.as_bytes()).is_err() {
            return;
        }
        sent.fetch_add(event.len() as u64, Relaxed);
    }
}

/// Waits until the number stands still for a second.
fn settled(sent: &AtomicU64) -> u64 {
    let start = Instant::now();
    let mut last = sent.load(Relaxed);
    loop {
        thread::sleep(Duration::from_secs(1));
        let now = sent.load(Relaxed);
        if now == last && now > 0 {
            return now;
        }
        assert!(start.elapsed() < PATIENCE, "{now} bytes and still going");
        last = now;
    }
}

#[test]
fn c10_callers_that_do_not_read_hold_their_providers_back_and_cost_less_than_2_mib_each() {
    const STREAMS: u64 = 10;
    let (provider, sent) = generous_provider();
    let server = Server::insecure(&format!(
        "server: {{default_model: m}}\n\
         providers: [{{name: p, openai: {{base_url: 'http://127.0.0.1:{provider}/v1'}}}}]\n\
         models: [{{name: m, routes: [{{provider: p, model: m}}]}}]\n"
    ));
    let before = server.resident_kib();

    let runtime = Runtime::new().expect("a runtime");
    let address = format!("http://127.0.0.1:{}", server.port);
    let endpoint = Endpoint::from_shared(address).expect("an address");
    let streams = runtime.block_on(async {
        let mut client = Client::new(endpoint.connect().await.expect("connected"));
        let mut streams = Vec::new();
        for _ in 0..STREAMS {
            let ask =
                ExecuteRequest { user_fragments: vec!["go on".to_owned()], ..ExecuteRequest::default() };
            streams.push(client.stream_execute(ask).await.expect("accepted"));
        }
        streams
    });
    let sent = settled(&sent);
    let grown = server.resident_kib().saturating_sub(before);

    // What the kernel keeps for a connection is up to 6 MiB on each side, and is not the server's.
    assert!(sent < STREAMS * 16 * 1024 * 1024, "{sent} bytes were taken from providers");
    assert!(grown < STREAMS * 2 * 1024, "{grown} KiB for {STREAMS} streams");
    drop(streams);
    server.wait_for("the end of all calls", |server| server.metric("vibectl_concurrent_in_flight") == 0);
}

#[test]
fn c15_running_out_of_files_is_survived_and_counted() {
    // Half of its files are places for connections, and these are fewer than that.
    let idle = Server::insecure("").open_files();
    let files = u32::try_from(idle).expect("few") + 4;
    let server = Server::with_files(files, "");

    // More than there are files for; the kernel completes the connections all the same.
    let held: Vec<_> = (0..files).map(|_| server.connect()).collect();
    server.logs("failed to accept a connection");
    drop(held);

    server.wait_for("an answer", |server| server.admin_get("/readyz").is_some_and(|answer| answer.0 == 200));
    assert_eq!(server.get("/still-here").0, 404);
    assert!(server.metric("vibectl_connections_refused_total{port=\"service\",stage=\"accept\"}") > 0);
}

#[test]
fn k07_with_256_files_silent_connections_do_not_keep_out_an_honest_one() {
    let server = Server::with_files(256, "");

    let _held: Vec<_> = (0..300).map(|_| server.connect()).collect();

    assert_eq!(server.get("/still-here").0, 404);
    assert!(server.open_files() < 256 - 64, "{} files: none left for providers", server.open_files());
}

#[test]
fn c09_an_idle_peer_that_does_not_answer_a_ping_is_cut() {
    let server =
        Server::insecure("server: {connections: {ping_interval_seconds: 1, ping_timeout_seconds: 1}}");
    let mut peer = server.connect();
    handshake(&mut peer);

    // It reads, and answers nothing.
    let ping = read_until(&mut peer, |frame| frame.kind == PING);
    assert_eq!(ping.flags & ACK, 0);

    closed_after(peer);
}

#[test]
fn c09_a_connection_that_is_old_is_asked_to_end_and_what_runs_on_it_may_finish() {
    let server = Server::insecure("server: {connections: {max_age_seconds: 10}}");
    let mut peer = server.connect();
    handshake(&mut peer);
    send(&mut peer, &Frame::request(1, "/grpc.health.v1.Health/Check", false)).expect("sent");

    let goaway = read_until(&mut peer, |frame| frame.kind == GOAWAY);
    assert_eq!(goaway.error_code(), 0);
    // The message of the request that was there before; END_STREAM is flag 1.
    send(&mut peer, &Frame::new(DATA, 1, 1, &[0; 5])).expect("sent");

    assert_eq!(read_until(&mut peer, |frame| frame.kind == DATA).stream, 1);
    closed_after(peer);
}

#[test]
fn c14_one_address_gets_its_share_of_connections_and_others_are_served() {
    let server = Server::insecure("server: {connections: {max_per_address: 5}}");
    let held: Vec<_> = (0..5).map(|_| server.connect()).collect();
    server.wait_for("five", |server| server.metric("vibectl_connections{port=\"service\"}") == 5);

    let mut refused = server.connect();
    assert!(matches!(refused.read(&mut [0; 1]), Ok(0) | Err(_)), "closed at once");
    let other = Runtime::new().expect("a runtime").block_on(async {
        let socket = tokio::net::TcpSocket::new_v4().expect("a socket");
        socket.bind("127.0.0.2:0".parse().expect("an address")).expect("loopback is a whole network");
        let stream = socket.connect(([127, 0, 0, 1], server.port).into()).await.expect("connected");
        stream.into_std().expect("a stream")
    });
    other.set_nonblocking(false).expect("blocking");
    let mut other = other;
    other.write_all(b"GET /still-here HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n").expect("sent");
    let mut answer = String::new();
    other.read_to_string(&mut answer).expect("an answer");

    assert!(answer.starts_with("HTTP/1.1 404"), "{answer}");
    assert_eq!(server.metric("vibectl_connections_refused_total{port=\"service\",stage=\"address\"}"), 1);
    drop(held);
    server.wait_for("room", |server| server.metric("vibectl_connections{port=\"service\"}") == 0);
    assert_eq!(server.get("/still-here").0, 404);
}
