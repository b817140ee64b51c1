//! The cgroup under which all pods of one cluster run. Two kubelets with the same one would delete each other's pods; and it
//! is the list of what is left to kill when all records are lost.

use std::{
    fs,
    path::{Path, PathBuf},
    thread,
    time::Duration,
};

use anyhow::{Context as _, Result};

use super::{layout::Layout, process::kill_all};

/// Makes the cgroup in every hierarchy (one with cgroup v2, one per controller with v1).
pub(super) fn create(layout: &Layout) -> Result<()> {
    for hierarchy in hierarchies() {
        let folder = hierarchy.join(layout.unique_name());
        fs::create_dir_all(&folder).with_context(|| format!("failed to make {}", folder.display()))?;
        // In cgroup v1 nothing can run in a cpuset before it has processors and memory nodes.
        for file in ["cpuset.cpus", "cpuset.mems"] {
            if let Ok(value) = fs::read_to_string(hierarchy.join(file)) {
                let _ = fs::write(folder.join(file), value);
            }
        }
        // In cgroup v2 controllers are passed down one by one; those that the kernel lacks are refused.
        for controller in ["cpu", "cpuset", "memory", "pids", "io", "hugetlb"] {
            let _ = fs::write(hierarchy.join("cgroup.subtree_control"), format!("+{controller}"));
        }
    }
    Ok(())
}

/// Kills everything in the cgroup and removes it.
pub(super) fn remove(layout: &Layout) {
    let folders: Vec<_> = hierarchies().iter().map(|folder| folder.join(layout.unique_name())).collect();
    for _ in 0..100 {
        let pids: Vec<u32> = folders.iter().flat_map(|folder| members(folder)).collect();
        kill_all(&pids);
        for folder in &folders {
            remove_tree(folder);
        }
        if !folders.iter().any(|folder| folder.exists()) {
            return;
        }
        thread::sleep(Duration::from_millis(30));
    }
}

fn hierarchies() -> Vec<PathBuf> {
    let mounts = fs::read_to_string("/proc/self/mounts").unwrap_or_default();
    let mut folders = Vec::new();
    for line in mounts.lines() {
        let mut fields = line.split(' ').skip(1);
        if let (Some(folder), Some("cgroup" | "cgroup2")) = (fields.next(), fields.next()) {
            folders.push(PathBuf::from(folder));
        }
    }
    folders
}

fn members(folder: &Path) -> Vec<u32> {
    let own = fs::read_to_string(folder.join("cgroup.procs")).unwrap_or_default();
    let mut pids: Vec<u32> = own.lines().filter_map(|line| line.parse().ok()).collect();
    pids.extend(children(folder).iter().flat_map(|child| members(child)));
    pids
}

fn remove_tree(folder: &Path) {
    for child in children(folder) {
        remove_tree(&child);
    }
    let _ = fs::remove_dir(folder);
}

fn children(folder: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(folder).into_iter().flatten().flatten();
    entries.map(|entry| entry.path()).filter(|path| path.is_dir()).collect()
}
