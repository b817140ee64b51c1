//! Revoking, and the lists that are published.

use std::fs;
use std::path::Path;

use serde_json::Value;
use vibectl_pki::{Crls, RevocationReason};

use crate::{ca, done, refused, status};

fn lists(folder: &Path) -> Crls {
    Crls::from_pem(&fs::read_to_string(folder.join("ca/crl.pem")).expect("lists")).expect("readable")
}

fn state(folder: &Path, name: &str) -> Value {
    let listed: Value = serde_json::from_str(&done(folder, &["list", "-o", "json"])).expect("JSON");
    let entries = listed["certificates"].as_array().expect("a list").clone();
    entries.into_iter().find(|entry| entry["name"] == name).expect("listed")["state"].clone()
}

#[test]
fn a_revoked_certificate_is_on_the_list_and_each_list_has_a_higher_number() {
    let folder = tempfile::tempdir().expect("a folder");
    done(folder.path(), &["init"]);
    done(folder.path(), &["create-client-cert", "alice"]);
    done(folder.path(), &["create-client-cert", "bob"]);

    done(folder.path(), &["revoke", "alice", "--reason", "key-compromise"]);
    let first = lists(folder.path());
    done(folder.path(), &["crl", "--days", "90"]);
    let second = lists(folder.path());

    let (first, second) = (first.iter().next().expect("one"), second.iter().next().expect("one"));
    assert_eq!((first.revoked.len(), first.revoked[0].reason), (1, RevocationReason::KeyCompromise));
    assert_eq!(second.revoked, first.revoked);
    assert!(second.number > first.number && second.next_update > first.next_update);
    assert_eq!(
        (state(folder.path(), "alice"), state(folder.path(), "bob")),
        ("revoked".into(), "valid".into())
    );
}

#[test]
fn a_certificate_is_revoked_once_by_name_serial_or_file_and_only_by_its_own_ca() {
    let (folder, other) = (tempfile::tempdir().expect("a folder"), tempfile::tempdir().expect("a folder"));
    for folder in [&folder, &other] {
        done(folder.path(), &["init"]);
        done(folder.path(), &["create-client-cert", "alice"]);
        done(folder.path(), &["create-client-cert", "bob"]);
    }
    let listed: Value = serde_json::from_str(&done(folder.path(), &["list", "-o", "json"])).expect("JSON");
    let serial = listed["certificates"][1]["facts"]["serial"].as_str().expect("a serial").to_owned();
    let file = |folder: &Path| folder.join("ca/client_certs/alice/alice.crt").display().to_string();

    done(folder.path(), &["revoke", &serial]);
    done(folder.path(), &["revoke", "--cert-file", &file(folder.path())]);

    refused(folder.path(), &["revoke", "alice"], "revoked already");
    refused(folder.path(), &["revoke", "carol"], "no certificate carol");
    refused(folder.path(), &["revoke", "--cert-file", &file(other.path())], "not issued by this CA");
    assert_eq!(lists(folder.path()).iter().next().expect("one").revoked.len(), 2);
}

#[test]
fn a_revoked_certificate_is_renewed_only_with_another_key_and_never_by_all() {
    let folder = tempfile::tempdir().expect("a folder");
    done(folder.path(), &["init"]);
    done(folder.path(), &["create-client-cert", "alice"]);
    done(folder.path(), &["revoke", "alice"]);

    refused(folder.path(), &["renew", "alice", "--keep-key"], "is revoked");
    done(folder.path(), &["renew", "--all"]);
    assert_eq!(state(folder.path(), "alice"), "revoked");
    done(folder.path(), &["renew", "alice"]);
    assert_eq!(state(folder.path(), "alice"), "valid");
}

#[test]
fn what_was_revoked_stays_so_through_renewals_and_rotations_of_the_ca() {
    let folder = tempfile::tempdir().expect("a folder");
    done(folder.path(), &["init"]);
    done(folder.path(), &["create-client-cert", "alice"]);
    done(folder.path(), &["create-client-cert", "bob"]);
    done(folder.path(), &["revoke", "alice"]);

    done(folder.path(), &["renew", "--intermediate", "--keep-key"]);
    assert_eq!(state(folder.path(), "alice"), "revoked");
    done(folder.path(), &["renew", "--intermediate"]);
    done(folder.path(), &["rotate"]);
    done(folder.path(), &["rotate", "--switch"]);
    assert_eq!(state(folder.path(), "alice"), "revoked");
    // The one that a CA issued which issues no longer.
    done(folder.path(), &["revoke", "bob"]);
    assert_eq!(state(folder.path(), "bob"), "revoked");
    assert_eq!(lists(folder.path()).iter().count(), 3, "one for each that has issued");
}

#[test]
fn a_damaged_list_is_never_overwritten_because_it_remembers_what_was_revoked() {
    let folder = tempfile::tempdir().expect("a folder");
    done(folder.path(), &["init"]);
    done(folder.path(), &["create-client-cert", "alice"]);
    let file = folder.path().join("ca/crl.pem");
    fs::write(&file, "-----BEGIN X509 CRL-----\nhalf").expect("written");

    refused(folder.path(), &["revoke", "alice"], "cannot be used");
    assert_eq!(fs::read_to_string(&file).expect("there"), "-----BEGIN X509 CRL-----\nhalf");
    assert_eq!(status(folder.path(), "crl")["status"], "Check Failed");
    assert_eq!(ca(folder.path(), &["status"]).code, Some(1));
}

#[test]
fn check_expiry_tells_that_a_list_is_about_to_be_stale() {
    let folder = tempfile::tempdir().expect("a folder");
    done(folder.path(), &["init"]);
    assert_eq!(ca(folder.path(), &["check-expiry"]).code, Some(0));

    done(folder.path(), &["crl", "--days", "2"]);

    let said = ca(folder.path(), &["check-expiry"]);
    assert_eq!(said.code, Some(1));
    assert!(said.out.contains("vibectl-server ca crl"), "{}", said.out);
}
