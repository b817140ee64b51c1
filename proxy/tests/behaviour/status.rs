//! `status`: one look at a server, and an exit code that tells whether somebody has to see to it.

use std::{
    fs,
    io::{Read as _, Write as _},
};

use serde_json::Value;

use crate::support::{Ended, Server, free_port, run};

const SECRET: &str = "a-secret-of-more-than-32-characters-for-tests";

fn report(ended: &Ended) -> Value {
    serde_json::from_str(&ended.out).expect("JSON")
}

fn problems(report: &Value) -> Vec<&str> {
    report["problems"].as_array().expect("a list").iter().filter_map(Value::as_str).collect()
}

#[test]
fn a_running_server_is_told_with_its_traffic_its_providers_and_its_certificates() {
    let config = format!("jwt: {{enabled: true, secret_key: {SECRET}}}\n");
    let server = Server::insecure(&config);
    run(server.folder.path(), &["generate-certs"]);
    for _ in 0..3 {
        server.get("/v1/models");
    }

    let admin = format!("127.0.0.1:{}", server.admin);
    let arguments = ["status", "--config", "config.yaml", "--admin", &admin];
    let (text, json) = (
        run(server.folder.path(), &arguments),
        run(server.folder.path(), &[&arguments[..], &["-o", "json"]].concat()),
    );

    assert_eq!((text.code, json.code), (Some(0), Some(0)), "{} {}", text.err, text.out);
    let report = report(&json);
    assert_eq!(report["server"]["state"], "ready");
    assert!(report["server"]["traffic"]["refused_credentials"].as_u64() >= Some(3), "{report}");
    assert_eq!(report["server"]["traffic"]["open_streams"], 0);
    assert_eq!(report["providers"][0]["reachable"], true);
    assert_eq!(report["certificates"][0]["purpose"], "self-signed");
    assert!(report["certificates"][0]["days_left"].as_i64() > Some(300), "{report}");
    let pin = report["certificates"][0]["public_key_pin"].as_str().expect("a pin");
    assert!(pin.len() == 44 && text.out.contains(pin), "{}", text.out);
    assert!(!text.out.contains(SECRET) && !json.out.contains(SECRET));
    let asked = run(server.folder.path(), &[&arguments[..], &["--include-secrets"]].concat());
    assert!(asked.out.contains(SECRET), "{}", asked.out);
}

#[test]
fn what_cannot_be_reached_or_is_not_good_is_a_problem_and_the_exit_code_tells() {
    let folder = tempfile::tempdir().expect("a folder");
    let (admin, provider) = (free_port(), free_port());
    let config = format!(
        "admin: {{enabled: true, host: 127.0.0.1, port: {admin}}}\n\
         tls: {{cert_file: gone.crt, key_file: gone.key}}\n\
         jwt: {{secret_key: short}}\n\
         providers: [{{name: local, openai: {{base_url: \"http://127.0.0.1:{provider}/v1\"}}}}]\n\
         models: [{{name: small, routes: [{{provider: local, model: m}}]}}]\n"
    );
    fs::write(folder.path().join("c.yaml"), config).expect("a config");
    let place = folder.path().join(".config/vibectl/server");
    fs::create_dir_all(&place).expect("a folder");
    fs::write(place.join("revoked.jsonl"), "damaged\n").expect("a list");

    let ended = run(folder.path(), &["status", "--config", "c.yaml", "-o", "json"]);

    assert_eq!(ended.code, Some(1), "{}", ended.err);
    let report = report(&ended);
    assert_eq!(report["server"]["state"], "not_reached");
    let problems = problems(&report);
    assert_eq!(problems.len(), 5, "{problems:#?}");
    for part in [
        "the server does not answer",
        "gone.crt: ",
        "less than 32 bytes",
        "revoked.jsonl: line 1",
        "provider local: ",
    ] {
        assert!(problems.iter().any(|problem| problem.contains(part)), "{part}: {problems:#?}");
    }
}

#[test]
fn a_model_that_is_left_out_for_its_failures_is_a_problem() {
    let config = "server: {default_model: m}\n\
                  providers: [{name: bad, echo: {error: {code: 500}}}]\n\
                  models: [{name: m, routes: [{provider: bad, model: broken}]}]\n";
    let server = Server::insecure(config);
    let body = r#"{"messages":[{"role":"user","content":"hi"}]}"#;
    let head = format!("POST /v1/chat/completions HTTP/1.1\r\nHost: a\r\nContent-Length: {}\r\n", body.len());
    for _ in 0..5 {
        let mut stream = server.connect();
        write!(stream, "{head}Connection: close\r\n\r\n{body}").expect("sent");
        let mut answer = String::new();
        stream.read_to_string(&mut answer).expect("an answer");
        assert!(answer.starts_with("HTTP/1.1 503 "), "{answer}");
    }

    let admin = format!("127.0.0.1:{}", server.admin);
    let ended =
        run(server.folder.path(), &["status", "--config", "config.yaml", "--admin", &admin, "-o", "json"]);

    let report = report(&ended);
    assert_eq!((ended.code, problems(&report).len()), (Some(1), 1), "{report}");
    assert!(problems(&report)[0].starts_with("provider bad: its model broken fails too often"), "{report}");
    assert_eq!(report["server"]["traffic"]["ejected"][0]["provider"], "bad");
}

#[test]
fn a_server_without_an_admin_port_is_said_to_be_unknown_and_that_is_no_problem() {
    let folder = tempfile::tempdir().expect("a folder");
    fs::write(folder.path().join("c.yaml"), format!("admin: {{port: {}}}\n", free_port())).expect("a config");

    let ended = run(folder.path(), &["status", "--config", "c.yaml"]);

    assert_eq!(ended.code, Some(0), "{}", ended.out);
    assert!(ended.out.contains("whether it runs is not known"), "{}", ended.out);
}

#[test]
fn signing_keys_are_told_with_where_they_are_in_their_life() {
    let folder = tempfile::tempdir().expect("a folder");
    fs::write(
        folder.path().join("c.yaml"),
        format!("jwt: {{algorithm: EdDSA}}\nadmin: {{port: {}}}\n", free_port()),
    )
    .expect("a config");

    let without = run(folder.path(), &["status", "--config", "c.yaml"]);
    run(folder.path(), &["token", "rotate-key", "--config", "c.yaml"]);
    let with = run(folder.path(), &["status", "--config", "c.yaml"]);

    assert_eq!((without.code, with.code), (Some(1), Some(0)), "{}", with.err);
    assert!(with.out.contains("(EdDSA): signs since "), "{}", with.out);
}

#[test]
fn shells_are_told_every_command_and_exit_codes_are_in_the_help() {
    let folder = tempfile::tempdir().expect("a folder");

    for shell in ["bash", "zsh", "fish"] {
        let script = run(folder.path(), &["completions", shell]);
        assert_eq!(script.code, Some(0), "{}", script.err);
        for word in ["rotate-key", "generate-secret", "serve-insecure"] {
            assert!(script.out.contains(word), "{shell}: {word}");
        }
    }
    assert!(run(folder.path(), &["--help"]).out.contains("Exit codes:"));
}
