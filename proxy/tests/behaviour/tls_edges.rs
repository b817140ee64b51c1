//! Peers that do odd things before or within the handshake.

use std::fs;
use std::io::{ErrorKind, Read, Write};
use std::net::TcpStream;
use std::time::Duration;

use tokio::runtime::Runtime;
use tonic::transport::{Certificate, ClientTlsConfig, Endpoint};
use vibectl_pki::Usage;
use vibectl_proto::llm_proxy::vibectl_llm_proxy_client::VibectlLlmProxyClient as Client;
use vibectl_proto::llm_proxy::{ExecuteRequest, stream_chunk::ChunkType};

use crate::support::frames::PREFACE;
use crate::support::tls::{DAY, ca, client, leaf, session};
use crate::support::{PATIENCE, Server};

const HANDSHAKE: u8 = 22;
const SERVER_HELLO: u8 = 2;
const LONGEST_RECORD: usize = 16 * 1024;

/// The `ClientHello` of a session, without its record header.
fn hello(session: &mut rustls::ClientConnection) -> Vec<u8> {
    let mut record = Vec::new();
    session.write_tls(&mut record).expect("memory");
    assert_eq!(record[0], HANDSHAKE);
    record[5..].to_vec()
}

/// The same with more extensions in front of its own, in as many records as it takes.
fn with_extensions(hello: &[u8], extensions: &[u8]) -> Vec<u8> {
    let be = |at: usize| usize::from(hello[at]) << 8 | usize::from(hello[at + 1]);
    let session_id = 4 + 2 + 32;
    let suites = session_id + 1 + usize::from(hello[session_id]);
    let compression = suites + 2 + be(suites);
    let own = compression + 1 + usize::from(hello[compression]);
    let length = be(own) + extensions.len();
    let mut message = hello[..own].to_vec();
    message.extend(u16::try_from(length).expect("fits").to_be_bytes());
    message.extend(extensions);
    message.extend(&hello[own + 2..]);
    let body = u32::try_from(message.len() - 4).expect("fits").to_be_bytes();
    message[1..4].copy_from_slice(&body[1..]);
    records(&message)
}

fn records(message: &[u8]) -> Vec<u8> {
    let record = |part: &[u8]| {
        let length = u16::try_from(part.len()).expect("fits").to_be_bytes();
        [&[HANDSHAKE, 3, 1][..], &length, part].concat()
    };
    message.chunks(LONGEST_RECORD).flat_map(record).collect()
}

fn extension(kind: u16, length: usize) -> Vec<u8> {
    let length_bytes = u16::try_from(length).expect("fits").to_be_bytes();
    [&kind.to_be_bytes()[..], &length_bytes, &vec![0; length]].concat()
}

/// The first bytes that the server answers.
fn answer(mut stream: TcpStream) -> [u8; 6] {
    let mut answer = [0; 6];
    stream.read_exact(&mut answer).expect("an answer");
    answer
}

#[test]
fn b02_over_tls_http_2_is_spoken_only_where_it_was_agreed() {
    let ca = ca();
    let server = Server::with_pair(&leaf(&ca, Usage::Server, DAY), "");
    let first_byte = |alpn: &[&[u8]]| {
        let mut stream = server.handshake(&client(&ca, alpn, None)).expect("a handshake");
        stream.write_all(&[PREFACE, &[0, 0, 0, 4, 0, 0, 0, 0, 0]].concat()).expect("sent");
        let mut answer = [0; 9];
        stream.read_exact(&mut answer).map(|()| answer)
    };

    let settings = first_byte(&[b"h2"]).expect("frames");
    assert_eq!(settings[3], 4, "SETTINGS");
    for alpn in [&[][..], &[&b"http/1.1"[..]]] {
        match first_byte(alpn) {
            Ok(answer) => assert!(answer.starts_with(b"HTTP/1.1 "), "{answer:?}"),
            Err(error) => {
                assert!(matches!(error.kind(), ErrorKind::UnexpectedEof | ErrorKind::ConnectionReset));
            }
        }
    }
    let none = server.get_over_tls(&client(&ca, &[], None), None).expect("HTTP/1.1");
    let agreed = server.get_over_tls(&client(&ca, &[b"http/1.1"], None), None).expect("HTTP/1.1");
    assert_eq!((none, agreed), (200, 200));
    let error = server.handshake(&client(&ca, &[b"acme-tls/1"], None)).expect_err("no challenge is pending");
    assert!(error.to_string().contains("NoApplicationProtocol"), "{error}");
}

#[test]
fn b03_a_hello_in_single_bytes_padded_or_full_of_strange_extensions_is_answered() {
    let ca = ca();
    let server = Server::with_pair(&leaf(&ca, Usage::Server, DAY), "");
    let config = client(&ca, &[b"h2"], None);
    let hello = hello(&mut session(&config));
    let grease: Vec<u8> =
        (0..16_u16).flat_map(|high| extension(high << 12 | 0x0a00 | high << 4 | 0x0a, 1)).collect();
    let unknown: Vec<u8> = (0x7000..0x7000 + 1_000).flat_map(|kind| extension(kind, 4)).collect();

    for (what, extensions) in [
        ("plain", vec![]),
        ("GREASE", grease),
        ("1000 unknown", unknown),
        ("16 KiB", extension(21, LONGEST_RECORD)),
    ] {
        let mut stream = server.connect();
        stream.write_all(&with_extensions(&hello, &extensions)).expect("sent");
        let answer = answer(stream);
        assert_eq!((answer[0], answer[5]), (HANDSHAKE, SERVER_HELLO), "{what}: {answer:?}");
    }
    let mut stream = server.connect();
    stream.set_nodelay(true).expect("no delay");
    for byte in records(&hello) {
        stream.write_all(&[byte]).expect("sent");
    }
    assert_eq!(answer(stream)[5], SERVER_HELLO);

    assert_eq!(server.metric("vibectl_panics_total"), 0);
    assert_eq!(server.get_over_tls(&client(&ca, &[b"http/1.1"], None), None).expect("an answer"), 200);
}

#[test]
fn b03_a_hello_with_lengths_that_lie_ends_that_connection_and_no_other() {
    let ca = ca();
    let server = Server::with_pair(&leaf(&ca, Usage::Server, DAY), "");
    let hello = hello(&mut session(&client(&ca, &[b"h2"], None)));

    for at in (1..hello.len()).step_by(7) {
        let mut lie = hello.clone();
        lie[at] ^= 0xff;
        let mut stream = server.connect();
        stream.write_all(&records(&lie)).expect("sent");
        stream.shutdown(std::net::Shutdown::Write).expect("half closed");
        let mut answer = Vec::new();
        let _ = stream.read_to_end(&mut answer);
    }

    assert_eq!(server.metric("vibectl_panics_total"), 0);
    assert_eq!(server.get_over_tls(&client(&ca, &[b"http/1.1"], None), None).expect("an answer"), 200);
}

/// How many half-open handshakes this process and the server have files for.
fn half_open() -> usize {
    let limits = fs::read_to_string("/proc/self/limits").expect("limits");
    let line = limits.lines().find(|line| line.starts_with("Max open files")).expect("a limit");
    let files = line.split_whitespace().nth(3).and_then(|limit| limit.parse().ok()).unwrap_or(usize::MAX);
    5_000.min(files.saturating_sub(200))
}

#[test]
fn b04_thousands_of_half_open_handshakes_take_a_bounded_number_of_places_and_no_honest_peers_time() {
    let ca = ca();
    let server = Server::with_pair(&leaf(&ca, Usage::Server, DAY), "");
    let hello = records(&hello(&mut session(&client(&ca, &[b"h2"], None))));
    let attackers: Vec<_> = (0..half_open())
        .map(|_| {
            let mut stream = server.connect();
            let _ = stream.write_all(&hello);
            stream
        })
        .collect();

    let honest = server.get_over_tls(&client(&ca, &[b"http/1.1"], None), None).expect("an answer");

    assert_eq!(honest, 200);
    let newest = attackers.last().expect("some");
    newest.set_nonblocking(true).expect("non-blocking");
    let still_waiting = loop {
        match (&*newest).read(&mut [0; 4096]) {
            Ok(0) => break false,
            Ok(_) => {}
            Err(error) => break error.kind() == ErrorKind::WouldBlock,
        }
    };
    assert!(still_waiting, "the honest peer had to wait until the others were given up");
    let open = server.metric("vibectl_connections{port=\"service\"}");
    assert!(open <= 1024 + 64, "{open} places are taken");
    drop(attackers);
}

#[test]
fn b05_a_flood_of_handshakes_cuts_no_stream_and_refuses_none_of_them() {
    let ca = ca();
    let more = "providers: [{name: slow, echo: {chunk_size: 1, chunk_delay_ms: 20}}]\n\
                models: [{name: echo, routes: [{provider: slow, model: echo}]}]\n";
    let server = Server::with_pair(&leaf(&ca, Usage::Server, DAY), more);
    let tls =
        ClientTlsConfig::new().ca_certificate(Certificate::from_pem(ca.chain_pem())).domain_name("localhost");
    let endpoint = Endpoint::from_shared(format!("https://127.0.0.1:{}", server.port)).expect("an address");
    let endpoint = endpoint.timeout(PATIENCE).tls_config(tls).expect("TLS");

    let (text, complete) = std::thread::scope(|scope| {
        let flood: Vec<_> = (0..4)
            .map(|_| {
                scope.spawn(|| {
                    for _ in 0..150 {
                        // A configuration of its own has no ticket: each handshake is a full one.
                        server.handshake(&client(&ca, &[b"h2"], None)).expect("a handshake");
                    }
                })
            })
            .collect();
        let told = Runtime::new().expect("a runtime").block_on(async {
            let mut client = Client::new(endpoint.connect().await.expect("a connection"));
            let request =
                ExecuteRequest { user_fragments: vec!["x".repeat(100)], ..ExecuteRequest::default() };
            let mut stream = client.stream_execute(request).await.expect("accepted").into_inner();
            let (mut text, mut complete) = (0, false);
            while let Some(chunk) = stream.message().await.expect("not cut") {
                match chunk.chunk_type {
                    Some(ChunkType::TextChunk(piece)) => text += piece.len(),
                    Some(ChunkType::Complete(_)) => complete = true,
                    _ => {}
                }
            }
            (text, complete)
        });
        for flood in flood {
            flood.join().expect("every handshake");
        }
        told
    });

    assert!(text >= 100 && complete, "{text}");
}

#[test]
fn hsts_is_on_every_answer_over_tls_and_in_the_trailers_of_calls_and_streams() {
    let ca = ca();
    let server =
        Server::with_pair(&leaf(&ca, Usage::Server, DAY), "tls: {hsts: {enabled: true, max_age: 60}}\n");
    let tls =
        ClientTlsConfig::new().ca_certificate(Certificate::from_pem(ca.chain_pem())).domain_name("localhost");
    let endpoint = Endpoint::from_shared(format!("https://127.0.0.1:{}", server.port)).expect("an address");
    let endpoint = endpoint.timeout(Duration::from_secs(20)).tls_config(tls).expect("TLS");

    Runtime::new().expect("a runtime").block_on(async {
        let mut client = Client::new(endpoint.connect().await.expect("a connection"));
        let ask = || ExecuteRequest { user_fragments: vec!["x".to_owned()], ..ExecuteRequest::default() };
        let unary = client.execute(ask()).await.expect("answered");
        let mut stream = client.stream_execute(ask()).await.expect("accepted").into_inner();
        while stream.message().await.expect("a chunk").is_some() {}
        let trailers = stream.trailers().await.expect("an end").expect("trailers");

        for metadata in [unary.metadata(), &trailers] {
            let value = metadata.get("strict-transport-security").expect("the header");
            assert_eq!(value, "max-age=60; includeSubDomains");
        }
    });
}
