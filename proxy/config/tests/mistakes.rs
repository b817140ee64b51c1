//! What the owner of a file with mistakes is told.

use vibectl_config::Config;

const FILE: &str = include_str!("files/mistakes.yaml");

#[test]
fn every_mistake_of_a_file_is_reported_in_one_go_with_its_place() {
    let mistakes = Config::parse(FILE, "config.yaml").unwrap_err();

    insta::assert_snapshot!(mistakes);
}

#[test]
fn no_mistake_shows_a_secret() {
    let mistakes = Config::parse(FILE, "config.yaml").unwrap_err().to_string();

    for secret in ["hunter2", "1234567890"] {
        assert!(FILE.contains(secret) && !mistakes.contains(secret), "{mistakes}");
    }
}

#[test]
fn a_forgotten_colon_or_space_does_not_show_a_secret() {
    for text in [
        "jwt: {secret_key hunter2}",
        "jwt: {secret_key:hunter2}",
        "jwt:\n  secret_key hunter2: x",
        "jwt:\n  secret_key:hunter2",
        "jwt:\n  secret_key:hunter2\n  enabled: true",
        "jwt:\n  secret_key = hunter2",
        "jwt: hunter2",
        "jwt: [hunter2]",
        "jwt:\n  secret_key: [hunter2]",
        "jwt:\n  secret_key: {hunter2: x}",
        "jwt:\n  secret_key: hunter2\n  secret_key: hunter2",
        "jwt:\n  secret_key: *hunter2",
        "jwt:\n  secret_key: !hunter2 x",
        "jwt:\n  secret_key: @hunter2",
        "jwt:\n  secret_key: \"hunter2",
        "jwt:\n  secret_key: \"hunter2\\q\"",
        "jwt:\n  secret_key: 'hunter2'x",
        "jwt:\n  secret_key: hunter2: x",
        "jwt:\n  secret_key: %hunter2",
        "secret_key: hunter2",
    ] {
        let mistakes = Config::parse(text, "config.yaml").unwrap_err().to_string();

        assert!(!mistakes.contains("hunter2"), "{text}\n{mistakes}");
    }
}

#[test]
fn retries_and_prices_that_make_no_sense_are_told_with_what_would() {
    let file = "providers:\n- {name: p, echo: {}, max_concurrency: 0, total_timeout_seconds: 3601, retries: {attempts: 6, base_ms: 9, cap_ms: 8}}\n\
                models:\n- {name: m, routes: [{provider: p, model: x, price: {input: 1e3, cached_input: -1}}]}\n";

    let mistakes = Config::parse(file, "config.yaml").unwrap_err();

    insta::assert_snapshot!(mistakes);
}
