//! `ca init`: makes a CA, and moves one that is there aside instead of overwriting it.

use std::{
    fs,
    io::Write,
    path::{Path, PathBuf},
};

use anyhow::{Context, bail};
use clap::Args;
use jiff::Timestamp;
use vibectl_pki::{Ca, Subject};

use super::{
    Directory,
    authorities::{
        INTERMEDIATE_VALIDITY, LIST_VALIDITY, ROOT_VALIDITY, backup_folder, failed, move_into,
        write_authorities,
    },
};
use crate::{
    cli::outcome::Failure,
    tls::{
        ca_directory::{CaDirectory, Purpose, publish},
        private_file::{self, PRIVATE_DIR},
    },
};

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
        let mut existing = vec![
            directory.root_folder(),
            directory.intermediate_folder(),
            directory.bundle(),
            directory.revocation_lists(),
            directory.next().path().to_owned(),
            directory.path().join("previous"),
            directory.retired_folder(),
        ];
        existing.retain(|path| path.symlink_metadata().is_ok());
        if !existing.is_empty() && !self.force {
            bail!(
                "there is a CA in {} already; --force makes a new one and keeps a backup",
                folder.display()
            );
        }
        private_file::create_dir(folder, PRIVATE_DIR).with_context(|| failed("create", folder))?;
        let staging = CaDirectory::new(folder.join(format!(".new-{}", uuid::Uuid::new_v4().simple())));
        let installed = write(&staging, root, intermediate, now)
            .and_then(|()| set_aside(directory, existing, now))
            .and_then(|backup| move_in(&staging, directory).map(|()| backup));
        // What is left there is at most a copy that was never in use.
        let _ = fs::remove_dir_all(staging.path());
        installed
    }
}

fn write(staging: &CaDirectory, root: &Ca, intermediate: &Ca, now: Timestamp) -> anyhow::Result<()> {
    write_authorities(staging, root, intermediate)?;
    publish::bundle(staging)?;
    publish::lists(staging, None, now, LIST_VALIDITY)?;
    Ok(())
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
    let issued = [Purpose::Server, Purpose::Client].map(|purpose| directory.issued_folder(purpose));
    existing.extend(issued.into_iter().filter(|folder| folder.exists()));
    let backup = backup_folder(directory, now)?;
    for path in existing {
        move_into(&path, &backup)?;
    }
    Ok(Some(backup))
}

fn move_in(staging: &CaDirectory, directory: &CaDirectory) -> anyhow::Result<()> {
    for path in
        [staging.root_folder(), staging.intermediate_folder(), staging.bundle(), staging.revocation_lists()]
    {
        move_into(&path, directory.path())?;
    }
    Ok(())
}

fn print(directory: &CaDirectory, backup: Option<&Path>, out: &mut dyn Write) -> std::io::Result<()> {
    if let Some(backup) = backup {
        writeln!(out, "The old CA is in {}.", backup.display())?;
    }
    writeln!(out, "Made a CA in {}.", directory.path().display())?;
    writeln!(out, "Clients trust it with {}.", directory.bundle().display())?;
    writeln!(
        out,
        "Move {} to a safe place; only `ca rotate` and `ca renew --intermediate` use it.",
        directory.root().key.display()
    )
}
