//! SIGKILL at the moments that can be seen from outside. Every single one, seen from inside, is tried in `vibectl-pki`.

use std::path::Path;

use super::pebble::Pebble;
use super::process::comes_true;
use super::server::{Server, Setup};

/// Kills the server as soon as the condition holds, starts another one, and waits for its certificate. True when a challenge was
/// pending at the kill, which comes a moment after what it waits for.
fn killed_when(setup: &Setup, mut condition: impl FnMut(&Server) -> bool) -> bool {
    let mut server = setup.start();
    let seen = comes_true(std::time::Duration::from_secs(20), || condition(&server) || server.is_ready());
    assert!(seen, "{}", server.process.output());
    server.process.kill();
    let pending = holds(setup.record("order"), "key_authorization");
    let server = setup.start();
    let ready = comes_true(std::time::Duration::from_secs(180), || server.is_ready());
    assert!(ready, "{}", server.process.output());
    pending
}

fn holds(path: Option<impl AsRef<Path>>, text: &str) -> bool {
    path.and_then(|path| std::fs::read_to_string(path).ok()).is_some_and(|content| content.contains(text))
}

#[test]
fn h02_killed_once_the_account_key_is_stored_it_goes_on_with_it() {
    let pebble = Pebble::start();
    let setup = Setup::new(&pebble);
    let mut key = String::new();

    killed_when(&setup, |_| setup.record("account").is_some());
    if let Some(path) = setup.record("account") {
        key = std::fs::read_to_string(path).expect("read");
    }

    assert!(key.contains("PRIVATE KEY"));
    assert_eq!(pebble.accounts(), 1);
    assert!(pebble.orders() <= 2);
}

#[test]
fn h02_killed_once_the_order_is_known_it_goes_on_with_it() {
    let pebble = Pebble::start();
    let setup = Setup::new(&pebble);

    let pending = killed_when(&setup, |_| holds(setup.record("order"), "/my-order/"));

    // A kill that came too late is that of the next test.
    assert!(pebble.orders() <= if pending { 2 } else { 1 });
    assert_eq!(pebble.accounts(), 1);
}

#[test]
fn h02_killed_while_a_challenge_is_pending_it_goes_on_with_it() {
    let pebble = Pebble::start();
    let setup = Setup::new(&pebble);

    killed_when(&setup, |_| holds(setup.record("order"), "key_authorization"));

    // A validation that was cut off has failed, and costs a second order once the back-off is over.
    assert!(pebble.orders() <= 2);
    assert_eq!(pebble.accounts(), 1);
}

#[test]
fn h02_killed_while_the_certificate_is_stored_it_serves_with_it() {
    let pebble = Pebble::start();
    let setup = Setup::new(&pebble);

    killed_when(&setup, |_| setup.record("certificate").is_some());

    assert_eq!((pebble.orders(), pebble.accounts()), (1, 1));
}
