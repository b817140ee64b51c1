//! The released client, `vibectl` 0.11.6, as a user runs it, with a fake `kubectl`.
//!
//! It is installed once under `${VIBECTL_CACHE:-~/.cache/vibectl}`. Where there is neither Python nor a network,
//! `VIBECTL_SKIP_REAL_CLIENT=1` leaves these tests out.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use crate::support::python::{environment, must};
use crate::support::{Server, run};

const RELEASE: &str = "vibectl==0.11.6";
const KUBECTL: &str = "#!/bin/sh\nprintf 'NAME    READY   STATUS\\nweb-1   1/1     Running\\n'\n";
const SECRET: &str = "a-secret-of-more-than-32-characters-for-tests";

/// The client's program; `None` when these tests are left out.
fn installed() -> Option<PathBuf> {
    let left_out = std::env::var_os("VIBECTL_SKIP_REAL_CLIENT").is_some();
    (!left_out).then(|| environment("venv-vibectl-0.11.6", RELEASE).join("vibectl"))
}

/// A user with a home of their own.
struct User {
    home: tempfile::TempDir,
    client: PathBuf,
}

impl User {
    fn new() -> Option<Self> {
        let (client, home) = (installed()?, tempfile::tempdir().expect("a home"));
        let kubectl = home.path().join("bin/kubectl");
        fs::create_dir(home.path().join("bin")).expect("a folder");
        fs::write(&kubectl, KUBECTL).expect("a program");
        fs::set_permissions(&kubectl, fs::Permissions::from_mode(0o755)).expect("executable");
        Some(Self { home, client })
    }

    /// Output and errors together, as at a terminal.
    fn vibectl(&self, arguments: &[&str]) -> (bool, String) {
        let path = format!("{}:/usr/bin:/bin", self.home.path().join("bin").display());
        let mut command = Command::new(&self.client);
        command.env_clear().env("HOME", self.home.path()).env("PATH", path).env("COLUMNS", "200");
        let Output { status, stdout, stderr } = command.args(arguments).output().expect("the client runs");
        let text = format!("{}{}", String::from_utf8_lossy(&stdout), String::from_utf8_lossy(&stderr));
        (status.success(), text)
    }

    /// A file with what the original's own command makes.
    fn original_token(&self) -> PathBuf {
        let token = self.home.path().join("original.jwt");
        let path = format!("{}:/usr/bin:/bin", self.home.path().join("bin").display());
        must(
            Command::new(self.client.with_file_name("vibectl-server"))
                .env_clear()
                .envs([("HOME", text(self.home.path())), ("PATH", &path), ("VIBECTL_JWT_SECRET", SECRET)])
                .args(["generate-token", "dev-user", "--expires-in", "30d", "--output", text(&token)]),
        );
        token
    }

    #[track_caller]
    fn succeeds(&self, arguments: &[&str], with: &str) {
        let (success, text) = self.vibectl(arguments);
        assert!(success && text.contains(with), "{arguments:?}: {text}");
    }
}

fn text(path: &Path) -> &str {
    path.to_str().expect("text")
}

#[test]
fn the_released_client_configures_tests_summarises_and_plans_over_plaintext() {
    let Some(user) = User::new() else { return };
    let server = Server::insecure("");
    let address = format!("vibectl-server-insecure://127.0.0.1:{}", server.port);

    user.succeeds(&["setup-proxy", "configure", "local", &address], "Connection test successful!");
    user.succeeds(&["setup-proxy", "test"], "0.11.6");
    user.succeeds(&["--model", "echo", "get", "pods", "--show-vibe"], "web-1");
    user.succeeds(&["--mode", "auto", "--model", "echo", "vibe", "list pods"], "Consulting echo for a plan");

    assert!(server.metric("vibectl_requests_total{method=\"StreamExecute\",code=\"OK\"}") >= 1);
    assert!(server.metric("vibectl_requests_total{method=\"Execute\",code=\"OK\"}") >= 1);
    server.logs("\"code\":\"OK\"");
    let lines = server.log();
    assert!(!lines.contains("web-1"), "no prompt in the log: {lines}");
}

#[test]
fn the_released_client_trusts_a_private_ca_and_shows_its_token() {
    let Some(user) = User::new() else { return };
    let folder = tempfile::tempdir().expect("a folder");
    let config = format!("server: {{host: 127.0.0.1}}\njwt: {{secret_key: {SECRET}}}\n");
    fs::write(folder.path().join("config.yaml"), &config).expect("a config");
    let of_folder = |name: &str| folder.path().join(name);
    let (ca, token) = (of_folder("ca"), of_folder("token.jwt"));
    let made = run(folder.path(), &["ca", "init", "--ca-dir", text(&ca)]);
    assert_eq!(made.code, Some(0), "{}", made.err);
    let arguments = ["generate-token", "dev-user", "--config", "config.yaml", "--output", text(&token)];
    let made = run(folder.path(), &arguments);
    assert_eq!(made.code, Some(0), "{}", made.err);
    let bundle = ca.join("ca-bundle.crt");
    let server = Server::start_in(folder, &["serve-ca", "--ca-dir", text(&ca)], &config);
    server.wait_for("ready", |server| server.admin_get("/readyz").is_some_and(|answer| answer.0 == 200));

    let address = format!("vibectl-server://localhost:{}", server.port);
    let with = |token: &Path| {
        let arguments = ["setup-proxy", "configure", "tls", &address, "--jwt-path", text(token)];
        user.vibectl(&[&arguments[..], &["--ca-bundle", text(&bundle)]].concat())
    };
    let (success, said) = with(&token);
    assert!(success && said.contains("Connection test successful!"), "{said}");
    user.succeeds(&["setup-proxy", "test"], "0.11.6");
    server.logs("\"subject\":\"dev-user\"");

    let forged = server.folder.path().join("forged.jwt");
    fs::write(&forged, "eyJhbGciOiJub25lIn0.eyJzdWIiOiJkZXYtdXNlciJ9.").expect("a file");
    let (success, said) = with(&forged);
    assert!(!success, "{said}");
}

#[test]
fn a06_a08_a_token_of_the_originals_own_generate_token_is_accepted_with_the_same_secret() {
    let Some(user) = User::new() else { return };
    let token = user.original_token();
    let with_secret = |secret: &str| {
        let config = format!("server: {{host: 127.0.0.1}}\njwt: {{enabled: true, secret_key: {secret}}}\n");
        Server::insecure(&config)
    };
    let server = with_secret(SECRET);
    let address = format!("vibectl-server-insecure://127.0.0.1:{}", server.port);
    let arguments = ["setup-proxy", "configure", "alone", &address, "--jwt-path", text(&token)];

    user.succeeds(&arguments, "Connection test successful!");

    server.logs("\"subject\":\"dev-user\"");
    let other = with_secret("another-secret-of-more-than-32-characters");
    let bearer = format!("Authorization: Bearer {}\r\n", fs::read_to_string(&token).expect("a token").trim());
    assert_eq!(server.get_with("/v1/models", &bearer).0, 200);
    assert_eq!(other.get_with("/v1/models", &bearer).0, 401);
}

#[test]
fn a06_a08_a_server_that_changes_over_to_keys_takes_the_originals_tokens_until_the_day_that_it_is_told() {
    let Some(user) = User::new() else { return };
    let former = fs::read_to_string(user.original_token()).expect("a token");
    let with = |until: jiff::Timestamp| {
        let config = format!(
            "server: {{host: 127.0.0.1}}\njwt: {{algorithm: ES256, secret_key: {SECRET}, migration: {{until: {until}}}}}\n"
        );
        let folder = tempfile::tempdir().expect("a folder");
        fs::write(folder.path().join("config.yaml"), &config).expect("a config");
        let made = run(folder.path(), &["token", "rotate-key", "--config", "config.yaml"]);
        assert_eq!(made.code, Some(0), "{}", made.err);
        let server = Server::start_in(folder, &["serve-insecure", "--require-auth"], &config);
        server.wait_for("ready", |server| server.admin_get("/readyz").is_some_and(|answer| answer.0 == 200));
        server
    };
    let status = |server: &Server, token: &str| {
        server.get_with("/v1/models", &format!("Authorization: Bearer {}\r\n", token.trim())).0
    };
    let soon = jiff::Timestamp::from_second(jiff::Timestamp::now().as_second() + 8).expect("a time");
    let server = with(soon);

    let made = run(server.folder.path(), &["generate-token", "alice", "--config", "config.yaml"]);
    assert_eq!((status(&server, &former), status(&server, &made.out)), (200, 200), "{}", server.log());
    server.wait_for("the end", |server| status(server, &former) == 401);

    assert!(jiff::Timestamp::now() >= soon, "refused too early");
    assert_eq!(status(&server, &made.out), 200, "a token of the key is as good as before");
    let refused = "\"subject\":\"dev-user\",\"cause\":\"migration_ended\"";
    server.logs(refused);
    let told = run(server.folder.path(), &["status", "--config", "config.yaml"]);
    assert!(told.out.contains("jwt.migration.until is past"), "{} {}", told.out, told.err);
}
