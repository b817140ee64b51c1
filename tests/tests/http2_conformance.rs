//! What h2spec says of the service port, with and without TLS: every case of RFC 7540 and RFC 7541 that it knows, the strict
//! ones included.

#![expect(clippy::expect_used, clippy::panic, reason = "a test that cannot set up its case fails")]

#[path = "acme/process.rs"]
#[expect(dead_code, reason = "shared with tests that need more of it")]
mod process;

use std::collections::BTreeMap;
use std::path::Path;
use std::process::Command;

use process::{Process, binary, free_port, wait_for};
use vibectl_tests::tools;

/// How many cases h2spec has with `--strict`.
const CASES: usize = 146;
/// A path whose answer waits for the message of the request: what comes on the stream before that meets an open stream. On a
/// path that is answered at once, such a case is a race that either may win.
const WAITS: &str = "/grpc.health.v1.Health/Check";
/// A path that is answered at once, with a body.
const ANSWERS: &str = "/";
/// Cases about the body of an answer, which a gRPC status is without. Their requests are whole, so that nothing races.
const ABOUT_BODIES: [&str; 7] = [
    "generic/2: Sends a WINDOW_UPDATE frame on half-closed (remote) stream",
    "generic/2: Sends a PRIORITY frame on half-closed (remote) stream",
    "http2/5.1.2: Sends HEADERS frames that causes their advertised concurrent stream limit to be exceeded",
    "http2/6.5.3: Sends multiple values of SETTINGS_INITIAL_WINDOW_SIZE",
    "http2/6.9.1: Sends SETTINGS frame to set the initial window size to 1 and sends HEADERS frame",
    "http2/6.9.2: Changes SETTINGS_INITIAL_WINDOW_SIZE after sending HEADERS frame",
    "http2/6.9.2: Sends a SETTINGS frame for window size to be negative",
];

/// How each case ended: `passed`, or what there is to say against it.
type Findings = BTreeMap<String, String>;

fn h2spec(port: u16, path: &str, more: &[&str]) -> Findings {
    let folder = tempfile::tempdir().expect("a folder");
    let report = folder.path().join("report.xml");
    let output = Command::new(tools::h2spec().expect("h2spec"))
        .args(["--strict", "--timeout", "10", "--port", &port.to_string(), "--path", path, "--junit-report"])
        .arg(&report)
        .args(more)
        .output()
        .expect("h2spec runs");
    let report = std::fs::read_to_string(report);
    findings(&report.unwrap_or_else(|_| panic!("{}", String::from_utf8_lossy(&output.stdout))))
}

/// Reads the report, which has one element on each line.
fn findings(report: &str) -> Findings {
    let attribute = |text: &str, name: &str| -> String {
        let value = text.split(&format!(" {name}=\"")).nth(1).and_then(|rest| rest.split('"').next());
        value.unwrap_or_else(|| panic!("no {name} in {text}")).replace("&#34;", "\"")
    };
    let case = |text: &str| {
        let (head, rest) = text.split_once('>').expect("the end of a tag");
        let body = rest.split("</testcase>").next().unwrap_or_default().trim();
        let name = format!("{}: {}", attribute(head, "package"), attribute(head, "classname"));
        (name, if body.is_empty() { "passed".to_owned() } else { body.to_owned() })
    };
    report.split("<testcase").skip(1).map(case).collect()
}

/// Every case on the path where it says something.
fn judge(port: u16, more: &[&str]) {
    let (waits, answers) = (h2spec(port, WAITS, more), h2spec(port, ANSWERS, more));
    assert_eq!((waits.len(), answers.len()), (CASES, CASES), "cases with the same name, or missing ones");
    for name in ABOUT_BODIES {
        assert!(answers.contains_key(name), "h2spec has no case {name}");
    }
    let of =
        |name: &String| if ABOUT_BODIES.contains(&name.as_str()) { &answers } else { &waits }[name].clone();
    let failed: Findings =
        waits.keys().map(|name| (name.clone(), of(name))).filter(|(_, end)| end != "passed").collect();
    assert!(failed.is_empty(), "{failed:#?}");
}

fn serve(home: &Path, arguments: &[&str]) -> (Process, u16) {
    let (port, admin) = (free_port(), free_port());
    let mut command = Command::new(binary());
    command.env_clear().env("HOME", home).current_dir(home).args(arguments);
    command.args(["--host", "127.0.0.1", "--log-level", "warning", "--port", &port.to_string()]);
    command.args(["--enable-metrics", "--metrics-port", &admin.to_string()]);
    let server = Process::start(&mut command);
    wait_for("the port", || std::net::TcpStream::connect(("127.0.0.1", port)).is_ok());
    (server, port)
}

#[test]
fn c16_every_case_of_h2spec_passes_without_tls() {
    let home = tempfile::tempdir().expect("a folder");
    let (_server, port) = serve(home.path(), &["serve-insecure"]);

    judge(port, &[]);
}

#[test]
fn c16_every_case_of_h2spec_passes_over_tls() {
    let home = tempfile::tempdir().expect("a folder");
    let made = Command::new(binary())
        .env("HOME", home.path())
        .current_dir(home.path())
        .args(["ca", "init", "--ca-dir", "ca"])
        .output();
    assert!(made.expect("it runs").status.success());
    let (_server, port) = serve(home.path(), &["serve-ca", "--ca-dir", "ca", "--no-require-auth"]);

    judge(port, &["--tls", "--insecure"]);
}
