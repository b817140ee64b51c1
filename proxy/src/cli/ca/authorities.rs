//! What the commands that make and replace CAs have in common: lifetimes, and moving folders.

use std::{
    fs,
    path::{Path, PathBuf},
    time::Duration,
};

use anyhow::Context;
use jiff::{SignedDuration, Timestamp};
use vibectl_pki::{Ca, Chain};

use crate::tls::{
    ca_directory::{CaDirectory, PairPath},
    private_file::{self, PRIVATE, PRIVATE_DIR, PUBLIC},
};

const YEAR: Duration = Duration::from_hours(365 * 24);
/// How long a root is valid.
pub(super) const ROOT_VALIDITY: Duration = YEAR.saturating_mul(10);
/// How long an intermediate CA is valid.
pub(super) const INTERMEDIATE_VALIDITY: Duration = YEAR.saturating_mul(5);
/// How long a revocation list is good. A server refuses every caller once it is stale, so there is time to notice.
pub(super) const LIST_VALIDITY: SignedDuration = SignedDuration::from_hours(30 * 24);

/// Writes root and intermediate, each with its key, into their folders.
pub(super) fn write_authorities(directory: &CaDirectory, root: &Ca, intermediate: &Ca) -> anyhow::Result<()> {
    write_authority(&directory.root(), root)?;
    write_authority(&directory.intermediate(), intermediate)
}

/// Writes a CA certificate, alone, and its key into a folder that is made for them.
pub(super) fn write_authority(paths: &PairPath, ca: &Ca) -> anyhow::Result<()> {
    let PairPath { certificate, key } = paths;
    let pem = Chain::new(vec![ca.chain().leaf().clone()])?.to_pem();
    if let Some(folder) = key.parent() {
        private_file::create_dir(folder, PRIVATE_DIR).with_context(|| failed("create", folder))?;
    }
    private_file::create(key, ca.key_pem().as_bytes(), PRIVATE).with_context(|| failed("write", key))?;
    private_file::create(certificate, pem.as_bytes(), PUBLIC).with_context(|| failed("write", certificate))
}

/// Makes a folder for what is no longer in use; nothing is deleted.
pub(super) fn backup_folder(directory: &CaDirectory, now: Timestamp) -> anyhow::Result<PathBuf> {
    let backup = directory.path().join(now.strftime("backup-%Y%m%dT%H%M%S%.3fZ").to_string());
    private_file::create_dir(&backup, PRIVATE_DIR).with_context(|| failed("create", &backup))?;
    Ok(backup)
}

/// Moves a file or folder into a folder, under its own name.
pub(super) fn move_into(path: &Path, folder: &Path) -> anyhow::Result<()> {
    let name = path.file_name().with_context(|| failed("move", path))?;
    fs::rename(path, folder.join(name)).with_context(|| failed("move", path))
}

/// Retires the intermediate that issues: from then on its key signs revocation lists only.
pub(super) fn retire_intermediate(directory: &CaDirectory) -> anyhow::Result<()> {
    let ca = directory.read_intermediate()?;
    let id: String = ca.facts().fingerprint_sha256.chars().take(16).collect();
    let folder = directory.retired_folder();
    private_file::create_dir(&folder, PRIVATE_DIR).with_context(|| failed("create", &folder))?;
    let from = directory.intermediate_folder();
    fs::rename(&from, folder.join(id)).with_context(|| failed("move", &from))
}

pub(super) fn failed(what: &str, path: &Path) -> String {
    format!("failed to {what} {}", path.display())
}
