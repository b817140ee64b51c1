//! `ca rotate`: a new root and intermediate in three steps, so that no client ever meets a certificate that it cannot trust.
//!
//! ```text
//! stable ──rotate──▶ bundle has both ──--switch──▶ new CA issues ──--finish──▶ stable
//! ```
//!
//! Each step can be asked for again after a crash in the middle of it.

use std::{fs, io::Write};

use anyhow::{Context, bail};
use clap::Args;
use jiff::Timestamp;
use vibectl_pki::{Ca, Chain};

use super::{
    Directory,
    authorities::{
        INTERMEDIATE_VALIDITY, LIST_VALIDITY, ROOT_VALIDITY, backup_folder, failed, move_into,
        retire_intermediate, write_authorities,
    },
};
use crate::{
    cli::outcome::Failure,
    tls::{
        ca_directory::{
            CaDirectory,
            publish::{self, is_issued_by},
            read_chain,
        },
        private_file::{self, PRIVATE_DIR},
    },
};

/// Arguments of `ca rotate`.
#[derive(Debug, Args)]
pub(super) struct Rotate {
    /// Second step: let the new CA issue. Do this when every client has the new bundle
    #[arg(long, conflicts_with = "finish")]
    switch: bool,
    /// Last step: take the old CA out of the bundle. Refused while a certificate still needs it
    #[arg(long)]
    finish: bool,
    #[command(flatten)]
    directory: Directory,
}

impl Rotate {
    pub(super) fn run(&self, now: Timestamp, out: &mut dyn Write) -> Result<(), Failure> {
        let directory = self.directory.resolve()?;
        let done = match (self.switch, self.finish) {
            (true, _) => switch(&directory, now, out),
            (_, true) => finish(&directory, now, out),
            _ => prepare(&directory, now, out),
        };
        done.map_err(Failure::Running)
    }
}

fn prepare(directory: &CaDirectory, now: Timestamp, out: &mut dyn Write) -> anyhow::Result<()> {
    let next = directory.next();
    if next.path().exists() {
        bail!("a new CA is in the bundle already; the next step is `ca rotate --switch`");
    }
    if directory.previous_root().certificate.exists() {
        bail!("a rotation is not finished; the next step is `ca rotate --finish`");
    }
    let old_root = read_chain(&directory.root().certificate)?;
    let old_intermediate = read_chain(&directory.intermediate().certificate)?;
    let root = Ca::root_in_place_of(&old_root, ROOT_VALIDITY, now)?;
    let intermediate = root.intermediate_in_place_of(&old_intermediate, INTERMEDIATE_VALIDITY, now)?;
    // Complete before it is seen.
    let staging = CaDirectory::new(directory.path().join(format!(".new-{}", uuid::Uuid::new_v4().simple())));
    let made = write_authorities(&staging, &root, &intermediate).and_then(|()| {
        fs::rename(staging.path(), next.path()).with_context(|| failed("create", next.path()))
    });
    if made.is_err() {
        let _ = fs::remove_dir_all(staging.path());
    }
    made?;
    publish::bundle(directory)?;
    writeln!(out, "Made a new CA; it does not issue yet.")?;
    writeln!(out, "Give clients the new {}: it holds both CAs.", directory.bundle().display())?;
    writeln!(out, "When every client has it: vibectl-server ca rotate --switch")?;
    Ok(())
}

fn switch(directory: &CaDirectory, now: Timestamp, out: &mut dyn Write) -> anyhow::Result<()> {
    let next = directory.next();
    if !next.path().exists() {
        bail!("there is no new CA to switch to; the first step is `ca rotate`");
    }
    if next.root_folder().exists() && directory.root_folder().exists() {
        let previous = directory.previous_root_folder();
        let above = directory.path().join("previous");
        private_file::create_dir(&above, PRIVATE_DIR).with_context(|| failed("create", &above))?;
        fs::rename(directory.root_folder(), &previous)
            .with_context(|| failed("move", &directory.root_folder()))?;
    }
    if next.root_folder().exists() {
        move_into(&next.root_folder(), directory.path())?;
    }
    if next.intermediate_folder().exists() && directory.intermediate_folder().exists() {
        retire_intermediate(directory)?;
    }
    if next.intermediate_folder().exists() {
        move_into(&next.intermediate_folder(), directory.path())?;
    }
    publish::bundle(directory)?;
    publish::lists(directory, None, now, LIST_VALIDITY)?;
    fs::remove_dir(next.path()).with_context(|| failed("remove", next.path()))?;
    writeln!(out, "The new CA issues from now on; serve-ca follows within a minute.")?;
    writeln!(out, "Renew what the old one issued: vibectl-server ca renew --all")?;
    writeln!(out, "Then: vibectl-server ca rotate --finish")?;
    Ok(())
}

fn finish(directory: &CaDirectory, now: Timestamp, out: &mut dyn Write) -> anyhow::Result<()> {
    if directory.next().path().exists() {
        bail!("the new CA does not issue yet; the next step is `ca rotate --switch`");
    }
    let previous = directory.previous_root();
    if !previous.certificate.exists() {
        bail!("there is no rotation to finish");
    }
    let old_root = read_chain(&previous.certificate)?;
    let mut old = Vec::new();
    for (id, paths) in directory.retired() {
        let ca = read_chain(&paths.certificate)?;
        if is_issued_by(&ca, &old_root) {
            old.push((directory.retired_folder().join(id), ca));
        }
    }
    let needed = still_needed(directory, &old, now)?;
    if !needed.is_empty() {
        bail!(
            "the old CA is still needed by {}; renew with `ca renew NAME` or `ca renew --all`, or revoke",
            needed.join(", ")
        );
    }
    let backup = backup_folder(directory, now)?;
    for (folder, _) in &old {
        move_into(folder, &backup)?;
    }
    move_into(&directory.path().join("previous"), &backup)?;
    publish::bundle(directory)?;
    publish::lists(directory, None, now, LIST_VALIDITY)?;
    writeln!(out, "The old CA is no longer trusted; it is in {}.", backup.display())?;
    writeln!(out, "Give clients the new {}.", directory.bundle().display())?;
    Ok(())
}

/// The names of certificates that only the old CA vouches for.
fn still_needed(
    directory: &CaDirectory,
    old: &[(std::path::PathBuf, Chain)],
    now: Timestamp,
) -> anyhow::Result<Vec<String>> {
    let lists = publish::read_lists(directory)?;
    let mut needed = Vec::new();
    for issued in directory.issued() {
        let leaf = read_chain(&issued.paths.certificate)?;
        let Some((_, ca)) = old.iter().find(|(_, ca)| is_issued_by(&leaf, ca)) else { continue };
        let facts = leaf.facts()?;
        let revoked = lists.of(ca).is_some_and(|list| list.revokes(&facts.serial));
        if now <= facts.lifetime.not_after && !revoked {
            needed.push(issued.name);
        }
    }
    Ok(needed)
}
