//! `ca init`: makes a CA, and moves one that is there aside instead of overwriting it.

use std::{
    fs,
    io::Write,
    path::{Path, PathBuf},
    time::Duration,
};

use anyhow::{Context, bail};
use clap::Args;
use jiff::Timestamp;
use vibectl_pki::{Ca, Subject};

use super::Directory;
use crate::{
    cli::outcome::Failure,
    tls::{
        ca_directory::{CaDirectory, PairPath},
        private_file::{self, PRIVATE, PRIVATE_DIR, PUBLIC},
    },
};

const YEAR: Duration = Duration::from_hours(365 * 24);
const ROOT_VALIDITY: Duration = YEAR.saturating_mul(10);
const INTERMEDIATE_VALIDITY: Duration = YEAR.saturating_mul(5);

/// Arguments of `ca init`.
#[derive(Debug, Args)]
pub(super) struct Init {
    #[command(flatten)]
    directory: Directory,
    /// Common name of the root
    #[arg(long, default_value = "vibectl Root CA", value_name = "NAME")]
    root_cn: String,
    /// Common name of the intermediate CA
    #[arg(long, default_value = "vibectl Intermediate CA", value_name = "NAME")]
    intermediate_cn: String,
    /// Organization of both
    #[arg(long, default_value = "vibectl", value_name = "NAME")]
    organization: String,
    /// Country of both, two letters
    #[arg(long, default_value = "US", value_name = "CODE")]
    country: String,
    /// Make a new CA even if there is one. The old one is moved to backup-TIME in the same folder, with the server
    /// certificates that it issued; nothing is deleted
    #[arg(long)]
    force: bool,
}

impl Init {
    pub(super) fn run(&self, now: Timestamp, out: &mut dyn Write) -> Result<(), Failure> {
        let directory = self.directory.resolve()?;
        let (root, intermediate) = self.generate(now).map_err(|error| Failure::usage(&error))?;
        let backup = self.install(&directory, &root, &intermediate, now).map_err(Failure::Running)?;
        print(&directory, backup.as_deref(), out).map_err(Failure::running)
    }

    fn generate(&self, now: Timestamp) -> Result<(Ca, Ca), vibectl_pki::CaError> {
        let subject = |common_name: &str| Subject {
            common_name: common_name.to_owned(),
            organization: Some(self.organization.clone()),
            country: Some(self.country.clone()),
        };
        let root = Ca::root(&subject(&self.root_cn), ROOT_VALIDITY, now)?;
        let intermediate = root.intermediate(&subject(&self.intermediate_cn), INTERMEDIATE_VALIDITY, now)?;
        Ok((root, intermediate))
    }

    /// Writes the new CA beside its place, moves the old one away, moves the new one in. Tells where the old one went.
    fn install(
        &self,
        directory: &CaDirectory,
        root: &Ca,
        intermediate: &Ca,
        now: Timestamp,
    ) -> anyhow::Result<Option<PathBuf>> {
        let folder = directory.path();
        let mut existing = vec![directory.root_folder(), directory.intermediate_folder(), directory.bundle()];
        existing.retain(|path| path.symlink_metadata().is_ok());
        if !existing.is_empty() && !self.force {
            bail!(
                "there is a CA in {} already; --force makes a new one and keeps a backup",
                folder.display()
            );
        }
        private_file::create_dir(folder, PRIVATE_DIR).with_context(|| failed("create", folder))?;
        let staging = CaDirectory::new(folder.join(format!(".new-{}", uuid::Uuid::new_v4().simple())));
        let installed = write(&staging, root, intermediate)
            .and_then(|()| set_aside(directory, existing, now))
            .and_then(|backup| move_in(&staging, directory).map(|()| backup));
        // What is left there is at most a copy that was never in use.
        let _ = fs::remove_dir_all(staging.path());
        installed
    }
}

fn write(staging: &CaDirectory, root: &Ca, intermediate: &Ca) -> anyhow::Result<()> {
    let first_only = |ca: &Ca| -> anyhow::Result<String> {
        Ok(vibectl_pki::Chain::new(vec![ca.chain().leaf().clone()])?.to_pem())
    };
    let (root_pem, intermediate_pem) = (first_only(root)?, first_only(intermediate)?);
    for (folder, PairPath { certificate, key }, ca, pem) in [
        (staging.root_folder(), staging.root(), root, &root_pem),
        (staging.intermediate_folder(), staging.intermediate(), intermediate, &intermediate_pem),
    ] {
        private_file::create_dir(&folder, PRIVATE_DIR).with_context(|| failed("create", &folder))?;
        private_file::create(&key, ca.key_pem().as_bytes(), PRIVATE)
            .with_context(|| failed("write", &key))?;
        private_file::create(&certificate, pem.as_bytes(), PUBLIC)
            .with_context(|| failed("write", &certificate))?;
    }
    let bundle = staging.bundle();
    private_file::create(&bundle, format!("{root_pem}{intermediate_pem}").as_bytes(), PUBLIC)
        .with_context(|| failed("write", &bundle))
}

/// Moves the old CA, and what it issued, into a folder of its own.
fn set_aside(
    directory: &CaDirectory,
    mut existing: Vec<PathBuf>,
    now: Timestamp,
) -> anyhow::Result<Option<PathBuf>> {
    if existing.is_empty() {
        return Ok(None);
    }
    existing.extend(Some(directory.servers_folder()).filter(|folder| folder.exists()));
    let backup = directory.path().join(now.strftime("backup-%Y%m%dT%H%M%S%.3fZ").to_string());
    private_file::create_dir(&backup, PRIVATE_DIR).with_context(|| failed("create", &backup))?;
    for path in existing {
        move_into(&path, &backup)?;
    }
    Ok(Some(backup))
}

fn move_in(staging: &CaDirectory, directory: &CaDirectory) -> anyhow::Result<()> {
    for path in [staging.root_folder(), staging.intermediate_folder(), staging.bundle()] {
        move_into(&path, directory.path())?;
    }
    Ok(())
}

fn move_into(path: &Path, folder: &Path) -> anyhow::Result<()> {
    let name = path.file_name().with_context(|| failed("move", path))?;
    fs::rename(path, folder.join(name)).with_context(|| failed("move", path))
}

fn failed(what: &str, path: &Path) -> String {
    format!("failed to {what} {}", path.display())
}

fn print(directory: &CaDirectory, backup: Option<&Path>, out: &mut dyn Write) -> std::io::Result<()> {
    if let Some(backup) = backup {
        writeln!(out, "The old CA is in {}.", backup.display())?;
    }
    writeln!(out, "Made a CA in {}.", directory.path().display())?;
    writeln!(out, "Clients trust it with {}.", directory.bundle().display())?;
    writeln!(out, "Move {} to a safe place; only `ca init` uses it.", directory.root().key.display())
}
