//! The init container of a proxy pod, as a process.

#![expect(clippy::expect_used, clippy::panic, reason = "a test ends where its preparation fails")]

use std::{
    fs,
    os::unix::fs::symlink,
    path::{Path, PathBuf},
    process::{Child, Command, ExitStatus, Stdio},
    thread::sleep,
    time::{Duration, Instant},
};

use jiff::Timestamp;
use vibectl_pki::{Ca, CaState, CertificateFacts, Names};

fn agent(arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_vibectl-server"));
    command.arg("certificate-agent").args(arguments).stdout(Stdio::null()).stderr(Stdio::null());
    command
}

fn code(arguments: &[&str]) -> Option<i32> {
    agent(arguments).status().expect("it runs").code()
}

/// A mounted CA Secret.
struct Secret(PathBuf);

impl Secret {
    fn put(&self, version: &str, names: &[&str]) -> Option<String> {
        let names = Names::parse(names).expect("names");
        let ca = Ca::constrained("test", &names, Duration::from_hours(2400), Timestamp::now()).expect("a CA");
        let key_id = ca.facts().subject_key_id.clone();
        fs::create_dir_all(self.0.join(version)).expect("made");
        for (name, content) in CaState::new(ca).to_data() {
            fs::write(self.0.join(version).join(name), content.as_slice()).expect("written");
            let _ = symlink(Path::new("..data").join(name), self.0.join(name));
        }
        symlink(version, self.0.join("..data_tmp")).expect("linked");
        fs::rename(self.0.join("..data_tmp"), self.0.join("..data")).expect("moved");
        key_id
    }
}

/// Ends with the test, however it ends.
struct Running(Child);

impl Running {
    fn terminate(mut self) -> (ExitStatus, Duration) {
        let started = Instant::now();
        let pid = self.0.id().to_string();
        Command::new("kill").args(["-TERM", &pid]).status().expect("kill runs");
        (self.0.wait().expect("it ends"), started.elapsed())
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn wait_for(out: &Path, wanted: impl Fn(&CertificateFacts) -> bool) {
    let deadline = Instant::now() + Duration::from_secs(20);
    while Instant::now() < deadline {
        let facts = fs::read_to_string(out.join("tls.crt")).ok();
        if facts.and_then(|text| CertificateFacts::from_pem(&text).ok()).is_some_and(|facts| wanted(&facts)) {
            return;
        }
        sleep(Duration::from_millis(20));
    }
    panic!("the certificate did not come");
}

#[test]
fn it_issues_follows_a_new_ca_passes_its_probe_and_ends_at_once_when_told() {
    let folder = tempfile::tempdir().expect("a folder");
    let (secret, out) = (Secret(folder.path().join("ca")), folder.path().join("tls"));
    let (ca_dir, out_dir) = (secret.0.display().to_string(), out.display().to_string());
    let first = secret.put("..v1", &["team.ai.svc"]);
    assert_eq!(code(&["--check", "--out", &out_dir]), Some(1));

    let arguments = ["--ca-dir", &ca_dir, "--out", &out_dir, "--name", "team.ai.svc"];
    let running = Running(agent(&arguments).spawn().expect("it runs"));
    wait_for(&out, |facts| facts.issuer_key_id == first);
    assert_eq!(code(&["--check", "--out", &out_dir]), Some(0));

    let second = secret.put("..v2", &["team.ai.svc"]);
    wait_for(&out, |facts| facts.issuer_key_id == second);

    let (status, took) = running.terminate();
    assert_eq!(status.code(), Some(0));
    assert!(took < Duration::from_secs(10), "{took:?}");
}

#[test]
fn once_issues_and_exits() {
    let folder = tempfile::tempdir().expect("a folder");
    let (secret, out) = (Secret(folder.path().join("ca")), folder.path().join("tls"));
    let (ca_dir, out_dir) = (secret.0.display().to_string(), out.display().to_string());
    let names = folder.path().join("names");
    fs::write(&names, "team.ai.svc\n").expect("written");
    secret.put("..v1", &["team.ai.svc", "10.0.0.7"]);

    let names = names.display().to_string();
    let arguments =
        ["--once", "--ca-dir", &ca_dir, "--out", &out_dir, "--ip", "10.0.0.7", "--names-file", &names];

    assert_eq!(code(&arguments), Some(0));
    wait_for(&out, |facts| facts.names == ["10.0.0.7", "team.ai.svc"]);
}

#[test]
fn what_cannot_work_is_told_by_the_exit_code() {
    assert_eq!(code(&["--once"]), Some(64));
    assert_eq!(code(&["--once", "--name", "a b"]), Some(64));
    assert_eq!(code(&["--name", "a", "--validity", "5s"]), Some(64));
    assert_eq!(code(&["--check", "--once"]), Some(64));
    assert_eq!(code(&["--once", "--name", "a", "--ca-dir", "/nowhere", "--out", "/nowhere"]), Some(1));
}
