//! `init-config` and `config`: a person's own file, from nothing to served.

use std::fs;
use std::os::unix::fs::PermissionsExt;

use crate::support::{run, run_with};

const PLACE: &str = ".config/vibectl/server/config.yaml";

#[test]
fn a_new_config_is_private_valid_and_never_overwritten_without_being_told() {
    let home = tempfile::tempdir().expect("a home");

    let made = run(home.path(), &["init-config"]);
    let again = run(home.path(), &["init-config"]);
    let forced = run(home.path(), &["init-config", "--force"]);
    let valid = run(home.path(), &["config", "validate"]);

    assert_eq!((made.code, again.code, forced.code), (Some(0), Some(1), Some(0)), "{}", made.err);
    assert!(again.err.contains("--force"), "{}", again.err);
    let mode = fs::metadata(home.path().join(PLACE)).expect("the file").permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
    assert_eq!((valid.code, valid.err.as_str()), (Some(0), ""));
}

#[test]
fn a_value_is_set_only_if_the_file_stays_good() {
    let home = tempfile::tempdir().expect("a home");
    run(home.path(), &["init-config"]);

    let good = run(home.path(), &["config", "set", "server.port", "6000"]);
    let before = fs::read(home.path().join(PLACE)).expect("the file");
    let bad = run(home.path(), &["config", "set", "server.port", "70000"]);
    let unknown = run(home.path(), &["config", "set", "server.prot", "1"]);

    assert_eq!((good.code, bad.code, unknown.code), (Some(0), Some(64), Some(64)), "{}", good.err);
    assert!(unknown.err.contains("did you mean port"), "the nearest key: {}", unknown.err);
    assert_eq!(fs::read(home.path().join(PLACE)).expect("the file"), before);
    assert_eq!(run(home.path(), &["config", "show", "server.port"]).out, "6000\n");
}

#[test]
fn what_is_shown_hides_secrets() {
    let home = tempfile::tempdir().expect("a home");
    fs::write(home.path().join("c.yaml"), "jwt: {secret_key: not-for-your-eyes-0123456789abcdef}")
        .expect("written");

    let shown = run(home.path(), &["config", "show", "--config", "c.yaml"]);

    assert_eq!(shown.code, Some(0), "{}", shown.err);
    assert!(shown.out.contains("<hidden>") && !shown.out.contains("not-for-your"), "{}", shown.out);
}

#[test]
fn a_value_at_its_default_is_shown_and_one_that_does_not_exist_is_a_mistake() {
    let home = tempfile::tempdir().expect("a home");

    assert_eq!(run(home.path(), &["config", "show", "server.port"]).out, "50051\n");
    assert_eq!(run(home.path(), &["config", "get", "tls.min_version"]).out, "1.3\n");
    assert_eq!(run(home.path(), &["config", "show", "server.prot"]).code, Some(64));
    assert_eq!(run(home.path(), &["config", "get", "server"]).code, Some(64));
}

#[test]
fn every_value_tells_where_it_comes_from() {
    let home = tempfile::tempdir().expect("a home");
    fs::write(home.path().join("c.yaml"), "server:\n  port: 6000\n").expect("written");
    let variables = [("VIBECTL_SERVER_HOST", "127.0.0.7"), ("VIBECTL_SERVER_PROT", "1")];

    let ask = |arguments: &[&str]| {
        run_with(home.path(), &variables, &[arguments, &["--config", "c.yaml"]].concat())
    };
    let shown = ask(&["config", "show", "--section", "server", "--origin"]);
    let json = ask(&["config", "show", "--format", "json", "--origin"]);
    let told = ask(&["config", "precedence"]);

    assert!(shown.out.contains("port: 6000  # file, line 2\n"), "{}", shown.out);
    assert!(shown.out.contains("# environment, VIBECTL_SERVER_HOST\n"), "{}", shown.out);
    assert!(
        shown.err.contains("VIBECTL_SERVER_PROT: not read by the server; did you mean VIBECTL_SERVER_PORT?")
    );
    let json: serde_json::Value = serde_json::from_str(&json.out).expect("JSON");
    assert_eq!(json["server"]["host"]["origin"], "environment, VIBECTL_SERVER_HOST");
    assert_eq!(json["admin"]["port"]["origin"], "default");
    assert!(told.out.starts_with("flags > environment variables > file > defaults"), "{}", told.out);
    assert!(told.out.lines().any(|line| line.starts_with("server.port") && line.ends_with("file, line 2")));
}

#[test]
fn a_variable_that_cannot_be_used_is_named_and_keeps_the_server_from_starting() {
    let home = tempfile::tempdir().expect("a home");
    let variables = [("VIBECTL_SERVER_PORT", "70000"), ("VIBECTL_JWT_SECRET_KEY", "hunter2")];

    let served = run_with(home.path(), &variables, &["serve-insecure"]);
    fs::write(home.path().join("c.yaml"), "").expect("written");
    let validated = run_with(home.path(), &variables, &["config", "validate", "c.yaml"]);

    for ended in [served, validated] {
        assert_eq!(ended.code, Some(64), "{}", ended.err);
        assert!(
            ended.err.contains("environment variable VIBECTL_SERVER_PORT: server.port: expected"),
            "{}",
            ended.err
        );
        assert!(ended.err.contains("VIBECTL_JWT_SECRET_KEY: not read by anything; use VIBECTL_JWT_SECRET"));
        assert!(!ended.err.contains("hunter2"));
    }
}

#[test]
fn a_reset_keeps_the_old_file_beside_the_new_one() {
    let home = tempfile::tempdir().expect("a home");
    let config = home.path().join("c.yaml");
    fs::write(&config, "server: {port: 6000}\njwt: {secret_key: hunter2}\n").expect("written");

    let section = run(home.path(), &["config", "reset", "--section", "server", "--config", "c.yaml"]);
    let port = run(home.path(), &["config", "get", "server.port", "--config", "c.yaml"]);
    let issuer =
        run(home.path(), &["config", "get", "jwt.secret_key", "--include-secrets", "--config", "c.yaml"]);
    let all = run(home.path(), &["config", "reset", "--config", "c.yaml"]);

    assert_eq!((section.code, all.code), (Some(0), Some(0)), "{} {}", section.err, all.err);
    assert_eq!((port.out.as_str(), issuer.out.as_str()), ("50051\n", "hunter2\n"));
    let kept = home.path().join("c.yaml.bak");
    assert!(fs::read_to_string(&kept).expect("the old file").contains("hunter2"));
    assert_eq!(fs::metadata(kept).expect("the old file").permissions().mode() & 0o777, 0o600);
    assert_eq!(run(home.path(), &["config", "get", "jwt.secret_key", "--config", "c.yaml"]).out, "null\n");
}

#[test]
fn a_drawn_secret_is_long_private_and_never_written_over() {
    let home = tempfile::tempdir().expect("a home");

    let printed = run(home.path(), &["config", "generate-secret"]);
    let arguments = ["config", "generate-secret", "--output-file", "jwt.secret"];
    let (written, again) = (run(home.path(), &arguments), run(home.path(), &arguments));
    let token =
        run_with(home.path(), &[("VIBECTL_JWT_SECRET_FILE", "jwt.secret")], &["generate-token", "dev"]);

    assert_eq!(printed.out.trim_end().len(), 43, "32 bytes and nothing else: {}", printed.out);
    assert_eq!((written.code, again.code), (Some(0), Some(1)), "{}", written.err);
    let mode = fs::metadata(home.path().join("jwt.secret")).expect("a secret").permissions().mode();
    assert_eq!((mode & 0o777, token.code, token.err.as_str()), (0o600, Some(0), ""));
}
