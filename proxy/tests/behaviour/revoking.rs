//! Tokens of a server that runs alone are taken back while it runs.

use std::fs;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;

use crate::support::{Server, run};

const CONFIG: &str =
    "server: {host: 127.0.0.1}\njwt: {secret_key: a-secret-of-more-than-32-characters-for-tests}\n";

/// A server that asks for tokens.
fn server() -> Server {
    Server::start(&["serve-insecure", "--require-auth"], CONFIG)
}

/// A token in a file of its own.
fn token(server: &Server, subject: &str) -> (PathBuf, String) {
    let path = server.folder.path().join(format!("{}.jwt", uuid::Uuid::new_v4()));
    let file = path.to_str().expect("text");
    let made =
        run(server.folder.path(), &["generate-token", subject, "--config", "config.yaml", "--output", file]);
    assert_eq!(made.code, Some(0), "{}", made.err);
    let token = fs::read_to_string(&path).expect("a token");
    (path, token)
}

fn status(server: &Server, token: &str) -> u16 {
    server.get_with("/v1/models", &format!("Authorization: Bearer {token}\r\n")).0
}

/// Runs `token COMMAND` with the server's config.
#[track_caller]
fn command(server: &Server, arguments: &[&str]) -> String {
    let ended = run(server.folder.path(), &[&["token"], arguments, &["--config", "config.yaml"]].concat());
    assert_eq!(ended.code, Some(0), "{arguments:?}: {}", ended.err);
    ended.out
}

#[test]
fn a_revoked_token_is_refused_by_a_running_server_and_the_others_are_not() {
    let server = server();
    let (file, lost) = token(&server, "alice");
    let (_, kept) = token(&server, "alice");
    assert_eq!((status(&server, &lost), status(&server, &kept)), (200, 200));

    let said = command(&server, &["revoke", file.to_str().expect("text")]);
    server.wait_for("the refusal", |server| status(server, &lost) == 401);

    assert!(said.starts_with("revoked token") && !said.contains(&lost), "{said}");
    assert_eq!(status(&server, &kept), 200);
    let list = server.folder.path().join(".config/vibectl/server/revoked.jsonl");
    assert_eq!(fs::metadata(&list).expect("a list").permissions().mode() & 0o777, 0o600);
    assert!(!fs::read_to_string(list).expect("a list").contains(&lost), "the list holds no token");
    server.wait_for("a line of the log", |server| server.log().contains("\"cause\":\"revoked\""));
    let revoked = server.metric("vibectl_auth_total{result=\"revoked\"}");
    assert!(revoked >= 1);
}

#[test]
fn what_a_subject_was_given_so_far_is_refused_and_what_it_is_given_next_is_not() {
    let server = server();
    let (_, old) = token(&server, "alice");
    let (_, other) = token(&server, "bob");

    command(&server, &["revoke", "--subject", "alice"]);
    server.wait_for("the refusal", |server| status(server, &old) == 401);
    let (_, new) = token(&server, "alice");

    assert_eq!((status(&server, &new), status(&server, &other)), (200, 200));
    assert!(command(&server, &["list"]).contains("alice"));

    command(&server, &["unrevoke", "--subject", "alice"]);
    server.wait_for("the way back", |server| status(server, &old) == 200);
}

#[test]
fn a_damaged_list_leaves_the_last_good_one_and_keeps_a_new_server_from_starting() {
    let mut server = server();
    let (file, lost) = token(&server, "alice");
    command(&server, &["revoke", file.to_str().expect("text")]);
    server.wait_for("the refusal", |server| status(server, &lost) == 401);

    let list = server.folder.path().join(".config/vibectl/server/revoked.jsonl");
    fs::write(&list, "{\"jti\":").expect("written");
    server.wait_for("the rejection", |server| server.metric("vibectl_part_rejected{part=\"access\"}") == 1);

    assert_eq!(status(&server, &lost), 401);
    server.logs("revoked.jsonl: line 1 is not an entry");
    server.terminate();
    server.wait(crate::support::PATIENCE);
    let again = run(server.folder.path(), &["serve-insecure", "--require-auth", "--config", "config.yaml"]);
    assert_eq!(again.code, Some(64), "{}", again.err);
    assert!(again.err.contains("revoked.jsonl: line 1"), "{}", again.err);
}

#[test]
fn commands_about_revocation_name_what_is_missing_and_tell_what_they_did() {
    let server = server();
    let (file, _) = token(&server, "alice");
    let file = file.to_str().expect("text");

    let nothing = run(server.folder.path(), &["token", "revoke"]);
    let absent = run(server.folder.path(), &["token", "unrevoke", "--jti", "1", "--config", "config.yaml"]);
    let moment =
        run(server.folder.path(), &["token", "revoke", "--jti", "1", "--before", "2026-01-01T00:00:00Z"]);

    assert_eq!((nothing.code, absent.code, moment.code), (Some(64), Some(1), Some(64)));
    assert!(absent.err.contains("there is no such entry"), "{}", absent.err);
    assert_eq!(command(&server, &["list"]), "nothing is revoked\n");
    command(&server, &["revoke", file]);
    assert!(command(&server, &["revoke", file]).contains("revoked already"));
    let listed = command(&server, &["list", "-o", "json"]);
    let listed: serde_json::Value = serde_json::from_str(&listed).expect("JSON");
    assert_eq!(listed[0]["subject"], "alice");
    assert!(command(&server, &["prune"]).starts_with("dropped 0 entries"));
}

#[test]
fn a_stream_ends_when_its_token_is_revoked_and_another_ones_goes_on() {
    let slow = "providers: [{name: slow, echo: {chunk_size: 1, chunk_delay_ms: 50}}]\n\
                models: [{name: m, routes: [{provider: slow, model: m}]}]\n";
    let server = Server::start(&["serve-insecure", "--require-auth"], &format!("{CONFIG}{slow}"));
    let ((_, lost), (_, kept)) = (token(&server, "alice"), token(&server, "bob"));
    let (mut alice, mut bob) = (stream(&server, &lost), stream(&server, &kept));
    read_until(&mut alice, "data: ");
    read_until(&mut bob, "data: ");

    command(&server, &["revoke", "--subject", "alice"]);
    let mut rest = String::new();
    alice.read_to_string(&mut rest).expect("the end of the stream");

    assert!(rest.contains("token_revoked") && !rest.contains("[DONE]"), "{rest}");
    read_until(&mut bob, "data: ");
}

/// A streamed answer that takes much longer than any test.
fn stream(server: &Server, token: &str) -> BufReader<TcpStream> {
    let words = "word ".repeat(2000);
    let body = format!(
        "{{\"model\":\"m\",\"stream\":true,\"messages\":[{{\"role\":\"user\",\"content\":\"{words}\"}}]}}"
    );
    let mut stream = server.connect();
    write!(
        stream,
        "POST /v1/chat/completions HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n\
         Authorization: Bearer {token}\r\nConnection: close\r\nContent-Length: {}\r\n\r\n{body}",
        body.len()
    )
    .expect("sent");
    BufReader::new(stream)
}

#[track_caller]
fn read_until(stream: &mut BufReader<TcpStream>, text: &str) {
    let mut line = String::new();
    while !line.contains(text) {
        line.clear();
        let read = stream.read_line(&mut line).expect("a line");
        assert!(read > 0, "the stream ended before {text:?}");
    }
}
