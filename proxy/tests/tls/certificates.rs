//! The serving certificate: what is agreed, what is swapped in under open connections, what is refused.

use jiff::{SignedDuration, Timestamp};
use rustls::version::{TLS12, TLS13};
use rustls::{NamedGroup, ProtocolVersion};
use vibectl_config::MinVersion;
use vibectl_pki::{IssueRequest, Names, Usage};

use crate::{DAY, Pair, ca, client, files, leaf, state};

#[test]
fn tls_1_3_and_h2_are_agreed_and_1_2_only_where_it_is_allowed() {
    let ca = ca();
    let strict = state(&leaf(&ca, Usage::Server), None, MinVersion::V1_3);
    let lenient = state(&leaf(&ca, Usage::Server), None, MinVersion::V1_2);

    let pair = Pair::connect(&strict, client(&ca, &TLS13, None)).expect("connected");
    let old = Pair::connect(&lenient, client(&ca, &TLS12, None)).expect("connected");

    assert_eq!(pair.client.protocol_version(), Some(ProtocolVersion::TLSv1_3));
    assert_eq!(pair.client.alpn_protocol(), Some(&b"h2"[..]));
    assert_eq!(old.client.protocol_version(), Some(ProtocolVersion::TLSv1_2));
    assert!(Pair::connect(&strict, client(&ca, &TLS12, None)).is_err());
}

#[test]
fn l03_a_new_certificate_serves_new_connections_and_leaves_open_ones_alone() {
    let ca = ca();
    let (first, second) = (leaf(&ca, Usage::Server), leaf(&ca, Usage::Server));
    let state = state(&first, None, MinVersion::V1_3);
    let mut open = Pair::connect(&state, client(&ca, &TLS13, None)).expect("connected");

    state.reload(&files(&second), Timestamp::now()).expect("in force");
    let new = Pair::connect(&state, client(&ca, &TLS13, None)).expect("connected");

    let seen = |pair: &Pair| pair.client.peer_certificates().expect("a certificate")[0].clone();
    assert_eq!(seen(&open), *first.chain().leaf());
    assert_eq!(seen(&new), *second.chain().leaf());
    assert_eq!(state.facts().serial, second.facts().serial);
    open.pump().expect("still good");
}

#[test]
fn b06_what_cannot_be_served_is_refused_with_a_reason_and_the_last_good_pair_stays() {
    let ca = ca();
    let (good, other) = (leaf(&ca, Usage::Server), leaf(&ca, Usage::Server));
    let state = state(&good, None, MinVersion::V1_3);
    let now = Timestamp::now();
    let mut mixed = files(&good);
    mixed.insert("tls.key".to_owned(), other.key_pem().as_bytes().to_vec());
    let mut half = files(&other);
    half.remove("tls.key");
    let mut garbage = files(&other);
    garbage.insert("tls.crt".to_owned(), vec![0xff; 20]);
    let after_its_end = now + SignedDuration::from_hours(25);

    let reason = |files, now| state.reload(files, now).expect_err("refused");
    assert_eq!(reason(&mixed, now), "the private key does not belong to the certificate");
    assert_eq!(reason(&half, now), "tls.key is missing");
    assert_eq!(reason(&garbage, now), "tls.crt is not PEM");
    assert!(reason(&files(&other), after_its_end).contains("expired"));

    assert_eq!(state.facts().serial, good.facts().serial);
    assert!(Pair::connect(&state, client(&ca, &TLS13, None)).is_ok());
}

#[test]
fn the_hybrid_key_exchange_is_agreed_with_a_client_that_offers_it() {
    let ca = ca();
    let state = state(&leaf(&ca, Usage::Server), None, MinVersion::V1_3);

    let pair = Pair::connect(&state, client(&ca, &TLS13, None)).expect("connected");

    let group = pair.server.negotiated_key_exchange_group().expect("agreed").name();
    assert_eq!(group, NamedGroup::X25519MLKEM768);
}

#[test]
fn b02_what_is_neither_http_2_nor_1_is_refused_and_acme_gets_nothing_without_a_challenge() {
    let ca = ca();
    let state = state(&leaf(&ca, Usage::Server), None, MinVersion::V1_3);
    let offering = |protocols: &[&[u8]]| {
        let mut config = client(&ca, &TLS13, None);
        config.alpn_protocols = protocols.iter().map(|protocol| protocol.to_vec()).collect();
        config
    };
    let agreed = |protocols: &[&[u8]]| {
        let pair = Pair::connect(&state, offering(protocols)).ok()?;
        Some(pair.client.alpn_protocol().map(<[u8]>::to_vec))
    };

    assert_eq!(agreed(&[b"acme-tls/1"]), None);
    assert_eq!(agreed(&[b"spdy/3", b"h3"]), None);
    assert_eq!(agreed(&[b"http/1.1", b"h2"]), Some(Some(b"h2".to_vec())));
    assert_eq!(agreed(&[b"http/1.1"]), Some(Some(b"http/1.1".to_vec())));
    assert_eq!(agreed(&[]), Some(None));
}

#[test]
fn b10_a_client_is_told_the_name_that_it_expected_and_those_that_it_found() {
    let ca = crate::ca_of(&["other.example", "10.0.0.7"]);
    let issued = |names: &[&str]| {
        let names = Names::parse(names).expect("names");
        let request =
            IssueRequest { names: &names, usage: Usage::Server, validity: DAY, now: Timestamp::now() };
        state(&ca.issue(&request).expect("a leaf"), None, MinVersion::V1_3)
    };
    let (named, addressed) = (issued(&["other.example"]), issued(&["10.0.0.7"]));
    let said = |state, name: &str| {
        let refused = Pair::connect_to(name, state, client(&ca, &TLS13, None)).err();
        refused.map(|error| error.to_string())
    };

    assert_eq!(said(&named, "other.example"), None);
    assert_eq!(said(&addressed, "10.0.0.7"), None);
    let wrong_name = said(&named, "team.ai.svc").expect("another name");
    assert!(wrong_name.contains("team.ai.svc") && wrong_name.contains("other.example"), "{wrong_name}");
    let wrong_address = said(&addressed, "10.0.0.8").expect("another address");
    assert!(wrong_address.contains("10.0.0.8"), "{wrong_address}");
    let stranger = crate::ca_of(&["other.example"]);
    assert!(Pair::connect_to("other.example", &named, client(&stranger, &TLS13, None)).is_err());
}
