//! What is wrong is said in one line, with what to do, and the exit code tells a mistake from bad luck.

use std::net::TcpListener;

use crate::support::{Server, run};

fn refused(arguments: &[&str], config: &str) -> (Option<i32>, String) {
    let folder = tempfile::tempdir().expect("a folder");
    std::fs::write(folder.path().join("c.yaml"), config).expect("a config");
    let ended = run(folder.path(), arguments);
    assert_eq!(ended.out, "");
    (ended.code, ended.err)
}

#[test]
fn serving_without_a_certificate_names_the_ways_to_have_one() {
    let (code, text) = refused(&["serve", "--no-require-auth"], "");

    assert_eq!(code, Some(64));
    for way in ["tls.cert_file", "serve --tls", "serve-ca", "serve-custom", "tls.enabled: false"] {
        assert!(text.contains(way), "{way}: {text}");
    }
}

#[test]
fn a22_serving_with_authentication_but_no_secret_says_how_to_make_one() {
    let (code, text) = refused(&["serve", "--config", "c.yaml"], "tls: {enabled: false}");

    assert_eq!(code, Some(64));
    assert!(text.contains("VIBECTL_JWT_SECRET") && text.contains("config generate-secret"), "{text}");
}

#[test]
fn every_mistake_of_a_config_file_is_told_at_once_with_its_place() {
    let config = "server:\n  prot: 1\n  port: 70000\nmodels: 7\n";

    let (code, text) = refused(&["serve-insecure", "--config", "c.yaml"], config);

    assert_eq!(code, Some(64));
    let mistakes: Vec<_> = text.lines().filter(|line| line.starts_with("error: c.yaml:")).collect();
    assert_eq!(mistakes.len(), 3, "{text}");
    assert!(text.contains("c.yaml:2:3: server.prot") && text.contains("c.yaml:3:9: server.port"), "{text}");
}

#[test]
fn a_config_file_that_was_named_has_to_be_there() {
    let (code, text) = refused(&["serve-insecure", "--config", "gone.yaml"], "");

    assert_eq!((code, text.contains("gone.yaml: no such file")), (Some(64), true), "{text}");
}

#[test]
fn certificate_files_that_are_not_there_keep_the_port_shut() {
    let arguments = ["serve-custom", "--cert-file", "a.crt", "--key-file", "a.key", "--no-require-auth"];

    let (code, text) = refused(&arguments, "");

    assert_eq!((code, text.contains("tls: a.crt: no such file")), (Some(64), true), "{text}");
}

#[test]
fn a_ca_that_is_not_there_names_the_command_that_makes_one() {
    let (code, text) = refused(&["serve-ca", "--no-require-auth"], "");

    assert_eq!((code, text.contains("vibectl-server ca init")), (Some(64), true), "{text}");
}

#[test]
fn h12_without_accepted_terms_acme_does_not_start_and_says_how_to_accept_them() {
    let flag = refused(&["serve-acme", "--email", "a@b.example", "--domain", "b.example"], "");
    let config = "acme: {enabled: true, email: a@b.example, domains: [b.example]}";
    let file = refused(&["serve", "--no-require-auth", "--config", "c.yaml"], config);

    for (code, text) in [flag, file] {
        assert_eq!(code, Some(64), "{text}");
        assert!(
            text.contains("--agree-tos") && text.contains("https://letsencrypt.org/repository/"),
            "{text}"
        );
    }
}

#[test]
fn h12_a_directory_without_tls_and_names_that_are_none_are_mistakes() {
    let acme = ["serve-acme", "--no-require-auth", "--agree-tos", "--email", "a@b.example"];
    let plain = refused(
        &[&acme[..], &["--domain", "b.example", "--directory-url", "http://ca.example/"]].concat(),
        "",
    );
    let address = refused(&[&acme[..], &["--domain", "10.0.0.1"]].concat(), "");
    let wildcard = refused(&[&acme[..], &["--domain", "*.b.example"]].concat(), "");

    assert!(plain.1.contains("begin with https://"), "{}", plain.1);
    assert!(address.1.contains("`10.0.0.1` is an address"), "{}", address.1);
    assert!(wildcard.1.contains("dns-01 only"), "{}", wildcard.1);
    assert_eq!((plain.0, address.0, wildcard.0), (Some(64), Some(64), Some(64)));
}

#[test]
fn options_of_another_command_and_contradictions_are_mistakes() {
    let strange = refused(&["serve-insecure", "--cert-file", "x"], "");
    let both = refused(&["serve", "--require-auth", "--no-require-auth"], "");
    let alone = refused(&["serve-insecure", "--metrics-port", "9"], "");

    assert_eq!((strange.0, both.0, alone.0), (Some(64), Some(64), Some(64)));
    assert!(alone.1.contains("--enable-metrics"), "{}", alone.1);
}

#[test]
fn a_port_in_use_is_named() {
    let taken = TcpListener::bind(("127.0.0.1", 0)).expect("a port");
    let port = taken.local_addr().expect("an address").port().to_string();

    let (code, text) = refused(&["serve-insecure", "--port", &port], "");

    assert_eq!((code, text.contains(&format!("127.0.0.1:{port}"))), (Some(1), true), "{text}");
}

#[test]
fn a_start_writes_nothing_at_home() {
    let server = Server::insecure("");

    let files = std::fs::read_dir(server.folder.path()).expect("a folder").count();

    assert_eq!(files, 1, "only the config file of the test");
}
