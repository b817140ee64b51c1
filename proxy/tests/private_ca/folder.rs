//! Making a CA and its certificates, and looking at them.

use std::fs;

use crate::{ca, done, mode, openssl_accepts, status};

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
    assert_eq!(fs::read_dir(&directory).expect("listed").count(), 5, "something was left over");
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
}

#[test]
fn check_expiry_tells_by_its_exit_code_what_expires_soon() {
    let folder = tempfile::tempdir().expect("a folder");
    ca(folder.path(), &["init"]);
    ca(folder.path(), &["create-server-cert", "localhost", "--validity-days", "10"]);

    let soon = ca(folder.path(), &["check-expiry", "--days", "30"]);
    let later = ca(folder.path(), &["check-expiry", "--days", "5"]);

    assert_eq!((soon.code, later.code), (Some(1), Some(0)));
    assert!(soon.out.contains("Expires Soon") && !later.out.contains("Expires Soon"), "{}", later.out);
    assert!(soon.err.contains("1 entry is missing, expired, wrong or about to expire"), "{}", soon.err);
}

#[test]
fn a_client_certificate_has_a_place_of_its_own_and_is_good_for_clients_only() {
    let folder = tempfile::tempdir().expect("a folder");
    done(folder.path(), &["init"]);

    done(folder.path(), &["create-client-cert", "alice"]);

    let directory = folder.path().join("ca");
    let leaf = directory.join("client_certs/alice/alice.crt");
    assert_eq!(mode(&directory.join("client_certs/alice/alice.key")), 0o600);
    assert!(openssl_accepts(&directory.join("ca-bundle.crt"), &leaf));
    let listed: serde_json::Value =
        serde_json::from_str(&done(folder.path(), &["list", "-o", "json"])).expect("JSON");
    assert_eq!(listed["certificates"][0]["purpose"], "client");
    assert_eq!(listed["certificates"][0]["state"], "valid");
}

#[test]
fn show_prints_the_fingerprints_and_pins_that_openssl_computes() {
    let folder = tempfile::tempdir().expect("a folder");
    done(folder.path(), &["init"]);
    done(folder.path(), &["create-server-cert", "localhost"]);
    let leaf = folder.path().join("ca/server_certs/localhost/localhost.crt");
    let shell = |script: &str| {
        let output = std::process::Command::new("sh").args(["-c", script, "sh"]).arg(&leaf).output();
        String::from_utf8(output.expect("a shell").stdout).expect("text").trim().to_owned()
    };
    let fingerprint = shell("openssl x509 -in $1 -noout -fingerprint -sha256 | cut -d= -f2");
    let pin = shell(
        "openssl x509 -in $1 -noout -pubkey | openssl pkey -pubin -outform der | openssl dgst -sha256 -binary | base64",
    );

    let shown = done(folder.path(), &["show", "localhost"]);
    let authorities = done(folder.path(), &["show"]);

    assert!(shown.contains(&fingerprint) && shown.contains(&format!("sha256//{pin}")), "{shown}");
    assert!(
        authorities.contains("CN=vibectl Root CA") && authorities.contains("intermediate"),
        "{authorities}"
    );
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
