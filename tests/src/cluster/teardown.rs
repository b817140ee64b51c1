//! Taking a cluster down, also one of which only ruins are left.

use std::{
    fs,
    path::{Path, PathBuf},
};

use anyhow::{Context as _, Result, bail};

use super::{cgroups, containerd, control_plane, dns, layout::Layout, network, node, process};
use crate::command::{command, run, succeeds};

/// Where the kubelet links container logs, whatever its own folder is.
const LOG_LINKS: &str = "/var/log/containers";

/// The names of all processes of a cluster.
pub(super) fn components() -> Vec<&'static str> {
    let mut names: Vec<_> = node::COMPONENTS.into();
    names.push(dns::COMPONENT);
    names.extend(control_plane::COMPONENTS.iter().rev());
    names.push(containerd::COMPONENT);
    names
}

/// Ends every process, undoes every mount, removes namespace and cgroup, and deletes the folder except for the logs.
pub(super) fn teardown(layout: &Layout) -> Result<()> {
    // The kubelet first: it would start again what is killed after it.
    process::kill(layout, &node::COMPONENTS);
    process::kill(layout, &components());
    cgroups::remove(layout);
    kill_the_rest(layout);
    remove_shim_sockets(layout);
    network::remove(layout);
    unmount(layout.folder())?;
    remove_log_links(layout);
    remove_files(layout)
}

/// Shims, and components whose record was lost: whatever still lives in the namespace.
fn kill_the_rest(layout: &Layout) {
    let listed = run(command("ip").args(["netns", "pids", &layout.unique_name()])).unwrap_or_default();
    let pids: Vec<u32> = listed.lines().filter_map(|line| line.trim().parse().ok()).collect();
    process::kill_all(&pids);
}

/// A killed shim leaves its socket in a folder that all containerds share; the shim's folder names it.
fn remove_shim_sockets(layout: &Layout) {
    let tasks = layout.path("containerd/state/io.containerd.runtime.v2.task/k8s.io");
    for task in entries(&tasks) {
        let address = fs::read_to_string(task.join("address")).unwrap_or_default();
        if let Some(socket) = address.trim().strip_prefix("unix://") {
            let _ = fs::remove_file(socket);
        }
    }
}

fn unmount(folder: &Path) -> Result<()> {
    // Deepest first; lazily where something still holds on, for its processes are dead.
    for mount in mounts_under(folder).iter().rev() {
        if !succeeds(command("umount").arg(mount)) {
            succeeds(command("umount").arg("--lazy").arg(mount));
        }
    }
    // Deleting files through a mount that stayed could delete what belongs to somebody else.
    let left = mounts_under(folder);
    if let Some(mount) = left.first() {
        bail!("failed to unmount {}: unmount it by hand, then try again", mount.display());
    }
    Ok(())
}

fn mounts_under(folder: &Path) -> Vec<PathBuf> {
    let mounts = fs::read_to_string("/proc/self/mounts").unwrap_or_default();
    let paths = mounts.lines().filter_map(|line| line.split(' ').nth(1));
    let mut found: Vec<_> = paths
        .map(|path| PathBuf::from(path.replace("\\040", " ")))
        .filter(|path| path.starts_with(folder))
        .collect();
    found.sort();
    found
}

fn remove_log_links(layout: &Layout) {
    for link in entries(Path::new(LOG_LINKS)) {
        if fs::read_link(&link).is_ok_and(|target| target.starts_with(layout.folder())) {
            let _ = fs::remove_file(&link);
        }
    }
}

fn remove_files(layout: &Layout) -> Result<()> {
    for path in entries(layout.folder()) {
        if path == layout.logs() {
            continue;
        }
        let removed = if path.is_dir() { fs::remove_dir_all(&path) } else { fs::remove_file(&path) };
        removed.with_context(|| format!("failed to delete {}", path.display()))?;
    }
    Ok(())
}

fn entries(folder: &Path) -> Vec<PathBuf> {
    fs::read_dir(folder).into_iter().flatten().flatten().map(|entry| entry.path()).collect()
}
