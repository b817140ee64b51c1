//! What is read and worth a word: keys of the original, and what has no effect.

use vibectl_config::{Config, Parsed};

fn notices(parsed: &Parsed) -> Vec<String> {
    parsed.notices.iter().map(ToString::to_string).collect()
}

#[test]
fn the_production_file_of_the_original_starts_no_open_server() {
    let text = "\
server:
  use_tls: true
  require_auth: true
  cert_file: /certs/tls.crt
  key_file: /certs/tls.key
  max_workers: 20
jwt:
  expiration_hours: 24
";

    let parsed = Config::parse(text, "config.yaml").unwrap();

    assert_eq!(parsed.config.tls.enabled, Some(true));
    assert_eq!(parsed.config.tls.cert_file, Some("/certs/tls.crt".into()));
    assert_eq!(parsed.config.tls.key_file, Some("/certs/tls.key".into()));
    assert!(parsed.config.requires_authentication(true));
    let expected = [
        "config.yaml:2:12: server.use_tls: deprecated: use tls.enabled",
        "config.yaml:3:17: server.require_auth: deprecated: use jwt.enabled, or the flag --no-require-auth",
        "config.yaml:4:14: server.cert_file: deprecated: use tls.cert_file",
        "config.yaml:5:13: server.key_file: deprecated: use tls.key_file",
        "config.yaml:6:16: server.max_workers: without effect: there is no pool of threads to size",
        "config.yaml:8:21: jwt.expiration_hours: without effect, as in the original; use jwt.expiration_days",
    ];
    assert_eq!(notices(&parsed), expected);
}

#[test]
fn both_spellings_may_say_the_same() {
    let parsed =
        Config::parse("server: {use_tls: true}\ntls: {enabled: true, cert_file: /c, key_file: /k}", "c.yaml");

    assert_eq!(parsed.unwrap().notices.len(), 1);
}

#[test]
fn a_secret_in_two_places_is_read_from_the_first() {
    let parsed = Config::parse("jwt: {secret_key: s, secret_key_file: /f}", "c.yaml").unwrap();

    assert_eq!(notices(&parsed), ["c.yaml:1:22: jwt.secret_key_file: not read: jwt.secret_key comes first"]);
}

#[test]
fn tls_without_a_certificate_leaves_the_choice_to_the_command() {
    let parsed = Config::parse("tls: {enabled: true}", "c.yaml").unwrap();

    let notice = "c.yaml:1:7: tls.enabled: there is no tls.cert_file and tls.key_file: the command has to say where a \
                  certificate comes from";
    assert_eq!(notices(&parsed), [notice]);
}

#[test]
fn authentication_is_off_only_on_purpose() {
    let config = |text: &str| Config::parse(text, "c.yaml").unwrap().config;

    assert!(config("").requires_authentication(false));
    assert!(!config("").requires_authentication(true));
    assert!(config("jwt: {enabled: false}").requires_authentication(false));
    assert!(config("jwt: {enabled: true}").requires_authentication(true));
    assert!(!config("server: {require_auth: false}").requires_authentication(false));
    assert!(config("access: {issuer: i, audience: a}").requires_authentication(true));
}
