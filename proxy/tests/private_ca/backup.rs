//! Saving and restoring what a server's identity and decisions rest on.

use std::fs;
use std::path::Path;

use serde_json::Value;

use crate::{ca, done, mode, openssl_accepts, refused, status};

fn write(path: &Path, text: &str) {
    fs::create_dir_all(path.parent().expect("a folder")).expect("made");
    fs::write(path, text).expect("written");
}

/// A server's config directory with one of everything.
fn server() -> tempfile::TempDir {
    let folder = tempfile::tempdir().expect("a folder");
    done(folder.path(), &["init"]);
    done(folder.path(), &["create-server-cert", "localhost"]);
    done(folder.path(), &["create-client-cert", "alice"]);
    done(folder.path(), &["revoke", "alice"]);
    write(&folder.path().join("signing-keys/ring.json"), "{}");
    write(&folder.path().join("revoked.jsonl"), "{\"jti\":\"1\"}\n");
    write(&folder.path().join("acme/account.json"), "{}");
    write(&folder.path().join("acme-certs/a.example.crt"), "certificate");
    folder
}

#[test]
fn l12_what_is_restored_elsewhere_vouches_for_and_refuses_the_same_certificates() {
    let (from, to) = (server(), tempfile::tempdir().expect("a folder"));
    let archive = from.path().join("backup.tar.gz");
    let file = archive.display().to_string();

    done(from.path(), &["backup", &file]);
    assert_eq!(mode(&archive), 0o600);
    done(to.path(), &["restore", &file]);

    let at = |name: &str| to.path().join(name);
    assert!(openssl_accepts(
        &at("ca/ca-bundle.crt"),
        &from.path().join("ca/server_certs/localhost/localhost.crt")
    ));
    let listed: Value = serde_json::from_str(&done(to.path(), &["list", "-o", "json"])).expect("JSON");
    assert_eq!(listed["certificates"][1]["state"], "revoked");
    assert_eq!(ca(to.path(), &["status"]).code, Some(0));
    for key in ["ca/root/ca.key", "ca/intermediate/ca.key", "ca/server_certs/localhost/localhost.key"] {
        assert_eq!(mode(&at(key)), 0o600, "{key}");
    }
    for part in ["signing-keys/ring.json", "revoked.jsonl", "acme/account.json", "acme-certs/a.example.crt"] {
        assert_eq!(fs::read(at(part)).expect(part), fs::read(from.path().join(part)).expect(part), "{part}");
    }
    assert!(
        fs::read_dir(to.path())
            .expect("listed")
            .all(|entry| { !entry.expect("an entry").file_name().to_string_lossy().starts_with('.') })
    );
}

#[test]
fn l12_nothing_is_overwritten_without_force_and_nothing_is_lost_with_it() {
    let (from, to) = (server(), server());
    let file = from.path().join("backup.tar.gz").display().to_string();
    done(from.path(), &["backup", &file]);
    let before = status(to.path(), "root")["fingerprint_sha256"].clone();

    refused(to.path(), &["restore", &file], "--force");
    assert_eq!(status(to.path(), "root")["fingerprint_sha256"], before);

    let said = done(to.path(), &["restore", &file, "--force"]);
    assert_eq!(
        status(to.path(), "root")["fingerprint_sha256"],
        status(from.path(), "root")["fingerprint_sha256"]
    );
    let aside = said.lines().find_map(|line| line.strip_prefix("What was there is in ")).expect("told");
    let aside = Path::new(aside.trim_end_matches('.'));
    assert!(aside.join("ca/root/ca.key").exists() && aside.join("revoked.jsonl").exists());
}

#[test]
fn l12_what_the_config_keeps_elsewhere_is_saved_from_there_and_restored_to_where_the_config_there_says() {
    let (from, to) = (server(), tempfile::tempdir().expect("a folder"));
    let config = |folder: &Path| {
        let elsewhere = folder.join("elsewhere");
        let text = format!(
            "jwt: {{revocation_file: '{0}/list.jsonl', signing_keys_dir: '{0}/keys'}}\n",
            elsewhere.display()
        );
        write(&folder.join("config.yaml"), &text);
        elsewhere
    };
    let (there, here) = (config(from.path()), config(to.path()));
    write(&there.join("list.jsonl"), "{\"jti\":\"7\"}\n");
    write(&there.join("keys/ring.json"), "[]");
    let file = from.path().join("backup.tar.gz").display().to_string();

    done(from.path(), &["backup", &file]);
    done(to.path(), &["restore", &file]);

    assert_eq!(fs::read_to_string(here.join("list.jsonl")).expect("restored"), "{\"jti\":\"7\"}\n");
    assert_eq!(fs::read_to_string(here.join("keys/ring.json")).expect("restored"), "[]");
    assert!(!to.path().join("revoked.jsonl").exists());
}

#[test]
fn an_archive_is_not_written_over_another_file_and_what_is_none_is_refused() {
    let folder = server();
    let file = folder.path().join("x.tar.gz");
    fs::write(&file, "something of mine").expect("written");
    let file = file.display().to_string();

    refused(folder.path(), &["backup", &file], "failed to write");
    refused(folder.path(), &["restore", &file, "--force"], "failed to use");
    assert_eq!(fs::read_to_string(&file).expect("there"), "something of mine");
    assert_eq!(ca(folder.path(), &["status"]).code, Some(0));
}

#[test]
fn there_has_to_be_something_to_save() {
    let folder = tempfile::tempdir().expect("a folder");

    refused(folder.path(), &["backup", "/nowhere/x.tar.gz"], "nothing to save");
}
