//! The port of HTTP-01 is open to the world.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::Duration;

use super::pebble::Pebble;
use super::process::PATIENCE;
use super::server::{NAME, Setup, http_get};

#[test]
fn h09_only_the_path_of_a_pending_token_answers() {
    let pebble = Pebble::start();
    let setup = Setup::new(&pebble);
    let server = setup.start();
    server.wait_until_ready();
    let answers = setup.record("history").expect("state").parent().expect("a folder").join("answers/http-01");
    std::fs::create_dir_all(&answers).expect("made");
    std::fs::write(answers.join("pending"), "pending.thumb").expect("written");

    let status = |path: &str| {
        let answer = http_get(pebble.http_port, path, NAME).unwrap_or_default();
        answer.split(' ').nth(1).unwrap_or_default().to_owned()
    };

    assert!(
        http_get(pebble.http_port, "/.well-known/acme-challenge/pending", NAME)
            .is_some_and(|it| it.ends_with("pending.thumb"))
    );
    for path in [
        "/",
        "/health",
        "/.well-known/acme-challenge/",
        "/.well-known/acme-challenge/other",
        "/.well-known/acme-challenge/..%2f..%2fhistory.json",
        "/.well-known/acme-challenge/pending/x",
        "/v1/models",
        "/metrics",
    ] {
        assert_eq!(status(path), "404", "{path}");
    }
}

#[test]
fn h09_with_strict_transport_security_others_are_sent_to_https_on_our_own_names() {
    let pebble = Pebble::start();
    let mut setup = Setup::new(&pebble);
    setup.config += "tls: {hsts: {enabled: true}}\n";
    let server = setup.start();
    server.wait_until_ready();

    let ours = http_get(pebble.http_port, "/x?y=1", NAME).expect("an answer");
    let theirs = http_get(pebble.http_port, "/x", "evil.example").expect("an answer");

    assert!(ours.starts_with("HTTP/1.1 308"), "{ours}");
    assert!(ours.contains(&format!("location: https://{NAME}:{}/x?y=1", server.port)), "{ours}");
    assert!(theirs.starts_with("HTTP/1.1 404"), "{theirs}");
}

#[test]
fn h09_a_hundred_thousand_requests_leave_it_as_it_was() {
    let pebble = Pebble::start();
    let setup = Setup::new(&pebble);
    let server = setup.start();
    server.wait_until_ready();

    for _ in 0..100 {
        let mut stream = TcpStream::connect(("127.0.0.1", pebble.http_port)).expect("open");
        stream.set_read_timeout(Some(PATIENCE)).expect("a timeout");
        let request = format!("GET /.well-known/acme-challenge/other HTTP/1.1\r\nHost: {NAME}\r\n\r\n");
        let last = request.replace("\r\n\r\n", "\r\nConnection: close\r\n\r\n");
        let requests = request.repeat(999) + &last;
        let mut answers = stream.try_clone().expect("cloned");
        let reader = std::thread::spawn(move || {
            let mut all = Vec::new();
            answers.read_to_end(&mut all).expect("answers");
            all.windows(12).filter(|it| it == b"HTTP/1.1 404").count()
        });
        stream.write_all(requests.as_bytes()).expect("sent");
        assert_eq!(reader.join().expect("no panic"), 1000);
    }

    assert!(server.is_ready());
}

#[test]
fn h09_a_peer_that_sends_half_a_request_is_gone_after_a_while() {
    let pebble = Pebble::start();
    let setup = Setup::new(&pebble);
    let server = setup.start();
    server.wait_until_ready();
    let mut stream = TcpStream::connect(("127.0.0.1", pebble.http_port)).expect("open");
    stream.set_read_timeout(Some(PATIENCE + Duration::from_secs(10))).expect("a timeout");

    stream.write_all(b"GET / HTTP/1.1\r\nHost: ").expect("sent");
    let mut rest = Vec::new();
    let ended = stream.read_to_end(&mut rest);

    assert!(ended.is_ok(), "{ended:?}");
}
