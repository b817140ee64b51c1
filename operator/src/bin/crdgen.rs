//! Writes the custom resource definitions to `crds/`, or to the folder given.

use std::{env, fs, path::PathBuf};

use anyhow::Context;
use vibectl_operator::api;

fn main() -> anyhow::Result<()> {
    let folder = env::args_os().nth(1).map_or_else(|| PathBuf::from("crds"), PathBuf::from);
    fs::create_dir_all(&folder).with_context(|| format!("failed to create {}", folder.display()))?;
    for (name, yaml) in api::definition_files()? {
        let path = folder.join(name);
        fs::write(&path, yaml).with_context(|| format!("failed to write {}", path.display()))?;
    }
    Ok(())
}
