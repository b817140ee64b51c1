//! The cluster's own containerd: socket, folders and pod network apart from any other on this machine.

use std::{
    fs,
    os::unix::net::UnixStream,
    path::{Path, PathBuf},
    time::Duration,
};

use anyhow::{Context as _, Result};

use super::{layout::Layout, prerequisites, process};
use crate::{
    cache,
    command::{command, find, run},
    fingerprint,
    oci::{self, Image},
    tools,
};

/// The name of its process and log.
pub(super) const COMPONENT: &str = "containerd";

/// Starts it; `wait` says when it answers.
pub(super) fn start(layout: &Layout, pause_image: &str) -> Result<()> {
    let configuration = layout.path("etc/containerd.toml");
    write(&configuration, &containerd_toml(layout, pause_image)?)?;
    write(&layout.path("etc/cni/10-vibectl.conflist"), &pod_network(layout))?;
    let program = find("containerd").context("failed to find containerd")?;
    process::start(layout, COMPONENT, &program, &["--config".to_owned(), configuration.display().to_string()])
}

/// Waits until the socket answers.
pub(super) fn wait(layout: &Layout) -> Result<()> {
    process::wait(layout, &[COMPONENT], "containerd", Duration::from_secs(30), || {
        UnixStream::connect(layout.containerd_socket()).is_ok()
    })
}

/// Imports an image archive for the kubelet to use.
pub(super) fn import(layout: &Layout, archive: &Path) -> Result<String> {
    run(command("ctr")
        .arg("--address")
        .arg(layout.containerd_socket())
        .args(["--namespace", "k8s.io", "images", "import"])
        .arg(archive))
    .with_context(|| format!("failed to import {}", archive.display()))
}

/// The name and the archive of the image that every pod is held open by, and that tests may run.
pub(super) fn box_image() -> Result<(String, PathBuf)> {
    let binary = tools::test_box()?;
    let content = fs::read(&binary).with_context(|| format!("failed to read {}", binary.display()))?;
    let hash: String = fingerprint::sha256(&content).chars().take(12).collect();
    let reference = format!("vibectl.dev/box:{hash}");
    let archive = binary.with_extension("tar");
    if !archive.is_file() {
        let _lock = cache::lock(&cache::folder()?.join("tools/box-image.lock"))?;
        oci::write(
            &Image { reference: &reference, binary: &binary, entrypoint: &["/box", "pause"] },
            &archive,
        )?;
    }
    Ok((reference, archive))
}

/// Writes a file and the folders above it.
pub(super) fn write(path: &Path, content: &str) -> Result<()> {
    if let Some(folder) = path.parent() {
        fs::create_dir_all(folder).with_context(|| format!("failed to make {}", folder.display()))?;
    }
    fs::write(path, content).with_context(|| format!("failed to write {}", path.display()))
}

fn containerd_toml(layout: &Layout, pause_image: &str) -> Result<String> {
    let plugins = prerequisites::plugin_folder().context("failed to find the CNI plugins")?;
    Ok(format!(
        r#"version = 2
root = "{folder}/containerd/root"
state = "{folder}/containerd/state"

[grpc]
address = "{socket}"

[plugins."io.containerd.internal.v1.opt"]
path = "{folder}/containerd/opt"

[plugins."io.containerd.grpc.v1.cri"]
sandbox_image = "{pause_image}"
# Without CAP_SYS_RESOURCE runc may not lower the score and dies with "can't get final child's PID from pipe".
restrict_oom_score_adj = true
# Keeps the pods' namespaces under our folder, where taking the cluster down finds them.
netns_mounts_under_state_dir = true
stream_server_address = "127.0.0.1"
stream_server_port = "0"

[plugins."io.containerd.grpc.v1.cri".cni]
bin_dir = "{plugins}"
conf_dir = "{folder}/etc/cni"

[plugins."io.containerd.grpc.v1.cri".containerd]
default_runtime_name = "runc"

[plugins."io.containerd.grpc.v1.cri".containerd.runtimes.runc]
runtime_type = "io.containerd.runc.v2"
"#,
        folder = layout.folder().display(),
        socket = layout.containerd_socket().display(),
        plugins = plugins.display(),
    ))
}

/// Point-to-point links and routes, no shared bridge: a Service's answer always passes the node, also when caller and
/// callee are on it, so nothing depends on the bridge netfilter module.
fn pod_network(layout: &Layout) -> String {
    format!(
        r#"{{
  "cniVersion": "0.4.0",
  "name": "vibectl",
  "plugins": [
    {{
      "type": "ptp",
      "ipMasq": false,
      "ipam": {{
        "type": "host-local",
        "dataDir": "{}",
        "ranges": [[{{"subnet": "{}"}}]],
        "routes": [{{"dst": "0.0.0.0/0"}}]
      }}
    }},
    {{"type": "portmap", "capabilities": {{"portMappings": true}}}}
  ]
}}
"#,
        layout.path("cni").display(),
        layout.pod_range(),
    )
}
