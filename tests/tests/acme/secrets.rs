//! Keys are private files, differ from each other, and are in no log.

use std::os::unix::fs::PermissionsExt;

use super::pebble::Pebble;
use super::server::Setup;

#[test]
fn h14_key_files_are_private_differ_and_are_absent_from_the_most_verbose_log() {
    let pebble = Pebble::start();
    let setup = Setup { log_level: "debug", ..Setup::new(&pebble) };
    let server = setup.start();
    server.wait_until_ready();

    let account = setup.record("account").expect("an account");
    let certificate = setup.record("certificate").expect("a certificate");
    let copy = setup.chain_copy().with_extension("key");
    let mut keys = Vec::new();
    for path in [&account, &certificate, &copy] {
        let mode = std::fs::metadata(path).expect("there").permissions().mode();
        assert_eq!(mode & 0o777, 0o600, "{}", path.display());
        keys.push(key_of(&std::fs::read_to_string(path).expect("read")));
    }
    assert_ne!(keys[0], keys[1]);
    assert_eq!(keys[1], keys[2]);
    let log = server.process.output();
    for key in &keys {
        assert!(!log.contains(key), "a key is in the log");
    }
    assert!(!log.contains("PRIVATE KEY"));
}

/// The first line of base64 of a private key, as it stands in PEM or in JSON.
fn key_of(text: &str) -> String {
    let text = text.replace("\\n", "\n");
    let after = text.split("PRIVATE KEY-----\n").nth(1).expect("a key");
    after.lines().next().expect("a line").to_owned()
}
