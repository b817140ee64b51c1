//! Replacing the CA in steps: at each one, every leaf is good under the bundle that clients have.

use std::fs;
use std::path::{Path, PathBuf};

use crate::{ca, done, openssl_accepts, refused};

/// A CA with one server certificate, and a client's copy of the bundle.
struct Rotating {
    folder: tempfile::TempDir,
}

impl Rotating {
    fn new() -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        done(folder.path(), &["init"]);
        done(folder.path(), &["create-server-cert", "localhost"]);
        Self { folder }
    }

    fn path(&self) -> &Path {
        self.folder.path()
    }

    fn at(&self, name: &str) -> PathBuf {
        self.path().join("ca").join(name)
    }

    /// What a client does from time to time.
    fn copy_bundle(&self, name: &str) -> PathBuf {
        let copy = self.path().join(name);
        fs::copy(self.at("ca-bundle.crt"), &copy).expect("copied");
        copy
    }

    fn leaf(&self) -> PathBuf {
        self.at("server_certs/localhost/localhost.crt")
    }
}

#[test]
fn l04_at_every_step_of_a_rotation_the_leaf_is_good_under_the_bundle_of_the_step_and_of_the_step_before() {
    let ca = Rotating::new();
    let before = ca.copy_bundle("before.crt");

    done(ca.path(), &["rotate"]);
    let both = ca.copy_bundle("both.crt");
    assert!(openssl_accepts(&before, &ca.leaf()) && openssl_accepts(&both, &ca.leaf()));
    done(ca.path(), &["renew", "localhost"]);
    assert!(openssl_accepts(&before, &ca.leaf()), "the old CA still issues");

    done(ca.path(), &["rotate", "--switch"]);
    assert!(openssl_accepts(&both, &ca.leaf()), "an old leaf");
    done(ca.path(), &["renew", "--all"]);
    assert!(openssl_accepts(&both, &ca.leaf()), "a new leaf");
    assert!(!openssl_accepts(&before, &ca.leaf()), "of the new CA");

    done(ca.path(), &["rotate", "--finish"]);
    let after = ca.copy_bundle("after.crt");
    assert!(openssl_accepts(&both, &ca.leaf()) && openssl_accepts(&after, &ca.leaf()));
    assert_eq!(fs::read_to_string(after).expect("a bundle").matches("BEGIN CERTIFICATE").count(), 2);
    assert_eq!(crate::ca(ca.path(), &["status"]).code, Some(0));
}

#[test]
fn l05_the_old_root_stays_while_a_leaf_chains_to_it_and_the_leaf_is_named() {
    let ca = Rotating::new();
    done(ca.path(), &["create-server-cert", "other.example"]);
    done(ca.path(), &["rotate"]);
    done(ca.path(), &["rotate", "--switch"]);
    done(ca.path(), &["renew", "localhost"]);
    let bundle = fs::read(ca.at("ca-bundle.crt")).expect("a bundle");

    refused(ca.path(), &["rotate", "--finish"], "still needed by other.example");
    assert_eq!(fs::read(ca.at("ca-bundle.crt")).expect("a bundle"), bundle);

    // What is revoked needs nobody to vouch for it.
    done(ca.path(), &["revoke", "other.example"]);
    done(ca.path(), &["rotate", "--finish"]);
}

#[test]
fn steps_out_of_order_are_refused_with_the_step_that_is_due() {
    let ca = Rotating::new();

    refused(ca.path(), &["rotate", "--switch"], "the first step is `ca rotate`");
    refused(ca.path(), &["rotate", "--finish"], "no rotation to finish");
    done(ca.path(), &["rotate"]);
    refused(ca.path(), &["rotate"], "the next step is `ca rotate --switch`");
    refused(ca.path(), &["rotate", "--finish"], "the next step is `ca rotate --switch`");
    done(ca.path(), &["rotate", "--switch"]);
    refused(ca.path(), &["rotate"], "the next step is `ca rotate --finish`");
}

#[test]
fn a_switch_that_was_interrupted_is_completed_by_asking_again() {
    let ca = Rotating::new();
    done(ca.path(), &["rotate"]);
    // As after a crash between the two halves.
    fs::create_dir(ca.at("previous")).expect("made");
    fs::rename(ca.at("root"), ca.at("previous/root")).expect("moved");

    done(ca.path(), &["rotate", "--switch"]);
    done(ca.path(), &["renew", "--all"]);
    done(ca.path(), &["rotate", "--finish"]);

    assert!(openssl_accepts(&ca.at("ca-bundle.crt"), &ca.leaf()));
}

#[test]
fn l06_a_root_whose_key_is_gone_can_still_be_replaced() {
    let rotating = Rotating::new();
    fs::remove_file(rotating.at("root/ca.key")).expect("removed");

    for step in [&["rotate"][..], &["rotate", "--switch"], &["renew", "--all"], &["rotate", "--finish"]] {
        done(rotating.path(), step);
    }

    assert!(openssl_accepts(&rotating.at("ca-bundle.crt"), &rotating.leaf()));
    let status = ca(rotating.path(), &["status"]);
    assert_eq!(status.code, Some(0), "{}", status.out);
}

#[test]
fn l04_twenty_rotations_in_a_row_never_leave_a_client_that_follows_the_bundle_without_trust() {
    let ca = Rotating::new();
    for round in 0..20 {
        for step in [&["rotate"][..], &["rotate", "--switch"], &["renew", "--all"], &["rotate", "--finish"]] {
            let bundle = ca.copy_bundle("client.crt");
            assert!(openssl_accepts(&bundle, &ca.leaf()), "before {step:?} of round {round}");
            done(ca.path(), step);
            let trusted = openssl_accepts(&bundle, &ca.leaf())
                || openssl_accepts(&ca.copy_bundle("new.crt"), &ca.leaf());
            assert!(trusted, "after {step:?} of round {round}");
        }
    }
}
