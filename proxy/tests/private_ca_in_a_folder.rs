//! The `ca` commands, as a person uses them.

#![expect(clippy::expect_used, reason = "a test ends where its preparation fails")]

use std::{fs, os::unix::fs::PermissionsExt, path::Path, process::Command};

use serde_json::Value;

struct Said {
    code: Option<i32>,
    out: String,
    err: String,
}

fn ca(folder: &Path, arguments: &[&str]) -> Said {
    let output = Command::new(env!("CARGO_BIN_EXE_vibectl-server"))
        .arg("ca")
        .args(arguments)
        .env("VIBECTL_SERVER_CONFIG_DIR", folder)
        .output()
        .expect("it runs");
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    Said { code: output.status.code(), out: text(&output.stdout), err: text(&output.stderr) }
}

fn status(folder: &Path, name: &str) -> Value {
    let said = ca(folder, &["status", "-o", "json"]);
    let report: Value = serde_json::from_str(&said.out).expect("JSON");
    let entries = report["certificates"].as_array().expect("a list");
    entries.iter().find(|entry| entry["name"] == name).cloned().unwrap_or(Value::Null)
}

fn mode(path: &Path) -> u32 {
    fs::metadata(path).expect("there").permissions().mode() & 0o777
}

#[test]
fn init_and_create_server_cert_lay_files_where_they_were_always_looked_for() {
    let folder = tempfile::tempdir().expect("a folder");

    assert_eq!(ca(folder.path(), &["init"]).code, Some(0));
    assert_eq!(ca(folder.path(), &["create-server-cert", "localhost", "--san", "127.0.0.1"]).code, Some(0));

    let directory = folder.path().join("ca");
    for key in ["root/ca.key", "intermediate/ca.key", "server_certs/localhost/localhost.key"] {
        assert_eq!(mode(&directory.join(key)), 0o600, "{key}");
    }
    for private in ["", "root", "intermediate"] {
        assert_eq!(mode(&directory.join(private)), 0o700, "{private:?}");
    }
    let text = |path: &str| fs::read_to_string(directory.join(path)).expect("there");
    assert_eq!(text("ca-bundle.crt"), text("root/ca.crt") + &text("intermediate/ca.crt"));
    assert_eq!(text("server_certs/localhost/localhost.crt").matches("BEGIN CERTIFICATE").count(), 2);
    assert_eq!(fs::read_dir(&directory).expect("listed").count(), 4, "something was left over");
    assert_eq!(ca(folder.path(), &["status"]).code, Some(0));
}

#[test]
fn a_second_init_refuses_and_a_forced_one_makes_a_new_ca_and_keeps_the_old() {
    let folder = tempfile::tempdir().expect("a folder");
    ca(folder.path(), &["init"]);
    ca(folder.path(), &["create-server-cert", "localhost"]);
    let directory = folder.path().join("ca");
    let old = fs::read_to_string(directory.join("root/ca.key")).expect("a key");

    let refused = ca(folder.path(), &["init"]);
    assert_eq!(refused.code, Some(1));
    assert!(refused.err.contains("--force"), "{}", refused.err);
    assert_eq!(fs::read_to_string(directory.join("root/ca.key")).expect("a key"), old);

    let forced = ca(folder.path(), &["init", "--force"]);
    assert_eq!(forced.code, Some(0));
    assert_ne!(fs::read_to_string(directory.join("root/ca.key")).expect("a key"), old);
    let backup = fs::read_dir(&directory)
        .expect("listed")
        .map(|entry| entry.expect("entry").path())
        .find(|path| path.file_name().is_some_and(|name| name.to_string_lossy().starts_with("backup-")))
        .expect("a backup");
    assert!(forced.out.contains(&backup.display().to_string()));
    assert_eq!(fs::read_to_string(backup.join("root/ca.key")).expect("a key"), old);
    assert!(backup.join("server_certs/localhost/localhost.key").exists());
}

#[test]
fn a_server_certificate_is_replaced_only_by_force() {
    let folder = tempfile::tempdir().expect("a folder");
    ca(folder.path(), &["init"]);
    ca(folder.path(), &["create-server-cert", "localhost"]);
    let before = status(folder.path(), "localhost");

    assert_eq!(ca(folder.path(), &["create-server-cert", "localhost"]).code, Some(1));
    assert_eq!(status(folder.path(), "localhost"), before);

    assert_eq!(ca(folder.path(), &["create-server-cert", "localhost", "--force"]).code, Some(0));
    assert_ne!(status(folder.path(), "localhost")["fingerprint_sha256"], before["fingerprint_sha256"]);
}

#[test]
fn status_fails_for_what_is_missing_or_foreign_and_names_it() {
    let folder = tempfile::tempdir().expect("a folder");
    assert_eq!(ca(folder.path(), &["status"]).code, Some(1));
    ca(folder.path(), &["init"]);
    ca(folder.path(), &["create-server-cert", "localhost"]);
    let directory = folder.path().join("ca");

    // The root's key may be kept elsewhere.
    fs::remove_file(directory.join("root/ca.key")).expect("removed");
    assert_eq!(ca(folder.path(), &["status"]).code, Some(0));

    fs::remove_file(directory.join("server_certs/localhost/localhost.key")).expect("removed");
    assert_eq!(ca(folder.path(), &["status"]).code, Some(1));
    assert_eq!(status(folder.path(), "localhost")["status"], "Check Failed");

    let other = tempfile::tempdir().expect("a folder");
    ca(other.path(), &["init"]);
    fs::copy(other.path().join("ca/root/ca.crt"), directory.join("root/ca.crt")).expect("copied");
    assert_eq!(status(folder.path(), "intermediate")["problem"], "not issued by this CA");
    assert_eq!(status(folder.path(), "ca-bundle")["status"], "Check Failed");
}

#[test]
fn status_warns_ahead_without_failing() {
    let folder = tempfile::tempdir().expect("a folder");
    ca(folder.path(), &["init"]);
    ca(folder.path(), &["create-server-cert", "localhost", "--validity-days", "10"]);

    let table = ca(folder.path(), &["status", "--days", "30"]);

    assert_eq!(table.code, Some(0));
    assert!(table.out.contains("Expires Soon"), "{}", table.out);
    assert!(!ca(folder.path(), &["check-expiry", "--days", "5"]).out.contains("Expires Soon"));
}

#[test]
fn usage_errors_have_their_own_exit_code_and_leave_no_trace() {
    let folder = tempfile::tempdir().expect("a folder");

    for arguments in [
        &["init", "--country", "USA"][..],
        &["init", "--root-cn", ""],
        &["create-server-cert", "../escape"],
        &["create-server-cert", "localhost", "--validity-days", "0"],
        &["status", "--validity-days", "9"],
    ] {
        assert_eq!(ca(folder.path(), arguments).code, Some(64), "{arguments:?}");
    }
    assert_eq!(fs::read_dir(folder.path()).expect("listed").count(), 0);
}
