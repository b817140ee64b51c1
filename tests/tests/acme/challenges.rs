//! Every kind of proof, to the first answered call.

use std::time::Instant;

use super::bind::{Bind, ZONE};
use super::pebble::{Options, Pebble};
use super::process::wait_for;
use super::server::{NAME, Setup, handshake, http_get};

#[tokio::test]
async fn http_01_gets_a_certificate_for_several_names_and_serves_with_it() {
    let pebble = Pebble::start();
    let setup = Setup { names: vec![NAME, "b.example", "c.example"], ..Setup::new(&pebble) };
    let start = Instant::now();

    let server = setup.start();
    server.wait_until_ready();

    // Told, not judged: a machine may be busy.
    eprintln!("first certificate after {:?}", start.elapsed());
    let root = pebble.root().await;
    for name in setup.names.clone() {
        assert_eq!(server.call(name, &root).await.expect("an answer"), 200, "{name}");
    }
    assert_eq!(pebble.orders(), 1);
    assert_eq!(server.metric("vibectl_acme_events_total{event=\"issued\"}"), 1);
    assert!(server.metric("vibectl_certificate_expiry_timestamp_seconds") > 1_700_000_000);
    assert!(setup.chain_copy().is_file());
}

#[tokio::test]
async fn h10_tls_alpn_01_gets_a_certificate_and_callers_never_see_that_of_the_challenge() {
    let pebble = Pebble::start();
    let setup = Setup::alpn(&pebble);

    let server = setup.start();
    server.wait_until_ready();

    assert_eq!(server.call(NAME, &pebble.root().await).await.expect("an answer"), 200);
    assert!(server.process.output().contains("answered a challenge"));
    // Nothing is pending any more.
    let after = handshake(server.port, NAME, "acme-tls/1");
    assert!(after.contains("no application protocol"), "{after}");
    let caller = handshake(server.port, NAME, "h2");
    assert!(caller.contains("ALPN protocol: h2") && !caller.contains("acme challenge"), "{caller}");
}

#[tokio::test]
async fn h10_a_pending_challenge_is_answered_for_its_name_and_protocol_alone() {
    let pebble = Pebble::start();
    let setup = Setup::alpn(&pebble);
    let server = setup.start();
    server.wait_until_ready();
    let order = setup.record("history").expect("state");
    let answers = order.parent().expect("a folder").join("answers/tls-alpn-01");
    std::fs::create_dir_all(&answers).expect("made");
    std::fs::write(answers.join(NAME), "token.thumb").expect("written");

    let asked = |name: &str, protocols: &str| handshake(server.port, name, protocols);

    assert!(asked(NAME, "acme-tls/1").contains("acme challenge"));
    for (name, protocols) in [
        ("b.example", "acme-tls/1"),
        (NAME, "h2"),
        (NAME, "h2,acme-tls/1"),
        (NAME, "acme-tls/1,h2"),
        (NAME, "http/1.1"),
    ] {
        let said = asked(name, protocols);
        assert!(!said.contains("acme challenge"), "{name} {protocols}: {said}");
    }
}

#[tokio::test]
async fn h10_dns_01_goes_through_bind9_and_takes_back_its_record_and_no_other() {
    let bind = Bind::start();
    let pebble = Pebble::with(&Options { dns: Some(bind.address()), ..Options::default() });
    let mut setup = Setup { challenge: "dns-01", names: vec![ZONE, "*.b.example"], ..Setup::new(&pebble) };
    setup.config = format!("acme:\n  ca_cert_file: {}\n  {}\n", pebble.ca_file(), bind.section("key"));
    let record = format!("_acme-challenge.{ZONE}");
    assert_eq!(bind.txt(&record), ["not ours"]);

    let server = setup.start();
    server.wait_until_ready();

    assert_eq!(server.call("x.b.example", &pebble.root().await).await.expect("an answer"), 200);
    assert!(
        bind.process.output().contains("adding an RR at '_acme-challenge.b.example' TXT"),
        "{}",
        bind.process.output()
    );
    wait_for("the records are gone", || bind.txt(&record) == ["not ours"]);
}

#[test]
fn h10_dns_01_takes_back_its_record_after_a_failure_too() {
    let bind = Bind::start();
    // This ACME server asks another name server, so it never sees the record.
    let pebble = Pebble::start();
    let mut setup = Setup { challenge: "dns-01", names: vec![ZONE], ..Setup::new(&pebble) };
    setup.config = format!("acme:\n  ca_cert_file: {}\n  {}\n", pebble.ca_file(), bind.section("key"));

    let server = setup.start();
    server.wait_for_log("did not accept the proof of b.example");

    assert!(bind.process.output().contains("adding an RR"), "{}", bind.process.output());
    wait_for("the record is gone", || bind.txt(&format!("_acme-challenge.{ZONE}")) == ["not ours"]);
    assert!(!server.is_ready());
}

#[test]
fn dns_01_with_a_key_that_the_name_server_does_not_accept_says_where_to_look() {
    let bind = Bind::start();
    let pebble = Pebble::with(&Options { dns: Some(bind.address()), ..Options::default() });
    let mut setup = Setup { challenge: "dns-01", names: vec![ZONE], ..Setup::new(&pebble) };
    setup.config = format!("acme:\n  ca_cert_file: {}\n  {}\n", pebble.ca_file(), bind.section("wrong-key"));

    let server = setup.start();

    server.wait_for_log("refuses the update");
    assert!(!server.process.output().contains("d3Jvbmc"), "the key is in the log");
}

#[tokio::test]
async fn dns_01_goes_through_a_program_of_your_own() {
    let bind = Bind::start();
    let pebble = Pebble::with(&Options { dns: Some(bind.address()), ..Options::default() });
    let mut setup = Setup { challenge: "dns-01", names: vec![ZONE], ..Setup::new(&pebble) };
    let (script, log) = (setup.home.path().join("hook.sh"), setup.home.path().join("hook.log"));
    // Writes down what it is asked, and says no: that this is told is what is tried here.
    let text = format!("echo \"$ACME_DNS_ACTION $ACME_DNS_NAME $1\" >> {}\nexit 7\n", log.display());
    std::fs::write(&script, text).expect("written");
    let hook = format!("dns: {{exec: {{command: [/bin/sh, \"{}\", \"two words\"]}}}}", script.display());
    setup.config = format!("acme:\n  ca_cert_file: {}\n  {hook}\n", pebble.ca_file());

    let server = setup.start();
    server.wait_for_log("exit status: 7");

    let said = std::fs::read_to_string(log).expect("the program ran");
    assert!(said.starts_with("present _acme-challenge.b.example two words\n"), "{said}");
}

#[tokio::test]
async fn dns_01_by_a_program_of_your_own_gets_a_certificate_and_takes_back_its_record() {
    let bind = Bind::start();
    let pebble = Pebble::with(&Options { dns: Some(bind.address()), ..Options::default() });
    let mut setup = Setup { challenge: "dns-01", names: vec![ZONE], ..Setup::new(&pebble) };
    let script = setup.home.path().join("hook.sh");
    std::fs::write(&script, bind.nsupdate_hook()).expect("written");
    let hook = format!("dns: {{exec: {{command: [/bin/sh, \"{}\"]}}}}", script.display());
    setup.config = format!("acme:\n  ca_cert_file: {}\n  {hook}\n", pebble.ca_file());

    let server = setup.start();
    server.wait_until_ready();

    assert_eq!(server.call(ZONE, &pebble.root().await).await.expect("an answer"), 200);
    assert_eq!(pebble.orders(), 1);
    wait_for("the record is gone", || bind.txt(&format!("_acme-challenge.{ZONE}")) == ["not ours"]);
}

#[tokio::test]
async fn serve_picks_acme_when_the_config_says_so() {
    let pebble = Pebble::start();
    let mut setup = Setup::new(&pebble);
    let said = format!(
        "  enabled: true\n  email: a@b.example\n  domains: [{NAME}]\n  directory_url: {}\n  agree_tos: true\n",
        pebble.directory()
    );
    setup.config.push_str(&said);

    let server = setup.start_with(&["serve", "--no-require-auth"]);
    server.wait_until_ready();

    assert!(
        server.process.output().contains("\"because\":\"acme.enabled: true\""),
        "{}",
        server.process.output()
    );
    assert_eq!(server.call(NAME, &pebble.root().await).await.expect("an answer"), 200);
}

#[test]
fn the_answer_of_http_01_is_gone_once_it_was_used() {
    let pebble = Pebble::start();
    let setup = Setup::new(&pebble);
    let server = setup.start();
    server.wait_until_ready();

    let answers = setup.record("history").expect("state").parent().expect("a folder").join("answers/http-01");
    wait_for("no answer is left", || std::fs::read_dir(&answers).map_or(0, Iterator::count) == 0);
    let answer = http_get(pebble.http_port, "/.well-known/acme-challenge/x", NAME).expect("an answer");
    assert!(answer.starts_with("HTTP/1.1 404"), "{answer}");
}
