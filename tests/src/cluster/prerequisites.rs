//! What the machine must have: root, and a few Debian packages that are installed when missing.

use std::{fs, os::unix::fs::MetadataExt as _, path::PathBuf};

use anyhow::{Context as _, Result, bail};

use crate::{
    command::{command, find, run},
    progress::say,
};

/// Where distributions keep the CNI plugins.
const PLUGIN_FOLDERS: [&str; 3] = ["/usr/lib/cni", "/opt/cni/bin", "/usr/libexec/cni"];

/// A program and the Debian package that brings it.
const PROGRAMS: [(&str, &str); 11] = [
    ("containerd", "containerd"),
    ("ctr", "containerd"),
    ("runc", "runc"),
    ("ip", "iproute2"),
    ("nft", "nftables"),
    ("iptables", "iptables"),
    ("conntrack", "conntrack"),
    ("socat", "socat"),
    ("nsenter", "util-linux"),
    ("setsid", "util-linux"),
    ("umount", "mount"),
];

/// Whether this process may make namespaces and mounts.
pub fn is_root() -> bool {
    fs::metadata("/proc/self").is_ok_and(|metadata| metadata.uid() == 0)
}

/// The folder of the CNI plugins.
pub(super) fn plugin_folder() -> Option<PathBuf> {
    PLUGIN_FOLDERS.iter().map(PathBuf::from).find(|folder| folder.join("ptp").is_file())
}

/// Installs what is missing, or says in one line that can be copied what to install.
pub(super) fn ensure() -> Result<()> {
    let missing = missing();
    let line = format!("apt-get install -y --no-install-recommends {}", missing.join(" "));
    if !is_root() {
        let install = if missing.is_empty() { String::new() } else { format!("sudo {line} && ") };
        bail!(
            "a cluster needs root; run this, or set KUBECONFIG to a cluster of yours:\n{install}sudo -E env \"PATH=$PATH\" make cluster-up"
        );
    }
    if missing.is_empty() {
        return Ok(());
    }
    if find("apt-get").is_none() {
        bail!("failed to find {}: install them with your package manager", missing.join(", "));
    }
    say(format_args!("installing Debian packages: {}", missing.join(" ")));
    run(command("apt-get").args(["update", "-qq"]))?;
    run(command("apt-get")
        .env("DEBIAN_FRONTEND", "noninteractive")
        // A package must not start its own daemon: the cluster runs its own containerd.
        .env("RUNLEVEL", "1")
        .args(["install", "-y", "-qq", "--no-install-recommends"])
        .args(&missing))
    .with_context(|| format!("failed to install packages; try it by hand: {line}"))?;
    Ok(())
}

fn missing() -> Vec<&'static str> {
    let mut packages: Vec<_> =
        PROGRAMS.iter().filter(|(program, _)| find(program).is_none()).map(|&(_, package)| package).collect();
    if plugin_folder().is_none() {
        packages.push("containernetworking-plugins");
    }
    packages.dedup();
    packages
}
