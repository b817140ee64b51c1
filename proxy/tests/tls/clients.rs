//! Callers who have to show a certificate, and those who may not show theirs any longer.

use std::collections::BTreeMap;

use jiff::{SignedDuration, Timestamp};
use rustls::version::TLS13;
use vibectl_config::MinVersion;
use vibectl_pki::{Ca, Crl, Crls, IssueRequest, Leaf, RevocationReason, Revoked, Usage};
use vibectl_server::tls::clients::ClientTrust;

use crate::{DAY, Pair, ca, client, leaf, names, state};

fn now() -> Timestamp {
    Timestamp::now()
}

fn hours(hours: i64) -> SignedDuration {
    SignedDuration::from_hours(hours)
}

/// The content of a folder with a client CA, and lists of what it has revoked.
fn folder(ca: &Ca, lists: Option<&Crls>) -> BTreeMap<String, Vec<u8>> {
    let mut files = BTreeMap::from([("ca.crt".to_owned(), ca.chain_pem().into_bytes())]);
    files.extend(lists.map(|lists| ("crl.pem".to_owned(), lists.to_pem().into_bytes())));
    files
}

fn trust(ca: &Ca, lists: Option<&Crls>) -> ClientTrust {
    ClientTrust::read(&folder(ca, lists), lists.is_some(), now()).expect("trust")
}

/// A list that is good for a day.
fn list(ca: &Ca, number: u64, revoked: &[&Leaf]) -> Crl {
    let entry = |leaf: &&Leaf| Revoked {
        serial: leaf.facts().serial.clone(),
        at: now() - hours(1),
        reason: RevocationReason::KeyCompromise,
    };
    let revoked: Vec<_> = revoked.iter().map(entry).collect();
    ca.revocation_list(&revoked, number, now() - hours(1), now() + hours(24)).expect("a list")
}

#[test]
fn a21_with_a_client_ca_only_its_clients_get_in_and_nothing_is_resumed() {
    let (ca, clients, strangers) = (ca(), ca(), ca());
    let state = state(&leaf(&ca, Usage::Server), Some(trust(&clients, None)), MinVersion::V1_3);
    let (known, stranger) = (leaf(&clients, Usage::Client), leaf(&strangers, Usage::Client));

    assert!(Pair::connect(&state, client(&ca, &TLS13, None)).is_err());
    assert!(Pair::connect(&state, client(&ca, &TLS13, Some(&stranger))).is_err());
    let pair = Pair::connect(&state, client(&ca, &TLS13, Some(&known))).expect("connected");
    assert_eq!(pair.client.tls13_tickets_received(), 0);
}

#[test]
fn a_changed_client_ca_holds_for_new_connections_and_is_never_turned_off() {
    let (ca, clients, newcomers) = (ca(), ca(), ca());
    let state = state(&leaf(&ca, Usage::Server), Some(trust(&clients, None)), MinVersion::V1_3);
    let (known, newcomer) = (leaf(&clients, Usage::Client), leaf(&newcomers, Usage::Client));

    let changed = BTreeMap::from([("ca.crt".to_owned(), newcomers.chain_pem().into_bytes())]);
    state.reload_clients(&changed, now()).expect("in force");

    assert!(Pair::connect(&state, client(&ca, &TLS13, Some(&known))).is_err());
    assert!(Pair::connect(&state, client(&ca, &TLS13, Some(&newcomer))).is_ok());
    assert_eq!(state.reload_clients(&BTreeMap::new(), now()), Err("ca.crt is missing".to_owned()));
    assert!(Pair::connect(&state, client(&ca, &TLS13, None)).is_err());
}

#[test]
fn a21_a_client_certificate_that_is_not_for_clients_or_not_for_now_is_refused() {
    let ca = ca();
    let clients = Ca::constrained("clients", &names(), DAY * 90, now() - hours(24 * 10)).expect("a CA");
    let state = state(&leaf(&ca, Usage::Server), Some(trust(&clients, None)), MinVersion::V1_3);
    let at = |usage, now| {
        let names = names();
        clients.issue(&IssueRequest { names: &names, usage, validity: DAY, now }).expect("a leaf")
    };

    for (what, identity, gets_in) in [
        ("good", at(Usage::Client, now()), true),
        ("for both sides", at(Usage::ServerAndClient, now()), true),
        ("for servers", at(Usage::Server, now()), false),
        ("expired", at(Usage::Client, now() - hours(24 * 5)), false),
        ("not yet valid", at(Usage::Client, now() + hours(24 * 5)), false),
    ] {
        assert_eq!(Pair::connect(&state, client(&ca, &TLS13, Some(&identity))).is_ok(), gets_in, "{what}");
    }
}

#[test]
fn a21_a_revoked_client_certificate_is_refused_and_its_sibling_is_not() {
    let (ca, clients) = (ca(), ca_of_clients());
    let (revoked, good) = (leaf(&clients, Usage::Client), leaf(&clients, Usage::Client));
    let lists = Crls::from_iter([list(&clients, 1, &[&revoked])]);
    let state = state(&leaf(&ca, Usage::Server), Some(trust(&clients, Some(&lists))), MinVersion::V1_3);

    assert!(Pair::connect(&state, client(&ca, &TLS13, Some(&revoked))).is_err());
    assert!(Pair::connect(&state, client(&ca, &TLS13, Some(&good))).is_ok());
}

#[test]
fn a21_a_new_list_holds_for_new_connections_at_once_and_a_bad_one_changes_nothing() {
    let (ca, clients) = (ca(), ca_of_clients());
    let known = leaf(&clients, Usage::Client);
    let lists = Crls::from_iter([list(&clients, 1, &[])]);
    let state = state(&leaf(&ca, Usage::Server), Some(trust(&clients, Some(&lists))), MinVersion::V1_3);
    let gets_in = || Pair::connect(&state, client(&ca, &TLS13, Some(&known))).is_ok();
    assert!(gets_in());

    let mut garbage = folder(&clients, None);
    garbage.insert("crl.pem".to_owned(), b"-----BEGIN X509 CRL-----\nhalf".to_vec());
    let refused = state.reload_clients(&garbage, now()).expect_err("damaged");
    assert!(refused.starts_with("client CRL: failed to read PEM block 1"), "{refused}");
    let refused = state.reload_clients(&folder(&clients, None), now()).expect_err("gone");
    assert_eq!(refused, "crl.pem is missing");
    assert!(gets_in());

    let lists = Crls::from_iter([list(&clients, 2, &[&known])]);
    state.reload_clients(&folder(&clients, Some(&lists)), now()).expect("in force");
    assert!(!gets_in());
}

#[test]
fn a21_a_stale_list_is_not_put_in_force_and_one_that_became_stale_lets_nobody_in() {
    let (ca, clients) = (ca(), ca_of_clients());
    let known = leaf(&clients, Usage::Client);
    let old = clients.revocation_list(&[], 1, now() - hours(48), now() - hours(24)).expect("a list");
    let files = folder(&clients, Some(&Crls::from_iter([old])));

    let refused = ClientTrust::read(&files, true, now()).expect_err("stale").to_string();
    assert!(refused.contains("was due to be replaced at"), "{refused}");

    // As it was read while it was good.
    let became_stale = ClientTrust::read(&files, true, now() - hours(36)).expect("good then");
    let state = state(&leaf(&ca, Usage::Server), Some(became_stale), MinVersion::V1_3);
    let refused = Pair::connect(&state, client(&ca, &TLS13, Some(&known))).err().expect("stale").to_string();
    assert!(refused.contains("revocation list expired"), "{refused}");

    let lists = Crls::from_iter([list(&clients, 2, &[])]);
    state.reload_clients(&folder(&clients, Some(&lists)), now()).expect("in force");
    assert!(Pair::connect(&state, client(&ca, &TLS13, Some(&known))).is_ok());
}

#[test]
fn a21_with_lists_a_client_whose_issuer_has_none_is_refused() {
    let (ca, clients, others) = (ca(), ca_of_clients(), ca_of_clients());
    let mut files = folder(&clients, Some(&Crls::from_iter([list(&clients, 1, &[])])));
    files.insert("ca.crt".to_owned(), format!("{}{}", clients.chain_pem(), others.chain_pem()).into_bytes());
    let trust = ClientTrust::read(&files, true, now()).expect("trust");
    let state = state(&leaf(&ca, Usage::Server), Some(trust), MinVersion::V1_3);

    assert!(Pair::connect(&state, client(&ca, &TLS13, Some(&leaf(&clients, Usage::Client)))).is_ok());
    assert!(Pair::connect(&state, client(&ca, &TLS13, Some(&leaf(&others, Usage::Client)))).is_err());
}

fn ca_of_clients() -> Ca {
    ca()
}
