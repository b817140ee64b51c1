//! What the program is made of.

use std::{
    fs,
    path::{Path, PathBuf},
};

/// Every package of the lock file, by name.
fn packages() -> impl Iterator<Item = &'static str> {
    const LOCK: &str = include_str!("../../../Cargo.lock");
    LOCK.lines().filter_map(|line| line.strip_prefix("name = \"")?.strip_suffix('"'))
}

#[test]
fn b14_there_is_one_tls_library_and_no_other_and_one_provider_of_cryptography() {
    let count = |name: &str| packages().filter(|package| *package == name).count();

    assert_eq!((count("rustls"), count("aws-lc-rs"), count("rustls-webpki")), (1, 1, 1));
    for other in ["openssl", "openssl-sys", "native-tls", "schannel-tls", "boring", "mbedtls", "s2n-tls"] {
        assert_eq!(count(other), 0, "{other}");
    }
}

#[test]
fn b12_nothing_in_the_api_or_the_config_turns_verification_off() {
    const KINDS: [&str; 2] =
        [include_str!("../../../crds/llmproxies.yaml"), include_str!("../../../crds/proxytokens.yaml")];
    let keys = vibectl_config::keys().into_iter();
    let fields = KINDS.iter().flat_map(|kind| kind.lines()).filter_map(|line| line.trim().strip_suffix(':'));

    for name in keys.chain(fields.map(str::to_owned)) {
        let plain = name.to_lowercase().replace('_', "");
        for word in ["insecure", "skipverify", "skiptls", "noverify", "verify"] {
            assert!(!plain.contains(word), "{name}");
        }
    }
}

/// Files of Rust below a folder.
fn sources(folder: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(folder).expect("a folder").map(|entry| entry.expect("an entry").path());
    let below = |path: PathBuf| if path.is_dir() { sources(&path) } else { vec![path] };
    entries.flat_map(below).filter(|path| path.extension().is_some_and(|ending| ending == "rs")).collect()
}

#[test]
fn e02_one_file_makes_all_http_clients_so_that_the_rules_of_one_are_those_of_all() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let makes_clients = |path: &PathBuf| {
        let text = fs::read_to_string(path).expect("a source");
        ["reqwest::Client::builder", "reqwest::Client::new", "ClientBuilder", "redirect::Policy"]
            .iter()
            .any(|words| text.contains(words))
    };

    let makers: Vec<_> = sources(&folder).into_iter().filter(makes_clients).collect();

    assert_eq!(makers, [folder.join("outgoing.rs")]);
}
