//! The section `acme`: what it needs once it is enabled, and what of the original has no effect.

use vibectl_config::{Config, Dns};

const GOOD: &str = "enabled: true, email: a@b.example, domains: [b.example], agree_tos: true";

fn mistakes(acme: &str) -> String {
    let parsed = Config::parse(&format!("acme: {{{acme}}}"), "c.yaml");
    parsed.err().map(|mistakes| mistakes.to_string()).unwrap_or_default()
}

#[test]
fn a_whole_section_is_good() {
    let config = Config::parse(&format!("acme: {{{GOOD}}}"), "c.yaml").unwrap().config;

    assert!(config.acme.enabled);
    assert_eq!(config.acme.directory(), "https://acme-v02.api.letsencrypt.org/directory");
}

#[test]
fn what_is_missing_is_named_all_at_once() {
    let text = mistakes("enabled: true");

    assert!(text.contains("acme.email: expected an e-mail address"), "{text}");
    assert!(text.contains("acme.domains: expected at least one name"), "{text}");
    assert!(text.contains("acme.agree_tos: accept the terms of service"), "{text}");
}

#[test]
fn h12_terms_are_accepted_explicitly_and_the_error_names_them_and_the_flag() {
    let lets_encrypt = mistakes("enabled: true, email: a@b.example, domains: [b.example]");
    let other = mistakes(
        "enabled: true, email: a@b.example, domains: [b.example], directory_url: \"https://ca.example/dir\"",
    );

    assert!(lets_encrypt.contains("https://letsencrypt.org/repository/"), "{lets_encrypt}");
    assert!(lets_encrypt.contains("--agree-tos"), "{lets_encrypt}");
    assert!(other.contains("meta.termsOfService in https://ca.example/dir"), "{other}");
}

#[test]
fn h13_staging_is_another_server_and_excludes_a_third() {
    let config = Config::parse(&format!("acme: {{{GOOD}, staging: true}}"), "c.yaml").unwrap().config;
    assert_eq!(config.acme.directory(), "https://acme-staging-v02.api.letsencrypt.org/directory");

    let text = mistakes(&format!("{GOOD}, staging: true, directory_url: \"https://ca.example/dir\""));

    assert!(text.contains("acme.staging: contradicts acme.directory_url"), "{text}");
}

#[test]
fn dns_has_exactly_one_way_and_is_needed_for_dns_01_and_for_wildcards() {
    let update = "rfc2136: {server: \"ns:53\", zone: b.example, key_name: k, key_file: /k}";
    let both = mistakes(&format!("dns: {{{update}, exec: {{command: [a]}}}}"));
    let none = mistakes("dns: {}");
    let missing = mistakes(&format!("{GOOD}, challenge: {{type: dns-01}}"));
    let wildcard = mistakes("enabled: true, email: a@b.example, domains: [\"*.b.example\"], agree_tos: true");
    let good =
        Config::parse(&format!("acme: {{{GOOD}, challenge: {{type: dns-01}}, dns: {{{update}}}}}"), "c.yaml");

    assert!(both.contains("exactly one of the blocks rfc2136, exec"), "{both}");
    assert!(none.contains("exactly one of the blocks rfc2136, exec"), "{none}");
    assert!(missing.contains("acme.dns: missing"), "{missing}");
    assert!(wildcard.contains("dns-01 only"), "{wildcard}");
    assert!(matches!(good.unwrap().config.acme.dns, Some(Dns::Update(update)) if update.wait_seconds == 10));
}

#[test]
fn keys_of_the_original_without_effect_say_so() {
    let text = "acme: {http_port: 8080, challenge_dir: /c, renew_days_before_expiry: 5}";

    let notices = Config::parse(text, "c.yaml").unwrap().notices;

    assert_eq!(notices.len(), 3);
    assert!(notices.iter().all(|notice| notice.text().starts_with("without effect")), "{notices:?}");
}

#[test]
fn a_secret_has_no_place_in_the_file() {
    let text = mistakes("eab: {kid: k, hmac_key: hunter2}");

    assert!(text.contains("use hmac_key_file") && !text.contains("hunter2"), "{text}");
}

#[test]
fn the_http_listener_needs_a_port_of_its_own() {
    let text = mistakes(&format!("{GOOD}, challenge: {{http_port: 50051}}"));

    assert!(text.contains("acme.challenge.http_port: 50051 is server.port already"), "{text}");
}
