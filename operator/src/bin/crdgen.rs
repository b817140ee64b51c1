//! Writes what is generated from the API types (custom resource definitions, their copy in the chart, docs/api.md) below the
//! current folder, or the folder given.

use std::{env, fs, path::PathBuf};

use anyhow::Context;
use vibectl_operator::api;

fn main() -> anyhow::Result<()> {
    let top = env::args_os().nth(1).map_or_else(|| PathBuf::from("."), PathBuf::from);
    for (name, content) in api::generated_files()? {
        let path = top.join(name);
        if let Some(folder) = path.parent() {
            fs::create_dir_all(folder).with_context(|| format!("failed to create {}", folder.display()))?;
        }
        fs::write(&path, content).with_context(|| format!("failed to write {}", path.display()))?;
    }
    Ok(())
}
