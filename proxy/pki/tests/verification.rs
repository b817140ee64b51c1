//! Chains that this crate issues, judged by two verifiers that are not ours: OpenSSL and webpki.
//!
//! The names outside a CA's constraints are signed here behind the crate's back, as someone with a stolen CA key would do.

#![expect(clippy::expect_used, reason = "a test ends where its preparation fails")]

#[path = "verification/forge.rs"]
mod forge;
#[path = "verification/openssl.rs"]
mod openssl;
#[path = "verification/webpki.rs"]
mod webpki;

use std::time::Duration;

use jiff::Timestamp;
use vibectl_pki::{Ca, IssueError, IssueRequest, Leaf, Names, Subject, Usage};

const DAY: Duration = Duration::from_hours(24);

/// Names like those of a proxy `team` in namespace `ai`.
const PROXY: [&str; 5] = ["team.ai.svc", "team.ai.svc.cluster.local", "team.ai", "team", "llm.example.org"];

fn now() -> Timestamp {
    Timestamp::now()
}

fn names(names: &[&str]) -> Names {
    Names::parse(names).expect("names")
}

fn constrained(permitted: &[&str]) -> Ca {
    Ca::constrained("vibectl ai/team", &names(permitted), DAY * 3650, now()).expect("a CA")
}

fn issue(ca: &Ca, wanted: &[&str]) -> Leaf {
    let names = names(wanted);
    ca.issue(&IssueRequest { names: &names, usage: Usage::Server, validity: DAY, now: now() })
        .expect("a leaf")
}

/// What each verifier says about a chain for one name.
#[derive(Debug, PartialEq, Eq)]
struct Verdicts {
    openssl: Option<bool>,
    webpki: bool,
}

const ACCEPTED: Verdicts = Verdicts { openssl: Some(true), webpki: true };
const REFUSED: Verdicts = Verdicts { openssl: Some(false), webpki: false };

/// Asks both verifiers whether `chain` is good for `name` under `anchors`. Without the `openssl` program, webpki alone.
fn judge(anchors: &str, chain: &str, name: &str) -> Verdicts {
    let webpki = webpki::accepts(anchors, chain, name);
    Verdicts { openssl: openssl::accepts(anchors, chain, name).or(Some(webpki)), webpki }
}

#[test]
fn a_leaf_of_a_constrained_ca_is_accepted_for_each_of_its_names() {
    let ca = constrained(&PROXY);

    let leaf = issue(&ca, &PROXY);

    for name in PROXY {
        assert_eq!(judge(&ca.chain_pem(), &leaf.chain_pem(), name), ACCEPTED, "{name}");
    }
}

#[test]
fn a_leaf_signed_with_a_stolen_key_for_a_name_outside_the_constraints_is_refused() {
    let ca = constrained(&PROXY);

    for name in
        ["api.openai.com", "kubernetes.default.svc", "other.ai.svc", "10.0.0.7", "fd00::7", "sub.team"]
    {
        let forged = forge::leaf(&ca, &[name]);

        assert_eq!(judge(&ca.chain_pem(), &forged, name), REFUSED, "{name}");
    }
}

#[test]
fn one_foreign_name_among_permitted_ones_spoils_the_leaf() {
    let ca = constrained(&PROXY);

    let forged = forge::leaf(&ca, &["llm.example.org", "example.com"]);

    assert_eq!(judge(&ca.chain_pem(), &forged, "llm.example.org"), REFUSED);
}

#[test]
fn a_ca_for_a_proxy_with_an_address_has_no_constraint_on_addresses_and_all_those_on_names() {
    let ca = constrained(&["team.ai.svc", "10.0.0.7"]);

    let leaf = issue(&ca, &["team.ai.svc", "10.0.0.7", "fd00::7"]);

    for name in ["team.ai.svc", "10.0.0.7", "fd00::7"] {
        assert_eq!(judge(&ca.chain_pem(), &leaf.chain_pem(), name), ACCEPTED, "{name}");
    }
    assert_eq!(judge(&ca.chain_pem(), &forge::leaf(&ca, &["example.com"]), "example.com"), REFUSED);
}

#[test]
fn a_ca_for_addresses_alone_is_good_for_no_dns_name() {
    let ca = constrained(&["10.0.0.7", "fd00::7"]);

    assert_eq!(judge(&ca.chain_pem(), &issue(&ca, &["fd00::7"]).chain_pem(), "fd00::7"), ACCEPTED);
    assert_eq!(judge(&ca.chain_pem(), &forge::leaf(&ca, &["example.org"]), "example.org"), REFUSED);
}

#[test]
fn a_proxy_named_like_a_top_level_domain_does_not_get_a_ca_for_that_domain() {
    let ca = constrained(&["com", "com.ai.svc"]);

    assert_eq!(judge(&ca.chain_pem(), &issue(&ca, &["com"]).chain_pem(), "com"), ACCEPTED);
    assert_eq!(judge(&ca.chain_pem(), &forge::leaf(&ca, &["example.com"]), "example.com"), REFUSED);
}

#[test]
fn a_wildcard_host_is_permitted_as_itself() {
    let ca = constrained(&["*.example.org"]);

    let leaf = issue(&ca, &["*.example.org"]);

    assert_eq!(judge(&ca.chain_pem(), &leaf.chain_pem(), "llm.example.org"), ACCEPTED);
}

#[test]
fn a_ca_made_with_a_stolen_key_gets_no_further_than_the_constraints() {
    let ca = constrained(&PROXY);

    let inside = forge::leaf_under_forged_intermediate(&ca, "llm.example.org");
    let outside = forge::leaf_under_forged_intermediate(&ca, "example.com");

    assert_eq!(judge(&ca.chain_pem(), &outside, "example.com"), REFUSED);
    // webpki does not look at the path length of a trust anchor. OpenSSL does.
    assert_ne!(openssl::accepts(&ca.chain_pem(), &inside, "llm.example.org"), Some(true));
}

#[test]
fn the_crate_itself_refuses_to_sign_outside_the_constraints() {
    let ca = constrained(&PROXY);

    for name in ["example.com", "fd00::1", "sub.team"] {
        let names = names(&["llm.example.org", name]);
        let request = IssueRequest { names: &names, usage: Usage::Server, validity: DAY, now: now() };
        assert_eq!(ca.issue(&request).err(), Some(IssueError::NotPermitted(name.to_owned())));
    }
}

#[test]
fn a_leaf_under_root_and_intermediate_is_accepted_with_the_root_alone() {
    let subject = |name: &str| Subject {
        common_name: name.to_owned(),
        organization: Some("vibectl".to_owned()),
        country: Some("US".to_owned()),
    };
    let root = Ca::root(&subject("vibectl Root CA"), DAY * 3650, now()).expect("a root");
    let intermediate =
        root.intermediate(&subject("vibectl Intermediate CA"), DAY * 1825, now()).expect("an intermediate");

    let leaf = issue(&intermediate, &["localhost", "127.0.0.1"]);

    assert_eq!(leaf.chain().certificates().len(), 2);
    assert_eq!(judge(&root.chain_pem(), &leaf.chain_pem(), "localhost"), ACCEPTED);
    assert_eq!(judge(&root.chain_pem(), &leaf.chain_pem(), "127.0.0.1"), ACCEPTED);
    assert_eq!(intermediate.facts().subject, "C=US, O=vibectl, CN=vibectl Intermediate CA");
}

#[test]
fn old_and_new_leaf_are_both_accepted_while_the_bundle_holds_both_cas() {
    use vibectl_pki::CaState;
    let (old, new) = (constrained(&PROXY), constrained(&PROXY));
    let before = issue(&old, &PROXY);
    let after = issue(&new, &PROXY);

    let both = CaState::new(old).prepare(new, now()).switch(now()).bundle().to_pem();

    assert_eq!(judge(&both, &before.chain_pem(), "team.ai.svc"), ACCEPTED);
    assert_eq!(judge(&both, &after.chain_pem(), "team.ai.svc"), ACCEPTED);
}

#[test]
fn a_self_signed_leaf_is_accepted_when_it_is_pinned() {
    let leaf = Leaf::self_signed(&names(&["localhost", "127.0.0.1"]), DAY, now()).expect("a leaf");

    assert_eq!(judge(&leaf.chain_pem(), &leaf.chain_pem(), "localhost"), ACCEPTED);
}
