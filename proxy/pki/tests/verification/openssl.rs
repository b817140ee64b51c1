//! The `openssl verify` command, as an operator would use it.

use std::{
    fs,
    net::IpAddr,
    path::Path,
    process::{Command, Stdio},
};

/// `None` where there is no `openssl` program.
#[expect(
    clippy::print_stderr,
    reason = "whoever reads the test log has to see that half of the proof is missing"
)]
pub(crate) fn accepts(anchors: &str, chain: &str, name: &str) -> Option<bool> {
    let installed = Command::new("openssl").arg("version").stdout(Stdio::null()).status().is_ok();
    if !installed {
        eprintln!("SKIPPED: no `openssl` program here, so only webpki judges this chain");
        return None;
    }
    let folder = tempfile::tempdir().expect("a folder");
    // The file serves as leaf (its first certificate) and as the untrusted issuers, like a `tls.crt` on the wire.
    fs::write(folder.path().join("chain.pem"), chain).expect("written");
    fs::write(folder.path().join("anchors.pem"), anchors).expect("written");
    Some(verify(folder.path(), name))
}

fn verify(folder: &Path, name: &str) -> bool {
    let name_option = if name.parse::<IpAddr>().is_ok() { "-verify_ip" } else { "-verify_hostname" };
    Command::new("openssl")
        .args(["verify", "-x509_strict", "-purpose", "sslserver", "-no-CApath", "-no-CAstore"])
        .args([name_option, name])
        .args(["-CAfile", "anchors.pem", "-untrusted", "chain.pem", "chain.pem"])
        .current_dir(folder)
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .status()
        .expect("openssl runs")
        .success()
}
