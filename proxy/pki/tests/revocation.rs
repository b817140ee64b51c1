//! Revocation lists and renewed CAs, judged by OpenSSL where it is there, and read back.

#![expect(clippy::expect_used, reason = "a test ends where its preparation fails")]

use std::{fs, process::Command, time::Duration};

use jiff::{SignedDuration, Timestamp};
use vibectl_pki::{
    Ca, CrlError, Crls, IssueRequest, Leaf, Names, PrivateKey, RevocationReason, Revoked, Subject, Usage,
};

const DAY: Duration = Duration::from_hours(24);

fn now() -> Timestamp {
    Timestamp::from_second(Timestamp::now().as_second()).expect("in range")
}

fn subject(common_name: &str) -> Subject {
    Subject { common_name: common_name.to_owned(), organization: Some("o".to_owned()), country: None }
}

fn root_and_intermediate() -> (Ca, Ca) {
    let root = Ca::root(&subject("Root"), DAY * 30, now()).expect("a root");
    let intermediate = root.intermediate(&subject("Intermediate"), DAY * 20, now()).expect("an intermediate");
    (root, intermediate)
}

fn leaf(ca: &Ca) -> Leaf {
    let names = Names::parse(["a.example"]).expect("names");
    ca.issue(&IssueRequest { names: &names, usage: Usage::Client, validity: DAY, now: now() })
        .expect("a leaf")
}

fn in_a_week() -> Timestamp {
    now() + SignedDuration::from_hours(7 * 24)
}

#[test]
fn a_list_says_what_was_revoked_when_and_why_and_who_signed_it() {
    let (root, intermediate) = root_and_intermediate();
    let (revoked, good) = (leaf(&intermediate), leaf(&intermediate));
    let entry = Revoked {
        serial: revoked.facts().serial.clone(),
        at: now(),
        reason: RevocationReason::KeyCompromise,
    };

    let list =
        intermediate.revocation_list(std::slice::from_ref(&entry), 7, now(), in_a_week()).expect("a list");
    let read = Crls::from_pem(&Crls::from_iter([list]).to_pem()).expect("the same list");

    let list = read.of(intermediate.chain()).expect("signed by the intermediate");
    assert_eq!(list.revoked, [entry]);
    assert_eq!((list.number, list.next_update), (7, in_a_week()));
    assert_eq!(list.issuer_key_id, intermediate.facts().subject_key_id);
    assert!(list.revokes(&revoked.facts().serial) && !list.revokes(&good.facts().serial));
    assert!(read.of(root.chain()).is_none());
    assert!(read.check_time(in_a_week()).is_ok());
    let later = in_a_week() + SignedDuration::from_secs(1);
    assert!(matches!(read.check_time(later), Err(CrlError::Stale { .. })));
}

#[test]
fn openssl_refuses_a_revoked_leaf_and_accepts_its_sibling() {
    if Command::new("openssl").arg("version").output().is_err() {
        return;
    }
    let (root, intermediate) = root_and_intermediate();
    let (revoked, good) = (leaf(&intermediate), leaf(&intermediate));
    let entry = Revoked {
        serial: revoked.facts().serial.clone(),
        at: now() - SignedDuration::from_secs(60),
        reason: RevocationReason::Superseded,
    };
    let list = intermediate.revocation_list(&[entry], 1, now(), in_a_week()).expect("a list");
    let folder = tempfile::tempdir().expect("a folder");
    let write = |name: &str, text: &str| fs::write(folder.path().join(name), text).expect("written");
    write("root.pem", &root.chain_pem());
    write("crl.pem", &Crls::from_iter([list]).to_pem());
    write("revoked.pem", &revoked.chain_pem());
    write("good.pem", &good.chain_pem());
    let verify = |name: &str| {
        Command::new("openssl")
            .args(["verify", "-x509_strict", "-no-CApath", "-no-CAstore", "-crl_check"])
            .args(["-CAfile", "root.pem", "-CRLfile", "crl.pem", "-untrusted", name, name])
            .current_dir(folder.path())
            .output()
            .expect("openssl runs")
    };

    assert!(verify("good.pem").status.success(), "{:?}", verify("good.pem"));
    let said = String::from_utf8_lossy(&verify("revoked.pem").stderr).into_owned();
    assert!(said.contains("certificate revoked"), "{said}");
}

#[test]
fn what_is_not_a_list_is_refused_by_its_place() {
    let (_, intermediate) = root_and_intermediate();
    let list = intermediate.revocation_list(&[], 1, now(), in_a_week()).expect("a list");
    let good = Crls::from_iter([list]).to_pem();
    let key = PrivateKey::generate().expect("a key").to_pem();
    let not_a_list = intermediate.chain_pem().replace("CERTIFICATE", "X509 CRL");

    assert_eq!(Crls::from_pem(""), Err(CrlError::Missing));
    assert_eq!(Crls::from_pem(&intermediate.chain_pem()), Err(CrlError::Missing));
    assert_eq!(Crls::from_pem(&format!("{good}{}", *key)), Err(CrlError::PrivateKey(2)));
    assert_eq!(Crls::from_pem(&format!("{good}{not_a_list}")), Err(CrlError::Der(2)));
    assert_eq!(Crls::from_pem(&good[..good.len() / 2]), Err(CrlError::Pem(1)));
}

#[test]
fn a_leaf_can_be_issued_for_the_key_that_it_had() {
    let (_, intermediate) = root_and_intermediate();
    let first = leaf(&intermediate);
    let names = Names::parse(["a.example"]).expect("names");
    let request = IssueRequest { names: &names, usage: Usage::Client, validity: DAY, now: now() };
    let key = PrivateKey::from_pem(&first.key_pem()).expect("a key");

    let second = intermediate.issue_for(&request, key).expect("a leaf");

    assert_eq!(second.facts().public_key_pin, first.facts().public_key_pin);
    assert_ne!(second.facts().serial, first.facts().serial);
}

#[test]
fn an_intermediate_with_the_same_key_carries_what_it_signed_and_one_in_its_place_has_another_name() {
    let (root, old) = root_and_intermediate();
    let leaf = leaf(&old);
    let chained = |issuer: &Ca| {
        let chain = vec![leaf.chain().leaf().clone(), issuer.chain().leaf().clone()];
        vibectl_pki::Chain::new(chain).expect("two").check_order().is_ok()
    };

    let same = root.intermediate_with_same_key(&old, DAY * 25, now()).expect("renewed");
    let other = root.intermediate_in_place_of(old.chain(), DAY * 25, now()).expect("in its place");
    let third = root.intermediate_in_place_of(other.chain(), DAY * 25, now()).expect("in its place");

    assert!(chained(&same) && !chained(&other));
    assert_eq!(same.facts().subject, old.facts().subject);
    assert!(same.facts().lifetime.not_after > old.facts().lifetime.not_after);
    assert_ne!(other.facts().subject, old.facts().subject);
    assert_eq!(third.facts().subject.len(), other.facts().subject.len(), "one suffix, not two");
}
