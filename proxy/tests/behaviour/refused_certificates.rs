//! No mode falls back to a weaker one. With each input missing, torn, mismatched, expired or garbage the port stays shut, or
//! the last good content stays in force; the log and a metric name the reason.

use std::fs;
use std::net::TcpStream;
use std::path::Path;

use jiff::{SignedDuration, Timestamp};
use vibectl_pki::{Ca, Crls, IssueRequest, Leaf, Names, Usage};

use crate::support::tls::{DAY, ca, client, leaf, put_pair};
use crate::support::{Server, free_port, run};

/// What becomes of one file.
#[derive(Clone, Debug)]
enum Broken {
    Missing,
    Empty,
    Garbage,
    Torn,
    Other(String),
}

impl Broken {
    fn apply(&self, file: &Path) {
        let whole = fs::read(file).unwrap_or_default();
        match self {
            Self::Missing => fs::remove_file(file).expect("removed"),
            Self::Empty => fs::write(file, "").expect("written"),
            Self::Garbage => fs::write(file, [0xff, 0xfe, 0x00, 0x9f]).expect("written"),
            Self::Torn => fs::write(file, &whole[..whole.len() / 2]).expect("written"),
            Self::Other(text) => fs::write(file, text).expect("written"),
        }
    }
}

/// A folder with everything that each mode needs, all of it good.
fn good() -> tempfile::TempDir {
    let folder = tempfile::tempdir().expect("a folder");
    let clients = ca();
    put_pair(folder.path(), &leaf(&ca(), Usage::Server, DAY));
    let at = |name: &str| folder.path().join(name);
    fs::write(at("clients.crt"), clients.chain_pem()).expect("written");
    fs::write(at("clients.crl"), list(&clients, 24)).expect("written");
    for arguments in [
        &["ca", "init", "--ca-dir", "ca"][..],
        &[
            "generate-certs",
            "--cert-file",
            ".config/vibectl/server/certs/server.crt",
            "--key-file",
            ".config/vibectl/server/certs/server.key",
        ],
    ] {
        assert_eq!(run(folder.path(), arguments).code, Some(0), "{arguments:?}");
    }
    fs::write(at("config.yaml"), CLIENTS).expect("a config");
    folder
}

const CLIENTS: &str =
    "server: {host: 127.0.0.1}\ntls: {ca_bundle_file: clients.crt, client_crl_file: clients.crl}\n";

/// A list that is stale so many hours from now.
fn list(ca: &Ca, hours: i64) -> String {
    let now = Timestamp::now();
    let list = ca.revocation_list(
        &[],
        1,
        now - SignedDuration::from_hours(48),
        now + SignedDuration::from_hours(hours),
    );
    Crls::from_iter([list.expect("a list")]).to_pem()
}

/// A pair that ended some days ago.
fn expired() -> Leaf {
    let (names, long_ago) =
        (Names::parse(["localhost"]).expect("names"), Timestamp::now() - SignedDuration::from_hours(240));
    let ca = Ca::constrained("old", &names, DAY * 30, long_ago).expect("a CA");
    ca.issue(&IssueRequest { names: &names, usage: Usage::Server, validity: DAY, now: long_ago })
        .expect("a leaf")
}

const CUSTOM: [&str; 5] = ["serve-custom", "--cert-file", "tls.crt", "--key-file", "tls.key"];
const BY_CA: [&str; 3] = ["serve-ca", "--ca-dir", "ca"];
const SELF_SIGNED: [&str; 2] = ["serve", "--tls"];
const CERTS: &str = ".config/vibectl/server/certs";

/// Mode, file, what is wrong with it, and what is said about it.
fn starts() -> Vec<(&'static [&'static str], String, Broken, &'static str)> {
    let (stranger, expired) = (leaf(&ca(), Usage::Server, DAY), expired());
    let other_key = || Broken::Other(stranger.key_pem().to_string());
    let mut cases: Vec<(&[&str], String, Broken, &str)> = vec![
        (&CUSTOM, "tls.crt".into(), Broken::Missing, "tls.crt: no such file"),
        (&CUSTOM, "tls.key".into(), Broken::Missing, "tls.key: no such file"),
        (&CUSTOM, "tls.crt".into(), Broken::Empty, "no certificate found"),
        (&CUSTOM, "tls.key".into(), Broken::Empty, "no private key found"),
        (&CUSTOM, "tls.crt".into(), Broken::Garbage, "tls.crt is not PEM"),
        (&CUSTOM, "tls.key".into(), Broken::Garbage, "tls.key is not PEM"),
        (&CUSTOM, "tls.crt".into(), Broken::Torn, "failed to read PEM block 1: it is damaged"),
        (&CUSTOM, "tls.key".into(), Broken::Torn, "failed to read the private key"),
        (&CUSTOM, "tls.key".into(), other_key(), "the private key does not belong to the certificate"),
        (&CUSTOM, "tls.crt".into(), Broken::Other(expired.chain_pem()), "does not belong to the certificate"),
        (&BY_CA, "ca/intermediate/ca.crt".into(), Broken::Missing, "vibectl-server ca init"),
        (&BY_CA, "ca/intermediate/ca.key".into(), Broken::Missing, "failed to read ca/intermediate/ca.key"),
        (&BY_CA, "ca/intermediate/ca.crt".into(), Broken::Garbage, "failed to read ca/intermediate/ca.crt"),
        (&BY_CA, "ca/intermediate/ca.crt".into(), Broken::Torn, "it is damaged"),
        (&BY_CA, "ca/intermediate/ca.key".into(), Broken::Torn, "failed to read the private key"),
        (&BY_CA, "ca/intermediate/ca.key".into(), other_key(), "does not belong to the CA certificate"),
        (&BY_CA, "ca/intermediate/ca.crt".into(), Broken::Other(stranger.chain_pem()), "cannot be used"),
        (&SELF_SIGNED, format!("{CERTS}/server.crt"), Broken::Missing, "exists without"),
        (&SELF_SIGNED, format!("{CERTS}/server.key"), Broken::Missing, "exists without"),
        (&SELF_SIGNED, format!("{CERTS}/server.crt"), Broken::Garbage, "failed to use"),
        (&SELF_SIGNED, format!("{CERTS}/server.crt"), Broken::Torn, "it is damaged"),
        (&SELF_SIGNED, format!("{CERTS}/server.key"), Broken::Torn, "failed to read the private key"),
        (&SELF_SIGNED, format!("{CERTS}/server.key"), other_key(), "does not belong to the certificate"),
    ];
    for mode in [&CUSTOM[..], &BY_CA, &SELF_SIGNED] {
        cases.extend([
            (mode, "clients.crt".into(), Broken::Missing, "clients.crt: no such file"),
            (mode, "clients.crt".into(), Broken::Empty, "client CA: no certificate found"),
            (mode, "clients.crt".into(), Broken::Garbage, "ca.crt is not PEM"),
            (mode, "clients.crt".into(), Broken::Torn, "client CA: failed to read PEM block 1"),
            (mode, "clients.crl".into(), Broken::Missing, "clients.crl: no such file"),
            (mode, "clients.crl".into(), Broken::Empty, "client CRL: no revocation list found"),
            (mode, "clients.crl".into(), Broken::Torn, "client CRL: failed to read PEM block 1"),
            (mode, "clients.crl".into(), Broken::Other(list(&ca(), -1)), "was due to be replaced at"),
        ]);
    }
    cases
}

#[test]
fn with_any_input_that_cannot_be_used_the_port_stays_shut_and_the_reason_is_said() {
    for (mode, file, broken, reason) in starts() {
        let folder = good();
        broken.apply(&folder.path().join(&file));
        let port = free_port();

        let port_text = port.to_string();
        let common = ["--config", "config.yaml", "--no-require-auth", "--port", &port_text];
        let ended = run(folder.path(), &[mode, &common].concat());

        let case = format!("{} with {file} {broken:.20?}", mode[0]);
        assert!(matches!(ended.code, Some(1 | 64)), "{case}: {:?} {}", ended.code, ended.err);
        assert!(ended.err.contains(reason), "{case}: {}", ended.err);
        assert!(!ended.err.contains("\"message\":\"listening\""), "{case}: {}", ended.err);
        assert!(TcpStream::connect(("127.0.0.1", port)).is_err(), "{case}");
    }
}

#[test]
fn each_mode_starts_with_good_inputs() {
    for mode in [&CUSTOM[..], &BY_CA, &SELF_SIGNED] {
        let server = Server::start_in(good(), &[mode, &["--no-require-auth"]].concat(), CLIENTS);

        server.wait_for("ready", |server| server.admin_get("/readyz").is_some_and(|answer| answer.0 == 200));
        // The log is read by a thread of its own.
        server.wait_for("the log line", |server| server.log().contains("\"tls\":true"));
    }
}

#[test]
fn an_expired_pair_of_somebody_else_is_neither_served_nor_replaced() {
    let folder = good();
    let pair = expired();
    put_pair(folder.path(), &pair);
    let certs = folder.path().join(CERTS);
    fs::write(certs.join("server.crt"), pair.chain_pem()).expect("written");
    fs::write(certs.join("server.key"), pair.key_pem().as_bytes()).expect("written");

    for mode in [&CUSTOM[..], &SELF_SIGNED] {
        let ended = run(folder.path(), &[mode, &["--no-require-auth"]].concat());
        assert!(ended.err.contains("the certificate expired at"), "{mode:?}: {}", ended.err);
    }
    assert_eq!(fs::read_to_string(certs.join("server.crt")).expect("there"), pair.chain_pem());
}

#[test]
fn while_it_runs_the_last_good_content_stays_and_log_and_metric_name_the_reason() {
    let own = ca();
    let first = leaf(&own, Usage::Server, DAY);
    let clients = ca();
    let folder = good();
    put_pair(folder.path(), &first);
    fs::write(folder.path().join("clients.crt"), clients.chain_pem()).expect("written");
    fs::write(folder.path().join("clients.crl"), list(&clients, 24)).expect("written");
    let server = Server::start_in(folder, &[&CUSTOM[..], &["--no-require-auth"]].concat(), CLIENTS);
    server.wait_for("ready", |server| server.admin_get("/readyz").is_some_and(|answer| answer.0 == 200));
    let caller = client(&own, &[b"http/1.1"], Some(&leaf(&clients, Usage::Client, DAY)));
    let rejected = |part: &str| format!("vibectl_part_rejected{{part=\"{part}\"}}");

    for (part, file, broken, reason) in [
        ("tls", "tls.crt", Broken::Missing, "tls.crt is missing"),
        ("tls", "tls.crt", Broken::Garbage, "tls.crt is not PEM"),
        ("tls", "tls.crt", Broken::Torn, "PEM block 1: it is damaged"),
        ("tls", "tls.key", Broken::Torn, "failed to read the private key"),
        (
            "tls",
            "tls.key",
            Broken::Other(expired().key_pem().to_string()),
            "does not belong to the certificate",
        ),
        ("client-ca", "clients.crt", Broken::Missing, "clients.crt: no such file"),
        ("client-ca", "clients.crt", Broken::Empty, "client CA: no certificate found"),
        ("client-ca", "clients.crl", Broken::Missing, "clients.crl: no such file"),
        ("client-ca", "clients.crl", Broken::Torn, "client CRL: failed to read PEM block 1"),
        ("client-ca", "clients.crl", Broken::Other(list(&clients, -1)), "was due to be replaced at"),
    ] {
        let path = server.folder.path().join(file);
        let whole = fs::read(&path).expect("good");
        broken.apply(&path);
        server.wait_for(reason, |server| server.metric(&rejected(part)) == 1);

        server.wait_for(reason, |server| server.log().contains(reason));
        assert_eq!(server.get_over_tls(&caller, None).expect(reason), 200);
        assert_eq!(server.served(&caller), *first.chain().leaf(), "{reason}");
        assert!(server.get_over_tls(&client(&own, &[b"http/1.1"], None), None).is_err(), "{reason}");

        fs::write(&path, whole).expect("mended");
        server.wait_for("the mended one", |server| server.metric(&rejected(part)) == 0);
    }
}
