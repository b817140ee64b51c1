//! A server that runs alone and lets somebody in whom another issuer knows, by a key set in a file.

use std::fs;

use crate::support::{Server, run};
use vibectl_token::{Algorithm, SigningKey};

/// A server with one rule, for a caller with a limit of its own.
fn server(key: &SigningKey) -> Server {
    let folder = tempfile::tempdir().expect("a folder");
    let keys = folder.path().join("corp.json");
    publish(&keys, key);
    let config = format!(
        "server: {{host: 127.0.0.1, limits: {{per_token: {{ci: {{max_requests_per_minute: 1}}}}}}}}\n\
         jwt:\n  issuers:\n    - name: corp\n      issuer: https://login.example.org\n      audiences: [llm]\n      \
         jwks_file: {}\n      callers: [{{claim: repository, value: org/app, subject: ci}}]\n",
        keys.display()
    );
    fs::write(folder.path().join("config.yaml"), &config).expect("a config");
    let server = Server::start_in(folder, &["serve-insecure", "--require-auth"], &config);
    server.wait_for("ready", |server| server.admin_get("/readyz").is_some_and(|answer| answer.0 == 200));
    server
}

fn publish(path: &std::path::Path, key: &SigningKey) {
    let keys = serde_json::json!({"keys": [key.public_jwk()]});
    fs::write(path, keys.to_string()).expect("a file");
}

fn token(key: &SigningKey, repository: &str) -> String {
    let now = jiff::Timestamp::now().as_second();
    let claims = serde_json::json!({
        "iss": "https://login.example.org", "sub": "job-7", "aud": ["llm"], "exp": now + 600, "iat": now,
        "repository": repository,
    });
    let mut header = jsonwebtoken::Header::new(jsonwebtoken::Algorithm::ES256);
    header.kid = Some(key.kid().to_owned());
    let pem = key.to_pkcs8_pem().expect("a key");
    let signer = jsonwebtoken::EncodingKey::from_ec_pem(pem.as_bytes()).expect("a key");
    jsonwebtoken::encode(&header, &claims, &signer).expect("a token")
}

fn status(server: &Server, token: &str) -> u16 {
    server.get_with("/v1/models", &format!("Authorization: Bearer {token}\r\n")).0
}

#[test]
fn a_rule_of_the_config_lets_in_whom_another_issuer_knows_without_any_secret_of_ours() {
    let key = SigningKey::generate(Algorithm::Es256).expect("a key");
    let server = server(&key);
    let ours = token(&key, "org/app");

    assert_eq!((status(&server, &ours), status(&server, &token(&key, "org/other"))), (200, 401));
    server.logs("\"subject\":\"ci\"");
    let told = run(server.folder.path(), &["status", "--config", "config.yaml"]);
    assert!(told.out.contains("also tokens of corp (https://login.example.org)"), "{}", told.out);
    fs::write(server.folder.path().join("token.jwt"), &ours).expect("a file");
    let tested = run(server.folder.path(), &["test-jwt", "token.jwt", "--config", "config.yaml"]);
    assert!(
        tested.code == Some(0) && tested.out.starts_with("accepted, as \"ci\""),
        "{} {}",
        tested.out,
        tested.err
    );

    let next = SigningKey::generate(Algorithm::Es256).expect("a key");
    publish(&server.folder.path().join("corp.json"), &next);
    server.wait_for("the new key", |server| status(server, &token(&next, "org/app")) == 200);
    assert_eq!(status(&server, &ours), 401);
    let revoked = run(
        server.folder.path(),
        &[
            "token",
            "revoke",
            "--subject",
            "ci",
            "--before",
            "2100-01-01T00:00:00Z",
            "--config",
            "config.yaml",
        ],
    );
    assert_eq!(revoked.code, Some(0), "{}", revoked.err);
    server.wait_for("the refusal", |server| status(server, &token(&next, "org/app")) == 401);
}
