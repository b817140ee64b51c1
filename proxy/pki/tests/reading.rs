//! What is read back: facts, pairs, CAs of other tools, bundles and the stored state of a CA.

#![expect(clippy::expect_used, reason = "a test ends where its preparation fails")]

use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use rcgen::{BasicConstraints, CertificateParams, IsCa, KeyPair, PKCS_RSA_SHA256, RsaKeySize};
use vibectl_pki::{
    Ca, CaError, CaState, CertificateError, CertificateFacts, IssueError, IssueRequest, Leaf, Names,
    TrustBundle, Usage, leaf::PairError,
};

const DAY: Duration = Duration::from_hours(24);

fn at(second: i64) -> Timestamp {
    Timestamp::from_second(second).expect("in range")
}

/// Some day in 2026.
fn now() -> Timestamp {
    at(1_790_000_000)
}

fn names(names: &[&str]) -> Names {
    Names::parse(names).expect("names")
}

fn ca() -> Ca {
    Ca::constrained("vibectl ai/team", &names(&["team.ai.svc", "10.0.0.7"]), DAY * 30, now()).expect("a CA")
}

fn request(names: &Names, validity: Duration, now: Timestamp) -> IssueRequest<'_> {
    IssueRequest { names, usage: Usage::Server, validity, now }
}

#[test]
fn facts_tell_names_keys_and_lifetime() {
    let ca = ca();
    let names = names(&["team.ai.svc", "10.0.0.7"]);
    let leaf = ca.issue(&request(&names, DAY, now())).expect("a leaf");

    let facts = CertificateFacts::from_pem(&leaf.chain_pem()).expect("facts");

    assert_eq!(facts.names, ["team.ai.svc", "10.0.0.7"]);
    assert_eq!(facts.subject, "CN=team.ai.svc");
    assert_eq!(facts.issuer_key_id, ca.facts().subject_key_id);
    assert!(facts.issuer_key_id.is_some() && !facts.is_authority && ca.facts().is_authority);
    assert_eq!(facts.fingerprint_sha256.len(), 64);
    assert_eq!((facts.public_key_pin.len(), facts.public_key_pin.ends_with('=')), (44, true));
    assert_eq!(facts.serial.len(), 32);
    assert_eq!(facts.lifetime.not_before, now() - SignedDuration::from_mins(5));
    assert_eq!(facts.lifetime.not_after, now() + SignedDuration::from_hours(24));
    assert_eq!(facts.days_left(now()), 1);
}

#[test]
fn a_short_leaf_is_not_due_for_renewal_when_it_is_issued() {
    let names = names(&["team.ai.svc"]);

    let leaf = ca().issue(&request(&names, Duration::from_mins(1), now())).expect("a leaf");

    assert!(leaf.facts().lifetime.renew_at_with_jitter(u16::MAX) > now() + SignedDuration::from_secs(20));
}

#[test]
fn a_leaf_never_outlives_its_ca_and_an_ended_ca_issues_nothing() {
    let ca = ca();
    let names = names(&["team.ai.svc"]);

    let late = ca.issue(&request(&names, DAY * 90, now())).expect("a leaf");
    let never = ca.issue(&request(&names, DAY, now() + SignedDuration::from_hours(31 * 24)));

    assert_eq!(late.facts().lifetime.not_after, ca.facts().lifetime.not_after);
    assert!(matches!(never, Err(IssueError::CaNotValid { .. })), "{never:?}");
}

#[test]
fn a_validity_that_cannot_be_written_is_an_error() {
    let names = names(&["team.ai.svc"]);

    for validity in [Duration::ZERO, Duration::MAX, DAY * 365 * 9000] {
        assert!(ca().issue(&request(&names, validity, now())).is_err(), "{validity:?}");
        assert!(Ca::constrained("ca", &names, validity, now()).is_err(), "{validity:?}");
    }
}

#[test]
fn two_cas_of_one_name_have_different_subjects() {
    assert_ne!(ca().facts().subject, ca().facts().subject);
}

#[test]
fn an_rsa_ca_of_another_tool_can_be_read_and_issues() {
    let key = KeyPair::generate_rsa_for(&PKCS_RSA_SHA256, RsaKeySize::_2048).expect("a key");
    let mut params = CertificateParams::default();
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let certificate = params.self_signed(&key).expect("signed");

    let ca = Ca::from_pem(&certificate.pem(), &key.serialize_pem()).expect("a CA");
    let leaf = ca.issue(&request(&names(&["anything.example.org"]), DAY, now())).expect("a leaf");

    assert_eq!(leaf.facts().issuer_key_id, ca.facts().subject_key_id);
}

#[test]
fn what_is_no_ca_is_not_taken_for_one() {
    let leaf = Leaf::self_signed(&names(&["localhost"]), DAY, now()).expect("a leaf");
    let (one, other) = (ca(), ca());

    let no_ca = Ca::from_pem(&leaf.chain_pem(), &leaf.key_pem());
    let mixed = Ca::from_pem(&one.chain_pem(), &other.key_pem());
    let empty = Ca::from_pem("", &other.key_pem());

    assert_eq!(no_ca.err(), Some(CaError::NotAuthority));
    assert_eq!(mixed.err(), Some(CaError::KeyMismatch));
    assert_eq!(empty.err(), Some(CaError::Certificate(CertificateError::Missing)));
}

#[test]
fn a_pair_is_refused_when_key_order_or_time_is_wrong() {
    let ca = ca();
    let names = names(&["team.ai.svc"]);
    let leaf = ca.issue(&request(&names, DAY, now())).expect("a leaf");
    let other = ca.issue(&request(&names, DAY, now())).expect("a leaf");
    let with_ca = format!("{}{}", leaf.chain_pem(), ca.chain_pem());
    let backwards = format!("{}{}", ca.chain_pem(), leaf.chain_pem());

    let pair = Leaf::from_pem(&with_ca, &leaf.key_pem()).expect("a pair");
    let end = pair.facts().lifetime.not_after;

    assert_eq!(pair.check_time(now()), Ok(()));
    assert_eq!(pair.check_time(end + SignedDuration::from_secs(1)), Err(PairError::Expired(end)));
    assert!(matches!(pair.check_time(at(0)), Err(PairError::NotYetValid(_))));
    assert_eq!(Leaf::from_pem(&leaf.chain_pem(), &other.key_pem()).err(), Some(PairError::KeyMismatch));
    assert_eq!(
        Leaf::from_pem(&backwards, &leaf.key_pem()).err(),
        Some(PairError::Certificate(CertificateError::Order(1)))
    );
}

#[test]
fn a_bundle_keeps_order_drops_repetitions_and_refuses_private_keys() {
    let (one, two) = (ca(), ca());
    let text = format!("# ours\n{}{}\n{}", two.chain_pem(), one.chain_pem(), two.chain_pem());

    let bundle = TrustBundle::from_pem(&text).expect("a bundle");

    assert_eq!(bundle.to_pem(), format!("{}{}", two.chain_pem(), one.chain_pem()));
    let leaked = format!("{}{}", one.chain_pem(), *one.key_pem());
    assert_eq!(TrustBundle::from_pem(&leaked).err(), Some(CertificateError::PrivateKey(2)));
    assert_eq!(TrustBundle::from_pem("nothing").err(), Some(CertificateError::Missing));
}

#[test]
fn the_state_of_a_rollover_survives_storage() {
    let state = CaState::new(ca()).prepare(ca(), now()).switch(now()).prepare(ca(), now());

    let data = state.to_data();
    let again =
        CaState::from_data(|key| data.get(key).map(|value| value.as_slice())).expect("the same state");

    assert_eq!(again.to_data(), data);
    assert_eq!(again.bundle().certificates().len(), 3);
    assert_eq!(
        data.keys().copied().collect::<Vec<_>>(),
        [
            "ca.crt",
            "next.crt",
            "next.key",
            "next.since",
            "previous.crt",
            "previous.since",
            "tls.crt",
            "tls.key"
        ]
    );
}

#[test]
fn damaged_storage_names_the_key_of_the_secret() {
    let state = CaState::new(ca()).prepare(ca(), now());
    let mut data = state.to_data();
    data.remove("next.key");

    let error = CaState::from_data(|key| data.get(key).map(|value| value.as_slice())).expect_err("damaged");

    assert_eq!(error.to_string(), "`next.key` is missing");
    assert!(CaState::from_data(|_| None).is_err());
}

proptest::proptest! {
    #[test]
    fn no_text_makes_reading_abort(text in ".{0,200}", body in "[A-Za-z0-9+/=\n]{0,200}") {
        let block = format!("-----BEGIN CERTIFICATE-----\n{body}\n-----END CERTIFICATE-----\n{text}");
        let _ = Ca::from_pem(&block, &text);
        let _ = Leaf::from_pem(&text, &block);
        let _ = TrustBundle::from_pem(&block);
        let _ = text.parse::<vibectl_pki::Name>();
    }

    #[test]
    fn a_flipped_byte_in_a_ca_is_an_error_or_another_ca_but_never_an_abort(position in 0usize..600, bit in 0u8..8) {
        let ca = ca();
        let mut text = ca.chain_pem().into_bytes();
        let position = position % text.len();
        text[position] ^= 1 << bit;
        if let Ok(text) = String::from_utf8(text) {
            let _ = Ca::from_pem(&text, &ca.key_pem());
        }
    }
}
