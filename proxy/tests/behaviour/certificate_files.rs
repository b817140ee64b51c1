//! Certificate files that change while the server runs, as Kubernetes and people change them.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::Path;
use std::time::Duration;

use vibectl_pki::{Leaf, Usage};

use crate::support::Server;
use crate::support::tls::{DAY, ca, client, leaf, put_pair};

/// Puts a version of the volume in place as the kubelet does: all of it by one rename.
fn put_version(volume: &Path, version: &str, leaf: &Leaf) {
    let folder = volume.join(version);
    fs::create_dir(&folder).expect("made");
    put_pair(&folder, leaf);
    symlink(version, volume.join("..data_tmp")).expect("linked");
    fs::rename(volume.join("..data_tmp"), volume.join("..data")).expect("swapped");
}

#[test]
fn b08_a_mounted_volume_that_is_swapped_twice_in_a_row_is_followed_both_times() {
    let ca = ca();
    let leaves = [(); 3].map(|()| leaf(&ca, Usage::Server, DAY));
    let folder = tempfile::tempdir().expect("a folder");
    let volume = folder.path().join("volume");
    fs::create_dir(&volume).expect("made");
    put_version(&volume, "..1", &leaves[0]);
    for name in ["tls.crt", "tls.key"] {
        symlink(format!("..data/{name}"), volume.join(name)).expect("linked");
    }
    let arguments = [
        "serve-custom",
        "--cert-file",
        "volume/tls.crt",
        "--key-file",
        "volume/tls.key",
        "--no-require-auth",
    ];
    let server = Server::start_in(folder, &arguments, "server: {host: 127.0.0.1}");
    server.wait_for("ready", |server| server.admin_get("/readyz").is_some_and(|answer| answer.0 == 200));
    let config = client(&ca, &[b"h2"], None);
    assert_eq!(server.served(&config), *leaves[0].chain().leaf());

    for (version, leaf) in [("..2", &leaves[1]), ("..3", &leaves[2])] {
        put_version(&server.folder.path().join("volume"), version, leaf);
        server.wait_for(version, |server| server.served(&config) == *leaf.chain().leaf());
    }

    assert_eq!(server.metric("vibectl_reloads_total{part=\"tls\",outcome=\"applied\"}"), 3);
    assert_eq!(server.metric("vibectl_reloads_total{part=\"tls\",outcome=\"rejected\"}"), 0);
}

#[test]
fn b09_an_expired_certificate_makes_the_server_unready_and_a_renewed_one_ready_again() {
    let ca = ca();
    let short = leaf(&ca, Usage::Server, Duration::from_secs(8));
    let server = Server::with_pair(&short, "");
    let expiry = server.metric("vibectl_certificate_expiry_timestamp_seconds");
    assert_eq!(expiry, short.facts().lifetime.not_after.as_second());

    let expired = |server: &Server| server.admin_get("/readyz").expect("an answer");
    server.wait_for("the end of the certificate", |server| expired(server).0 == 503);
    assert_eq!(expired(&server).1, "the certificate has expired\n");

    put_pair(server.folder.path(), &leaf(&ca, Usage::Server, DAY));
    server.wait_for("ready again", |server| expired(server).0 == 200);
}
