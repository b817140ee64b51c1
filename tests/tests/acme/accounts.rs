//! External accounts, and accounts that belong to one ACME server.

use super::pebble::{Options, Pebble};
use super::process::private;
use super::server::Setup;

const KID: &str = "kid-1";
/// 32 bytes in base64url.
const KEY: &str = "zWNDZM6eQGHWpSRTPal5eIUYFTu7EajVIoguysqZ9wG44nMEtx3MUAsUDkMTQ12W";

fn wanting_external_accounts() -> Pebble {
    Pebble::with(&Options { external: vec![(KID, KEY)], ..Options::default() })
}

fn with_key(pebble: &Pebble, kid: &str, key: &str) -> Setup {
    let mut setup = Setup::new(pebble);
    let file = setup.home.path().join("hmac");
    private(&file, &format!("{key}\n"));
    let eab = format!("  eab: {{kid: {kid}, hmac_key_file: {}}}\n", file.display());
    setup.config.push_str(&eab);
    setup
}

#[test]
fn h13_an_account_is_bound_to_an_external_one() {
    let pebble = wanting_external_accounts();

    with_key(&pebble, KID, KEY).start().wait_until_ready();

    assert_eq!(pebble.process.count("Successful newAccount Binding"), 1);
}

#[test]
fn h13_a_missing_external_account_names_the_keys_to_set() {
    let pebble = wanting_external_accounts();
    let server = Setup::new(&pebble).start();

    server.wait_for_log("acme.eab.kid and acme.eab.hmac_key_file");

    assert!(!server.is_ready());
    assert_eq!(pebble.orders(), 0);
}

#[test]
fn h13_a_wrong_key_of_an_external_account_is_told_and_not_shown() {
    let pebble = wanting_external_accounts();
    let wrong = "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA";
    let server = with_key(&pebble, KID, wrong).start();

    server.wait_for_log("refuses the external account (acme.eab");

    assert!(!server.process.output().contains(wrong));
    assert_eq!(pebble.orders(), 0);
}

#[test]
fn h13_the_account_gets_another_key_while_the_server_runs_and_the_next_order_uses_it() {
    let pebble = Pebble::start();
    let setup = Setup::new(&pebble);
    let mut server = setup.start();
    server.wait_until_ready();
    let account = || std::fs::read_to_string(setup.record("account").expect("an account")).expect("read");
    let before = account();
    let (given, directory) = (&setup.config, pebble.directory());
    let config = format!(
        "{given}  email: a@b.example\n  domains: [a.example]\n  directory_url: {directory}\n  agree_tos: true\n"
    );

    let changed = setup.run(&["acme", "rotate-account-key"], &config);

    assert!(changed.contains("has another key"), "{changed}");
    assert_ne!(account(), before);
    server.process.terminate();
    let more = Setup {
        home: std::sync::Arc::clone(&setup.home),
        names: vec!["a.example", "b.example"],
        ..Setup::new(&pebble)
    };
    let server = more.start();
    server.wait_for_log("got a certificate from the ACME server");
    assert_eq!((pebble.orders(), pebble.accounts()), (2, 1));
}

#[test]
fn h13_another_acme_server_gets_another_account_and_another_certificate() {
    let (one, two) = (Pebble::start(), Pebble::start());
    let setup = Setup::new(&one);
    let mut server = setup.start();
    server.wait_until_ready();
    server.process.terminate();
    let first = std::fs::read_to_string(setup.chain_copy()).expect("a chain");
    let other = Setup { home: std::sync::Arc::clone(&setup.home), ..Setup::new(&two) };

    let server = other.start();
    server.wait_until_ready();

    assert_eq!((one.orders(), two.orders(), two.accounts()), (1, 1, 1));
    assert_ne!(std::fs::read_to_string(other.chain_copy()).expect("a chain"), first);
}
