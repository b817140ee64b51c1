//! Before there is a certificate, and when there will be none.

use super::pebble::Pebble;
use super::server::{NAME, Setup, handshake};

#[test]
fn without_a_certificate_the_port_answers_nobody_and_the_server_is_not_ready() {
    let pebble = Pebble::start();
    let mut setup = Setup::new(&pebble);
    // The ACME server looks for the answer where nobody listens.
    setup.config =
        setup.config.replace(&pebble.http_port.to_string(), &super::process::free_port().to_string());

    let mut server = setup.start();
    server.wait_for_log("got no certificate from the ACME server");

    assert!(!server.is_ready());
    assert!(server.admin_get("/readyz").expect("an answer").contains("no certificate yet"));
    for protocols in ["h2", "http/1.1", "acme-tls/1"] {
        let said = handshake(server.port, NAME, protocols);
        assert!(!said.contains("BEGIN CERTIFICATE"), "{protocols}: {said}");
    }
    assert_eq!(server.metric("vibectl_acme_events_total{event=\"failed\"}"), 1);
    assert!(!setup.chain_copy().exists(), "nothing takes the place of the certificate");
    assert!(!server.process.has_ended());
    server.process.terminate();
}

#[tokio::test]
async fn a_restart_serves_with_the_last_good_certificate_while_the_acme_server_is_away() {
    let mut pebble = Pebble::start();
    let setup = Setup::new(&pebble);
    let mut server = setup.start();
    server.wait_until_ready();
    server.process.terminate();
    let root = pebble.root().await;
    pebble.process.kill();

    let server = setup.start();
    server.wait_until_ready();

    assert_eq!(server.call(NAME, &root).await.expect("an answer"), 200);
}
