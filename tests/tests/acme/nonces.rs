//! An ACME server that refuses good nonces, as Pebble can.

use super::pebble::{Options, Pebble};
use super::server::Setup;

fn refusing(percent: u32) -> Pebble {
    Pebble::with(&Options { bad_nonces: percent, ..Options::default() })
}

#[test]
fn h01_five_percent_bad_nonces_cost_nothing() {
    let pebble = refusing(5);
    Setup::new(&pebble).start().wait_until_ready();
}

#[test]
fn h01_fifty_percent_bad_nonces_are_endured() {
    let pebble = refusing(50);
    Setup::new(&pebble).start().wait_until_ready();
}

#[test]
fn h01_ninety_percent_end_with_a_clear_error_and_a_bounded_number_of_tries() {
    let pebble = refusing(90);
    let server = Setup::new(&pebble).start();

    server.wait_for_log("badNonce");

    let log = server.process.output();
    assert!(log.contains("got no certificate from the ACME server"), "{log}");
    let posts = pebble.process.count("POST ");
    assert!(posts <= 60, "{posts} requests");
}
