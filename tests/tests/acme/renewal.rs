//! Renewal while the server runs.

use super::pebble::{Options, Pebble};
use super::process::wait_for;
use super::server::{NAME, Setup};

#[tokio::test]
async fn h07_a_window_of_the_server_that_has_begun_renews_at_the_next_start_and_names_what_it_replaces() {
    let pebble = Pebble::start();
    let setup = Setup::new(&pebble);
    let mut server = setup.start();
    server.wait_until_ready();
    server.process.kill();
    let chain = std::fs::read_to_string(setup.chain_copy()).expect("a chain");
    let leaf = chain.split_inclusive("-----END CERTIFICATE-----\n").next().expect("a leaf").to_owned();
    pebble.set_renewal_info(&leaf, "2020-01-01T00:00:00Z", "2020-01-02T00:00:00Z").await;
    // The server asks at its next check; a start with a history that never asked is one.
    let history = setup.record("history").expect("state");
    let mut record: serde_json::Value =
        serde_json::from_slice(&std::fs::read(&history).expect("read")).expect("JSON");
    record["renewal"] = serde_json::Value::Null;
    std::fs::write(&history, record.to_string()).expect("written");

    let server = setup.start();

    wait_for("it renews", || server.metric("vibectl_acme_events_total{event=\"renewed\"}") == 1);
    assert_eq!(pebble.orders(), 2);
    assert_eq!(pebble.process.count("has been marked as replaced"), 1);
    assert_eq!(server.call(NAME, &pebble.root().await).await.expect("an answer"), 200);
}

#[tokio::test]
async fn h08_a_certificate_of_a_few_seconds_is_renewed_while_calls_go_on() {
    let pebble = Pebble::with(&Options { validity_seconds: 24, ..Options::default() });
    let setup = Setup::new(&pebble);
    let server = setup.start();
    server.wait_until_ready();
    let root = pebble.root().await;

    let mut calls = 0;
    while server.metric("vibectl_acme_events_total{event=\"renewed\"}") < 2 {
        assert_eq!(server.call(NAME, &root).await.expect("an answer"), 200, "{}", server.process.output());
        calls += 1;
    }

    assert!(calls > 0);
    assert_eq!(server.metric("vibectl_acme_events_total{event=\"failed\"}"), 0);
}
