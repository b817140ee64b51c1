//! A server that runs alone with signing keys: public keys are all that it needs, and it follows them.

use std::fs;
use std::path::PathBuf;

use crate::support::{Server, run};

const CONFIG: &str = "server: {host: 127.0.0.1}\njwt: {algorithm: ES256}\n";

/// Keys, and a server that asks for tokens of them.
fn server() -> Server {
    server_with(CONFIG)
}

pub(crate) fn server_with(config: &str) -> Server {
    let folder = tempfile::tempdir().expect("a folder");
    fs::write(folder.path().join("config.yaml"), config).expect("a config");
    let made = run(folder.path(), &["token", "rotate-key", "--config", "config.yaml"]);
    assert_eq!(made.code, Some(0), "{}", made.err);
    let server = Server::start_in(folder, &["serve-insecure", "--require-auth"], config);
    server.wait_for("ready", |server| server.admin_get("/readyz").is_some_and(|answer| answer.0 == 200));
    server
}

#[track_caller]
pub(crate) fn command(server: &Server, arguments: &[&str]) -> String {
    let ended = run(server.folder.path(), &[arguments, &["--config", "config.yaml"]].concat());
    assert_eq!(ended.code, Some(0), "{arguments:?}: {}", ended.err);
    ended.out
}

pub(crate) fn token(server: &Server, subject: &str) -> String {
    command(server, &["generate-token", subject]).trim().to_owned()
}

pub(crate) fn status(server: &Server, token: &str) -> u16 {
    server.get_with("/v1/models", &format!("Authorization: Bearer {token}\r\n")).0
}

pub(crate) fn keys(server: &Server) -> PathBuf {
    server.folder.path().join(".config/vibectl/server/signing-keys")
}

/// The name of the key that signs, as the last rotation tells it.
fn signer(told: &str) -> String {
    let line = told.lines().find(|line| line.ends_with(") signs")).expect("a key that signs");
    line.split(' ').nth(1).expect("its name").to_owned()
}

#[test]
fn a_rotation_refuses_no_token_and_a_running_server_follows_it() {
    let server = server();
    let old = token(&server, "alice");
    assert_eq!(status(&server, &old), 200);

    let told = command(&server, &["token", "rotate-key", "--overlap", "1"]);
    let new = token(&server, "alice");

    assert_eq!((status(&server, &old), status(&server, &new)), (200, 200), "{told}");
    assert!(told.contains("signs no more; its tokens are good until"), "{told}");
    server.logs("\"subject\":\"alice\"");
}

#[test]
fn a_key_that_leaked_is_out_of_use_at_once_and_the_next_one_signs() {
    let server = server();
    let lost = token(&server, "alice");
    let kid = signer(&command(&server, &["token", "rotate-key", "--overlap", "1"]));
    let also_lost = token(&server, "alice");

    let told = command(&server, &["token", "rotate-key", "--revoke", &kid]);
    server.wait_for("the refusal", |server| status(server, &also_lost) == 401);
    let new = token(&server, "alice");

    server.wait_for("the new key", |server| status(server, &new) == 200);
    assert!(told.contains("is out of use") && signer(&told) != kid, "{told}");
    assert_eq!(status(&server, &lost), 200, "the other key's token is as good as before");
}

#[test]
fn a_server_with_public_keys_alone_takes_tokens_and_can_make_none() {
    let server = server();
    let token = token(&server, "alice");
    for file in fs::read_dir(keys(&server)).expect("keys").map(|file| file.expect("a file").path()) {
        if !file.ends_with("jwks.json") {
            fs::remove_file(file).expect("removed");
        }
    }

    let again = Server::start_in(
        tempfile::tempdir().expect("a folder"),
        &["serve-insecure", "--require-auth"],
        &format!(
            "server: {{host: 127.0.0.1}}\njwt: {{algorithm: ES256, signing_keys_dir: {}}}\n",
            keys(&server).display()
        ),
    );
    again.wait_for("ready", |server| server.admin_get("/readyz").is_some_and(|answer| answer.0 == 200));

    assert_eq!((status(&server, &token), status(&again, &token)), (200, 200));
    let made = run(server.folder.path(), &["generate-token", "bob", "--config", "config.yaml"]);
    assert_eq!(made.code, Some(1));
    assert!(made.err.contains("token rotate-key"), "{}", made.err);
}

#[test]
fn a22_without_keys_the_port_stays_shut_and_the_command_that_makes_one_is_named() {
    let folder = tempfile::tempdir().expect("a folder");
    fs::write(folder.path().join("config.yaml"), CONFIG).expect("a config");
    let arguments = ["serve-insecure", "--require-auth", "--config", "config.yaml"];

    let without = run(folder.path(), &arguments);
    let place = folder.path().join(".config/vibectl/server/signing-keys");
    fs::create_dir_all(&place).expect("a folder");
    fs::write(place.join("jwks.json"), "{\"keys\": [{}]}").expect("a file");
    let damaged = run(folder.path(), &arguments);

    assert_eq!((without.code, damaged.code), (Some(64), Some(64)), "{} {}", without.err, damaged.err);
    assert!(without.err.contains("token rotate-key"), "{}", without.err);
    assert!(damaged.err.contains("jwks.json"), "{}", damaged.err);
}

#[test]
fn a_secret_beside_signing_keys_is_a_contradiction() {
    let folder = tempfile::tempdir().expect("a folder");
    fs::write(folder.path().join("c.yaml"), "jwt: {algorithm: ES256, secret_key: hunter2}\n")
        .expect("a config");

    let ended = run(folder.path(), &["config", "validate", "c.yaml"]);

    assert_eq!(ended.code, Some(64));
    assert!(ended.err.contains("jwt.secret_key: excluded by jwt.algorithm"), "{}", ended.err);
}

#[test]
fn a_token_is_tested_as_a_call_would_be_and_never_shown_whole() {
    let server = server();
    let good = token(&server, "alice");
    let signature = good.rsplit('.').next().expect("a signature");
    let file = server.folder.path().join("alice.jwt");
    let test = |text: &str| {
        fs::write(&file, text).expect("a token");
        run(server.folder.path(), &["test-jwt", "alice.jwt", "--config", "config.yaml"])
    };

    let (accepted, forged) = (test(&good), test(&format!("{}AAAA", &good[..good.len() - 4])));
    let made = run(server.folder.path(), &["test-jwt", "--generate-token", "bob", "--config", "config.yaml"]);
    command(&server, &["token", "revoke", "--subject", "alice"]);
    let revoked = test(&good);
    let json = run(server.folder.path(), &["test-jwt", "alice.jwt", "-o", "json", "--config", "config.yaml"]);

    assert_eq!((accepted.code, made.code), (Some(0), Some(0)), "{} {}", accepted.err, made.err);
    assert!(accepted.out.starts_with("accepted, as \"alice\"") && accepted.out.contains("claim exp: "));
    assert_eq!((forged.code, revoked.code, json.code), (Some(1), Some(1), Some(1)));
    assert!(forged.err.contains("signature is wrong") && revoked.err.contains("revoked"), "{}", revoked.err);
    let json: serde_json::Value = serde_json::from_str(&json.out).expect("JSON");
    assert_eq!((&json["accepted"], &json["claims"]["sub"]), (&false.into(), &"alice".into()));
    for ended in [&accepted, &revoked] {
        assert!(!ended.out.contains(signature) && !ended.err.contains(signature));
    }
}

#[test]
fn l12_a_restored_server_takes_and_refuses_the_same_tokens() {
    let server = server();
    let (kept, lost) = (token(&server, "alice"), token(&server, "bob"));
    command(&server, &["token", "revoke", "--subject", "bob"]);
    let backup = server.folder.path().join("backup.tar.gz").display().to_string();
    let saved = run(server.folder.path(), &["ca", "backup", &backup]);
    assert_eq!(saved.code, Some(0), "{}", saved.err);

    let elsewhere = tempfile::tempdir().expect("a folder");
    let restored = run(elsewhere.path(), &["ca", "restore", &backup]);
    assert_eq!(restored.code, Some(0), "{}", restored.err);
    let again = Server::start_in(elsewhere, &["serve-insecure", "--require-auth"], CONFIG);
    again.wait_for("ready", |server| server.admin_get("/readyz").is_some_and(|answer| answer.0 == 200));

    assert_eq!((status(&again, &kept), status(&again, &lost)), (200, 401));
    let new = token(&again, "carol");
    assert_eq!((status(&again, &new), status(&server, &new)), (200, 200), "the same key signs there");
}
