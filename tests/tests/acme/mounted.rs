//! A server whose certificate somebody else orders: answers and certificate come as files, as in a pod.

use std::path::PathBuf;

use super::pebble::Pebble;
use super::process::{free_port, wait_for};
use super::server::{NAME, Server, Setup, handshake, http_get};

const ANSWER: &str =
    r#"{"kind": "KIND", "name": "a.example", "token": "pending", "key_authorization": "pending.thumb"}"#;

/// A server with this kind of challenge, and the folder of its files.
fn start(kind: &str) -> (Server, PathBuf, u16) {
    let http_port = free_port();
    let setup = Setup { port: free_port(), ..Setup::new(&Pebble::start()) };
    let folder = setup.home.path().join("mounted");
    std::fs::create_dir(&folder).expect("made");
    let path = folder.display();
    let config = format!(
        "acme: {{answers_file: {path}/answers.json, challenge: {{type: {kind}, http_host: 127.0.0.1, http_port: {http_port}}}}}\n\
         tls: {{cert_file: {path}/tls.crt, key_file: {path}/tls.key}}\n"
    );
    std::fs::write(folder.join("answers.json"), "[]").expect("written");
    let setup = Setup { config, ..setup };
    (setup.start_with(&["serve", "--no-require-auth"]), folder, http_port)
}

fn put_pair(folder: &std::path::Path) -> String {
    let pair = rcgen::generate_simple_self_signed([NAME.to_owned()]).expect("a pair");
    let key = folder.join("tls.key");
    super::process::private(&key, &pair.signing_key.serialize_pem());
    std::fs::write(folder.join("tls.crt"), pair.cert.pem()).expect("written");
    pair.cert.pem()
}

#[tokio::test]
async fn until_there_is_a_certificate_the_port_answers_challenges_alone_and_the_first_one_opens_it() {
    let (server, folder, _) = start("tls-alpn-01");
    server.wait_for_log("listening");
    let asked = |protocols: &str| handshake(server.port, NAME, protocols);
    assert!(!server.is_ready() && !asked("acme-tls/1").contains("acme challenge"));

    let answers = format!("[{}]", ANSWER.replace("KIND", "tls-alpn-01"));
    std::fs::write(folder.join("answers.json"), answers).expect("written");
    wait_for("the answer is given", || asked("acme-tls/1").contains("acme challenge"));
    assert!(!asked("h2").contains("BEGIN CERTIFICATE") && !server.is_ready());

    let root = put_pair(&folder);
    server.wait_until_ready();
    assert_eq!(server.call(NAME, &root).await.expect("an answer"), 200);
    std::fs::write(folder.join("answers.json"), "[]").expect("written");
    wait_for("the answer is gone", || !asked("acme-tls/1").contains("acme challenge"));
}

#[test]
fn h09_http_01_is_answered_from_the_file_and_a_bad_file_changes_nothing() {
    let (server, folder, http_port) = start("http-01");
    let asked = || http_get(http_port, "/.well-known/acme-challenge/pending", NAME).unwrap_or_default();
    wait_for("the port of the challenge is open", || asked().starts_with("HTTP/1.1 404"));

    std::fs::write(folder.join("answers.json"), format!("[{}]", ANSWER.replace("KIND", "http-01")))
        .expect("written");
    wait_for("the answer is given", || asked().ends_with("pending.thumb"));
    std::fs::write(folder.join("answers.json"), "[{]").expect("written");
    server.wait_for_log("refused new content");

    assert!(asked().ends_with("pending.thumb"));
}
