//! What others' scanners say of the TLS port: sslyze against Mozilla's recommendations, testssl.sh (Debian) for everything it
//! knows. Where there is neither Python nor a network nor the package, `VIBECTL_SKIP_SCANNERS=1` leaves these tests out.

use std::fs;
use std::path::Path;
use std::process::{Command, Output};

use serde_json::Value;

use crate::support::python::environment;
use crate::support::{Server, run};

fn left_out() -> bool {
    std::env::var_os("VIBECTL_SKIP_SCANNERS").is_some()
}

/// A server with a certificate of `ca init`, as a person sets it up.
fn server(tls: &str) -> Server {
    let folder = tempfile::tempdir().expect("a folder");
    let made = run(folder.path(), &["ca", "init", "--ca-dir", "ca"]);
    assert_eq!(made.code, Some(0), "{}", made.err);
    let config = format!("server: {{host: 127.0.0.1}}\ntls: {tls}\n");
    let server = Server::start_in(folder, &["serve-ca", "--ca-dir", "ca", "--no-require-auth"], &config);
    server.wait_for("ready", |server| server.admin_get("/readyz").is_some_and(|answer| answer.0 == 200));
    server
}

fn bundle(server: &Server) -> std::path::PathBuf {
    server.folder.path().join("ca/ca-bundle.crt")
}

/// Whether sslyze finds the server to be as Mozilla's profile has it, and what it said.
fn sslyze(server: &Server, profile: &str) -> (bool, String) {
    let program = environment("venv-sslyze-6.3.1", "sslyze==6.3.1").join("sslyze");
    let output = Command::new(program)
        .arg(format!("--mozilla_config={profile}"))
        .arg("--certinfo_ca_file")
        .arg(bundle(server))
        .arg(format!("localhost:{}", server.port))
        .output()
        .expect("sslyze runs");
    let said = text(&output);
    assert!(said.contains("COMPLIANCE AGAINST TLS CONFIGURATION"), "{said}");
    (output.status.success() && said.contains("OK - Compliant"), said)
}

fn text(output: &Output) -> String {
    format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr))
}

#[test]
fn b01_sslyze_finds_no_deviation_from_mozillas_modern_profile_by_default() {
    if left_out() {
        return;
    }
    let server = server("{}");

    let (compliant, said) = sslyze(&server, "modern");

    assert!(compliant, "{said}");
}

#[test]
fn b01_sslyze_finds_no_deviation_from_mozillas_intermediate_profile_with_1_2_allowed() {
    if left_out() {
        return;
    }
    let server = server("{min_version: '1.2'}");

    let (intermediate, said) = sslyze(&server, "intermediate");
    let (modern, _) = sslyze(&server, "modern");

    assert!(intermediate, "{said}");
    assert!(!modern, "the scanner would not have noticed");
}

/// What follows from a CA that is nobody's but ours: it has no address to ask about revocation, and no DNS record names it.
const PRIVATE_CA: [&str; 2] = ["cert_revocation", "DNS_CAArecord"];

#[test]
fn b01_testssl_finds_nothing_but_what_a_private_ca_implies() {
    judged_by_testssl("{hsts: {enabled: true}}", &PRIVATE_CA);
}

#[test]
fn b01_testssl_finds_no_more_with_1_2_allowed() {
    // The client chooses among the suites, as Mozilla recommends where all of them are good: one without AES in hardware is
    // better off with ChaCha20. This version of testssl.sh wants an order of the server's whatever the suites are.
    let also = [PRIVATE_CA[0], PRIVATE_CA[1], "cipher_order"];
    judged_by_testssl("{min_version: '1.2', hsts: {enabled: true}}", &also);
}

fn judged_by_testssl(tls: &str, implied: &[&str]) {
    if left_out() {
        return;
    }
    let server = server(tls);
    let findings = testssl(&server, &server.folder.path().join("findings.json"));

    let worth_a_word: Vec<_> = findings
        .iter()
        .filter(|finding| !matches!(finding["severity"].as_str(), Some("OK" | "INFO" | "WARN")))
        .filter(|finding| !implied.contains(&finding["id"].as_str().unwrap_or_default()))
        .collect();
    let fine = findings.iter().filter(|finding| finding["severity"] == "OK").count();

    assert!(worth_a_word.is_empty(), "{worth_a_word:#?}");
    assert!(fine >= 30, "only {fine} checks were made");
    assert!(findings.iter().any(|finding| finding["id"] == "TLS1_3" && finding["severity"] == "OK"));
}

fn testssl(server: &Server, report: &Path) -> Vec<Value> {
    let output = Command::new("testssl")
        .args(["--quiet", "--color", "0", "--warnings", "off", "--ip", "127.0.0.1", "--add-ca"])
        .arg(bundle(server))
        .arg("--jsonfile")
        .arg(report)
        .arg(format!("localhost:{}", server.port))
        .output()
        .expect("testssl.sh is installed (on Debian: apt-get install testssl.sh)");
    let findings = fs::read_to_string(report).unwrap_or_else(|_| text(&output));
    serde_json::from_str(&findings).expect(&findings)
}
