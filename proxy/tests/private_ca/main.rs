//! The `ca` commands, as a person uses them.

#![expect(clippy::expect_used, reason = "a test ends where its preparation fails")]

mod backup;
mod folder;
mod renewal;
mod revocation;
mod rotation;

use std::{fs, os::unix::fs::PermissionsExt, path::Path, process::Command};

use serde_json::Value;

struct Said {
    code: Option<i32>,
    out: String,
    err: String,
}

/// Runs `ca` with the folder `ca` in this one.
fn ca(folder: &Path, arguments: &[&str]) -> Said {
    let output = Command::new(env!("CARGO_BIN_EXE_vibectl-server"))
        .arg("ca")
        .args(arguments)
        .env("VIBECTL_SERVER_CONFIG_DIR", folder)
        .output()
        .expect("it runs");
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    Said { code: output.status.code(), out: text(&output.stdout), err: text(&output.stderr) }
}

fn status(folder: &Path, name: &str) -> Value {
    let said = ca(folder, &["status", "-o", "json"]);
    let report: Value = serde_json::from_str(&said.out).expect("JSON");
    let entries = report["certificates"].as_array().expect("a list");
    entries.iter().find(|entry| entry["name"] == name).cloned().unwrap_or(Value::Null)
}

/// Runs `ca` and expects it to succeed.
fn done(folder: &Path, arguments: &[&str]) -> String {
    let said = ca(folder, arguments);
    assert_eq!(said.code, Some(0), "{arguments:?}: {}", said.err);
    said.out
}

/// Runs `ca` and expects it to fail with this in its message.
fn refused(folder: &Path, arguments: &[&str], with: &str) {
    let said = ca(folder, arguments);
    assert_eq!(said.code, Some(1), "{arguments:?}: {}", said.out);
    assert!(said.err.contains(with), "{arguments:?}: {}", said.err);
}

/// What `openssl verify` says of a leaf of this folder against a bundle.
fn openssl_accepts(bundle: &Path, leaf: &Path) -> bool {
    let purpose = if leaf.to_string_lossy().contains("client_certs") { "sslclient" } else { "sslserver" };
    Command::new("openssl")
        .args(["verify", "-x509_strict", "-no-CApath", "-no-CAstore", "-purpose", purpose, "-CAfile"])
        .arg(bundle)
        .arg("-untrusted")
        .args([leaf, leaf])
        .output()
        .expect("openssl is installed")
        .status
        .success()
}

fn mode(path: &Path) -> u32 {
    fs::metadata(path).expect("there").permissions().mode() & 0o777
}
