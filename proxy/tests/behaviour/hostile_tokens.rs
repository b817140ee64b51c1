//! Tokens that are made to be tripped over, against the whole server.

use std::io::{ErrorKind, Read, Write};
use std::net::TcpListener;

use aws_lc_rs::hmac;
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::{Value, json};

use crate::support::Server;

const SECRET: &str = "a-secret-of-more-than-32-characters-for-tests";

fn server() -> Server {
    Server::insecure(&format!("jwt: {{enabled: true, secret_key: {SECRET}}}\n"))
}

/// A token with this header, which the secret of the server signed.
fn token(header: &Value) -> String {
    let claims = json!({"sub": "dev", "iss": "vibectl-server", "exp": 4_000_000_000_i64, "jti": "1"});
    let input = format!(
        "{}.{}",
        URL_SAFE_NO_PAD.encode(header.to_string()),
        URL_SAFE_NO_PAD.encode(claims.to_string())
    );
    let key = hmac::Key::new(hmac::HMAC_SHA256, SECRET.as_bytes());
    format!("{input}.{}", URL_SAFE_NO_PAD.encode(hmac::sign(&key, input.as_bytes()).as_ref()))
}

fn status(server: &Server, token: &str) -> u16 {
    server.get_with("/v1/models", &format!("Authorization: Bearer {token}\r\n")).0
}

#[test]
fn a11_no_address_in_a_header_is_ever_asked() {
    let server = server();
    let bait = TcpListener::bind(("127.0.0.1", 0)).expect("a port");
    bait.set_nonblocking(true).expect("set");
    let url = format!("http://{}/keys.json", bait.local_addr().expect("an address"));
    assert_eq!(
        status(&server, &token(&json!({"alg": "HS256", "typ": "JWT"}))),
        200,
        "without bait it is good"
    );

    for bad in [
        json!({"alg": "HS256", "typ": "JWT", "jku": url}),
        json!({"alg": "HS256", "typ": "JWT", "x5u": url}),
        json!({"alg": "ES256", "typ": "at+jwt", "kid": url, "jku": url}),
        json!({"alg": "HS256", "typ": "JWT", "x5c": [url]}),
        json!({"alg": "HS256", "typ": "JWT", "jwk": {"kty": "oct", "k": "AAAA", "x5u": url}}),
    ] {
        assert_eq!(status(&server, &token(&bad)), 401, "{bad}");
    }

    assert_eq!(bait.accept().expect_err("nobody").kind(), ErrorKind::WouldBlock);
}

#[test]
fn a10_a_hostile_key_name_opens_no_file_and_writes_nothing_into_the_log() {
    let server = server();

    for kid in ["../../etc/passwd", "' OR 1=1", "\0", "\n{\"level\":\"ERROR\"}", "\u{1b}[2J"] {
        assert_eq!(
            status(&server, &token(&json!({"alg": "ES256", "typ": "at+jwt", "kid": kid}))),
            401,
            "{kid:?}"
        );
    }

    server.wait_for("a line for each", |server| server.log().matches("\"message\":\"request\"").count() >= 5);
    let log = server.log();
    for part in ["passwd", "OR 1=1", "\u{1b}", "\\u001b"] {
        assert!(!log.contains(part), "{part}: {log}");
    }
    let mut lines = log.lines().filter(|line| line.starts_with('{'));
    assert!(lines.all(|line| serde_json::from_str::<Value>(line).is_ok()), "{log}");
}

/// A head that the port does not take is 431, or the connection ends while it is still being sent.
#[track_caller]
fn assert_cut(server: &Server, lines: &str) {
    let mut stream = server.connect();
    let head = format!("GET /v1/models HTTP/1.1\r\nHost: localhost\r\n{lines}\r\n");
    let _ = stream.write_all(head.as_bytes());
    let mut answer = Vec::new();
    let _ = stream.read_to_end(&mut answer);
    let answer = String::from_utf8_lossy(&answer);
    assert!(answer.is_empty() || answer.starts_with("HTTP/1.1 431 "), "{answer}");
}

#[test]
fn a15_a_token_or_a_head_that_is_too_long_has_one_answer_and_the_next_caller_has_its_own() {
    let server = server();
    let good = token(&json!({"alg": "HS256", "typ": "JWT"}));
    let twice = |one: &str, other: &str| {
        server.get_with("/v1/models", &format!("Authorization: {one}\r\nAuthorization: {other}\r\n")).0
    };
    let bearer = format!("Bearer {good}");

    assert_eq!(status(&server, &"a".repeat(9000)), 401, "longer than any token");
    assert_cut(&server, &format!("Authorization: Bearer {}\r\n", "a".repeat(1024 * 1024)));
    assert_cut(&server, &format!("Authorization: Bearer {good}\r\n{}", "x-many: 1\r\n".repeat(10_000)));
    assert_eq!(
        (twice(&bearer, &bearer), twice(&bearer, "Bearer x"), twice("Bearer x", &bearer)),
        (200, 401, 401)
    );
    for scheme in ["bearer", "BEARER", "Bearer ", "Bearer\t", "Token"] {
        let sent = server.get_with("/v1/models", &format!("Authorization: {scheme} {good}\r\n")).0;
        assert_eq!(sent, 401, "{scheme:?}");
    }
    assert_eq!(status(&server, &good), 200);
}

#[test]
fn a19_a_wrong_a_revoked_and_an_ended_token_read_the_same() {
    let server = server();
    let good = token(&json!({"alg": "HS256", "typ": "JWT"}));
    let list = server.folder.path().join(".config/vibectl/server");
    std::fs::create_dir_all(&list).expect("a folder");
    std::fs::write(list.join("revoked.jsonl"), "{\"jti\":\"1\",\"at\":1}\n").expect("a list");
    server.wait_for("the refusal", |server| status(server, &good) == 401);
    let forged = format!("{}AAAA", &good[..good.len() - 4]);

    let answer = |token: &str| server.get_with("/v1/models", &format!("Authorization: Bearer {token}\r\n"));

    let revoked = answer(&good);
    for other in
        [forged.as_str(), "x", &token(&json!({"alg": "none", "typ": "JWT"})), &token(&json!({"kid": "x"}))]
    {
        assert_eq!(answer(other), revoked, "{other}");
    }
}
