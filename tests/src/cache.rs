//! The folder outside the repository that keeps what is dear to build: tools and the state of clusters.

use std::{
    env,
    fs::{self, File},
    path::{Path, PathBuf},
};

use anyhow::{Context as _, Result};

/// `$VIBECTL_CACHE`, or `vibectl` in the user's cache folder. Made when missing.
pub fn folder() -> Result<PathBuf> {
    let set = |name: &str| env::var_os(name).filter(|value| !value.is_empty()).map(PathBuf::from);
    let folder = set("VIBECTL_CACHE")
        .or_else(|| set("XDG_CACHE_HOME").map(|cache| cache.join("vibectl")))
        .or_else(|| set("HOME").map(|home| home.join(".cache/vibectl")))
        .context("failed to find a cache folder: set VIBECTL_CACHE to a folder that may grow to 3 GB")?;
    fs::create_dir_all(&folder).with_context(|| format!("failed to make {}", folder.display()))?;
    fs::canonicalize(&folder).with_context(|| format!("failed to resolve {}", folder.display()))
}

/// Holds the named lock until the result is dropped. A second process waits, so that tests started in parallel share one
/// build and one cluster.
pub fn lock(path: &Path) -> Result<File> {
    let parent = path.parent().unwrap_or(Path::new("/"));
    fs::create_dir_all(parent).with_context(|| format!("failed to make {}", parent.display()))?;
    let file = File::create(path).with_context(|| format!("failed to create {}", path.display()))?;
    file.lock().with_context(|| format!("failed to lock {}", path.display()))?;
    Ok(file)
}
