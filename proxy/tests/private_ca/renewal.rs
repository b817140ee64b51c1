//! Renewing what was issued, and the CA that issues.

use std::fs;

use serde_json::Value;

use crate::{done, mode, openssl_accepts, refused};

fn shown(folder: &std::path::Path, name: &str) -> Value {
    let shown: Value = serde_json::from_str(&done(folder, &["show", name, "-o", "json"])).expect("JSON");
    shown[0].clone()
}

#[test]
fn a_renewal_keeps_the_names_and_with_keep_key_the_pin() {
    let folder = tempfile::tempdir().expect("a folder");
    done(folder.path(), &["init"]);
    done(folder.path(), &["create-server-cert", "localhost", "--san", "10.0.0.7", "--validity-days", "30"]);
    let first = shown(folder.path(), "localhost");

    done(folder.path(), &["renew", "localhost", "--keep-key"]);
    let same_key = shown(folder.path(), "localhost");
    done(folder.path(), &["renew", "localhost"]);
    let other_key = shown(folder.path(), "localhost");

    assert_eq!(same_key["public_key_pin"], first["public_key_pin"]);
    assert_ne!(other_key["public_key_pin"], first["public_key_pin"]);
    assert_ne!(same_key["serial"], first["serial"]);
    assert_eq!((&other_key["names"], &same_key["names"]), (&first["names"], &first["names"]));
    let day =
        |shown: &Value| shown["not_after"].as_str().expect("a time").get(..10).expect("a day").to_owned();
    assert_eq!(day(&other_key), day(&first), "as long as before");
    let key = folder.path().join("ca/server_certs/localhost/localhost.key");
    assert_eq!(mode(&key), 0o600);
}

#[test]
fn the_intermediate_is_renewed_with_its_key_or_replaced_and_every_leaf_stays_good_under_the_root() {
    let folder = tempfile::tempdir().expect("a folder");
    done(folder.path(), &["init"]);
    done(folder.path(), &["create-server-cert", "one.example"]);
    let at = |name: &str| folder.path().join("ca").join(name);
    let root = folder.path().join("root-only.crt");
    fs::copy(at("root/ca.crt"), &root).expect("copied");
    let first = shown(folder.path(), "intermediate");

    done(folder.path(), &["renew", "--intermediate", "--keep-key", "--validity-days", "900"]);
    let same_key = shown(folder.path(), "intermediate");
    done(folder.path(), &["create-server-cert", "two.example"]);
    done(folder.path(), &["renew", "--intermediate"]);
    let replaced = shown(folder.path(), "intermediate");
    done(folder.path(), &["create-server-cert", "three.example"]);

    assert_eq!(same_key["public_key_pin"], first["public_key_pin"]);
    assert_ne!(replaced["public_key_pin"], first["public_key_pin"]);
    assert_ne!(replaced["subject"], first["subject"]);
    for name in ["one.example", "two.example", "three.example"] {
        assert!(openssl_accepts(&root, &at(&format!("server_certs/{name}/{name}.crt"))), "{name}");
    }
    assert_eq!(crate::ca(folder.path(), &["status"]).code, Some(0));
}

#[test]
fn the_key_of_the_root_is_needed_for_the_intermediate_and_for_nothing_else() {
    let folder = tempfile::tempdir().expect("a folder");
    done(folder.path(), &["init"]);
    done(folder.path(), &["create-server-cert", "localhost"]);
    fs::remove_file(folder.path().join("ca/root/ca.key")).expect("taken away");

    done(folder.path(), &["renew", "--all"]);
    done(folder.path(), &["revoke", "localhost"]);
    refused(folder.path(), &["renew", "--intermediate"], "bring it back");
}

#[test]
fn a_name_that_was_never_issued_is_an_error() {
    let folder = tempfile::tempdir().expect("a folder");
    done(folder.path(), &["init"]);

    refused(folder.path(), &["renew", "nobody.example"], "no certificate nobody.example");
}
