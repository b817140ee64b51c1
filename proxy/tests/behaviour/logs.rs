//! What is logged and counted: one record for every call, nothing that is secret, nothing that somebody else has formed; and
//! a log that cannot be written holds up nobody.

use std::collections::BTreeSet;
use std::fs;
use std::io::{Read, Write};
use std::net::TcpStream;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::Value;

use crate::support::{PATIENCE, Server, run};

const SECRET: &str = "canary-of-the-shared-secret-of-32-characters";
const KEY: &str = "canary-provider-key";
const PROMPT: &str = "canary-prompt";
const MADE_UP: &str = "canary-made-up";

/// A server that asks for tokens, has a provider that is not there, and logs all it can.
fn guarded() -> (Server, String) {
    let folder = tempfile::tempdir().expect("a folder");
    fs::write(folder.path().join("key"), KEY).expect("written");
    let config = format!(
        "server: {{host: 127.0.0.1, log_level: debug, default_model: m}}\n\
         jwt: {{secret_key: {SECRET}}}\n\
         providers: [{{name: p, openai: {{base_url: 'http://127.0.0.1:1/v1', api_key_file: {}}}}}]\n\
         models: [{{name: m, routes: [{{provider: p, model: m}}]}}]\n",
        folder.path().join("key").display()
    );
    let server = Server::start_in(folder, &["serve-insecure", "--require-auth"], &config);
    server.wait_for("ready", |server| server.admin_get("/readyz").is_some_and(|answer| answer.0 == 200));
    let made = run(
        server.folder.path(),
        &["generate-token", "alice", "--config", "config.yaml", "--output", "alice.jwt"],
    );
    assert_eq!(made.code, Some(0), "{}", made.err);
    let token = fs::read_to_string(server.folder.path().join("alice.jwt")).expect("a token");
    (server, token.trim().to_owned())
}

/// Status of a request with this line of a request, these lines of a head and this body.
fn request(server: &Server, first: &str, lines: &str, body: &str) -> u16 {
    let mut stream = server.connect();
    let length = body.len();
    write!(
        stream,
        "{first} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\nContent-Type: application/json\r\n\
         Content-Length: {length}\r\n{lines}\r\n{body}"
    )
    .expect("sent");
    let mut answer = String::new();
    stream.read_to_string(&mut answer).expect("an answer");
    answer.split(' ').nth(1).and_then(|status| status.parse().ok()).expect("a status")
}

/// The lines of the log. A warning that is said at every level is for the person at the terminal and none of them.
fn lines_of(log: &str) -> impl Iterator<Item = &str> {
    log.lines().filter(|line| !line.starts_with("warning: "))
}

/// The records of requests so far, each a JSON object.
fn records(server: &Server) -> Vec<Value> {
    let log = server.log();
    let parsed = lines_of(&log).map(|line| serde_json::from_str::<Value>(line).expect(line));
    parsed.filter(|line| line["message"] == "request").collect()
}

const CHAT: &str = "POST /v1/chat/completions";

#[test]
fn m01_no_log_and_no_metric_shows_a_token_a_key_or_a_prompt() {
    let (server, token) = guarded();
    let authorized = format!("Authorization: Bearer {token}\r\n");
    let forged = format!("{}AAAA", &token[..token.len() - 4]);
    let said = format!(r#"{{"messages":[{{"role":"user","content":"{PROMPT}"}}]}}"#);
    let unknown = format!(r#"{{"model":"{MADE_UP}","messages":[{{"role":"user","content":"{PROMPT}"}}]}}"#);

    assert!(request(&server, CHAT, &authorized, &said) >= 500, "the provider is not there");
    assert_eq!(request(&server, CHAT, &authorized, &unknown), 404);
    assert_eq!(request(&server, CHAT, &authorized, &said[..said.len() - 3]), 400, "no JSON");
    assert_eq!(request(&server, CHAT, &format!("Authorization: Bearer {forged}\r\n"), &said), 401);
    assert_eq!(request(&server, CHAT, &format!("x-api-key: {MADE_UP}\r\n"), &said), 401);
    assert_eq!(request(&server, &format!("GET /{MADE_UP}?key={MADE_UP}"), &authorized, ""), 404);
    server.wait_for("all records", |server| records(server).len() == 6);

    let (log, (_, metrics)) = (server.log(), server.admin_get("/metrics").expect("metrics"));
    for canary in [SECRET, KEY, PROMPT, MADE_UP, &token, &forged, &token[token.len() - 20..]] {
        assert!(!log.contains(canary), "{canary}: {log}");
        assert!(!metrics.contains(canary), "{canary}: {metrics}");
    }
}

#[test]
fn m02_what_a_caller_forms_cannot_form_a_line_of_the_log() {
    let server = Server::insecure("server: {log_level: debug}");
    let hostile = r#"x\",\"admin\":true,\"x\":\"\u001b[2J\u0000\n\u202e{\"level\":\"ERROR\"}"#;
    let long = "x".repeat(1024 * 1024);

    for name in [hostile, long.as_str()] {
        let body = format!(r#"{{"model":"{name}","messages":[{{"role":"user","content":"{name}"}}]}}"#);
        assert_eq!(request(&server, CHAT, "", &body), 404);
    }
    let lines = "User-Agent: a\",\"admin\":true,\"b\":\"\r\nx-request-id: \",\"admin\":true}\r\n";
    assert_eq!(request(&server, "GET /%1b%0a\",\"admin\":true", lines, ""), 404);
    server.wait_for("all records", |server| records(server).len() == 3);

    for line in lines_of(&server.log()) {
        let parsed: Value = serde_json::from_str(line).expect("one JSON object a line");
        assert!(parsed.get("admin").is_none() && parsed["level"] != "ERROR", "{line}");
        assert!(line.len() < 2_000 && !line.contains(['\u{1b}', '\0', '\u{202e}']), "{line}");
    }
}

#[test]
fn m03_every_call_has_one_record_with_its_own_id_and_that_of_its_token() {
    let (server, token) = guarded();
    let claims = URL_SAFE_NO_PAD.decode(token.split('.').nth(1).expect("claims")).expect("base64");
    let claims: Value = serde_json::from_slice(&claims).expect("JSON");
    let good = format!("Authorization: Bearer {token}\r\n");

    for round in 0..10 {
        for (lines, path) in [(good.as_str(), "/v1/models"), ("", "/v1/models"), (good.as_str(), "/nowhere")]
        {
            let head = format!("{lines}x-request-id: round-{round}-{}-{path}\r\n", lines.len());
            request(&server, &format!("GET {path}"), &head, "");
        }
        request(&server, CHAT, &good, "{");
    }
    server.wait_for("all records", |server| records(server).len() >= 40);

    let records = records(&server);
    let ids: BTreeSet<_> =
        records.iter().map(|record| record["request_id"].as_str().expect("an id")).collect();
    assert_eq!((records.len(), ids.len()), (40, 40));
    let of_token = records.iter().filter(|record| record["token"] == claims["jti"]);
    assert_eq!(of_token.count(), 30, "all but those without a token");
    assert!(records.iter().filter(|record| record["code"] == "401").count() == 10);
}

#[test]
fn m04_a_log_that_nobody_reads_holds_up_no_call_and_no_end() {
    // A pipe that is open for reading and never read: what fits into it is some hundred lines.
    let mut server = Server::in_shell("mkfifo stuck; exec \"$0\" \"$@\" 2<>stuck", "");

    ask_many_times(&server, 2_000);
    server.terminate();

    assert!(server.wait(PATIENCE).0.success());
}

#[test]
fn k06_a_log_on_a_full_disk_is_counted_and_costs_no_call() {
    let mut server = Server::in_shell("exec \"$0\" \"$@\" 2>/dev/full", "");

    ask_many_times(&server, 100);

    server.wait_for("the count", |server| server.metric("vibectl_log_lines_dropped_total") >= 100);
    assert_eq!(server.metric("vibectl_panics_total"), 0);
    server.terminate();
    assert!(server.wait(PATIENCE).0.success());
}

/// Over one connection; each is answered.
fn ask_many_times(server: &Server, times: usize) {
    let mut stream = TcpStream::connect(("127.0.0.1", server.port)).expect("open");
    stream.set_read_timeout(Some(PATIENCE)).expect("a timeout");
    let mut answer = [0; 4096];
    for _ in 0..times {
        stream.write_all(b"GET /nowhere HTTP/1.1\r\nHost: a\r\n\r\n").expect("sent");
        let length = stream.read(&mut answer).expect("an answer");
        assert!(answer[..length].starts_with(b"HTTP/1.1 404"));
    }
}

#[test]
fn m05_what_callers_make_up_adds_no_series() {
    let server = Server::insecure("");
    let made_up = |round: usize| {
        for number in 0..50 {
            let body =
                format!(r#"{{"model":"m-{round}-{number}","messages":[{{"role":"user","content":"x"}}]}}"#);
            request(&server, CHAT, &format!("x-request-id: {round}-{number}\r\n"), &body);
            request(&server, &format!("GET /p/{round}/{number}"), "", "");
            request(&server, &format!("M{round}X{number} /v1/models"), "", "");
        }
        // The count of the last is there a moment after its answer.
        server.wait_for("all of them", |server| records(server).len() == 150 * (round + 1));
        server.admin_get("/metrics").expect("metrics").1.lines().count()
    };

    let (first, second) = (made_up(0), made_up(1));

    assert_eq!(first, second);
}
