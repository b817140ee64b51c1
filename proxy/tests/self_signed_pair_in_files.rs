//! `generate-certs`, as a person uses it.

use std::{fs, os::unix::fs::PermissionsExt, path::Path, process::Command};

use vibectl_pki::CertificateFacts;

fn generate(folder: &Path, arguments: &[&str]) -> Option<i32> {
    let mut command = Command::new(env!("CARGO_BIN_EXE_vibectl-server"));
    command.arg("generate-certs").args(arguments).env("VIBECTL_SERVER_CONFIG_DIR", folder);
    command.output().ok().and_then(|output| output.status.code())
}

#[test]
fn a_pair_is_made_with_a_private_key_file_and_replaced_only_by_force() {
    let folder = tempfile::tempdir().expect("a folder");
    let certificate = folder.path().join("certs/server.crt");
    let facts =
        || CertificateFacts::from_pem(&fs::read_to_string(&certificate).expect("there")).expect("facts");

    assert_eq!(generate(folder.path(), &["--hostname", "llm.example.org"]), Some(0));
    let first = facts();
    assert_eq!(first.names, ["llm.example.org", "localhost", "127.0.0.1", "::1"]);
    let mode = fs::metadata(certificate.with_extension("key")).expect("a key").permissions().mode();
    assert_eq!(mode & 0o777, 0o600);

    assert_eq!(generate(folder.path(), &[]), Some(1));
    assert_eq!(facts(), first);
    assert_eq!(generate(folder.path(), &["--force"]), Some(0));
    assert_ne!(facts(), first);
    assert_eq!(generate(folder.path(), &["--hostname", "a b"]), Some(64));
}
