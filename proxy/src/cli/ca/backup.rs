//! `ca backup` and `ca restore`: everything that a server's identity and its decisions about callers rest on, in one file.

use std::{
    fs,
    io::Write,
    path::{Path, PathBuf},
};

use anyhow::{Context, bail};
use clap::Args;
use jiff::Timestamp;

use super::{
    Directory,
    archive::{self, Files},
    authorities::failed,
};
use crate::{
    cli::{alone::Which, environment, outcome::Failure},
    tls::private_file::{self, PRIVATE, PRIVATE_DIR},
};

/// Names in the archive of what may be elsewhere on disk: by `--ca-dir`, and by the config.
const CA: &str = "ca";
const SIGNING_KEYS: &str = "signing-keys";
const REVOKED: &str = "revoked.jsonl";
/// What is saved, by its name in the server's config directory: the CA, keys that sign tokens, what was revoked, account and
/// orders at an ACME server, and the certificates from there.
const PARTS: [&str; 5] = [CA, SIGNING_KEYS, REVOKED, "acme", "acme-certs"];

/// Arguments of `ca backup`.
#[derive(Debug, Args)]
pub(super) struct Backup {
    /// File to write, readable by its owner alone; it is as secret as the keys in it
    #[arg(value_name = "FILE")]
    file: PathBuf,
    #[command(flatten)]
    which: Which,
    #[command(flatten)]
    directory: Directory,
}

/// Arguments of `ca restore`.
#[derive(Debug, Args)]
pub(super) struct Restore {
    /// A file of `ca backup`
    #[arg(value_name = "FILE")]
    file: PathBuf,
    /// Replace what is there; it is moved to backup-TIME in the server's config directory
    #[arg(long)]
    force: bool,
    #[command(flatten)]
    which: Which,
    #[command(flatten)]
    directory: Directory,
}

/// Where the parts are on this machine.
struct Places {
    server: PathBuf,
    ca: PathBuf,
    signing_keys: PathBuf,
    revoked: PathBuf,
}

impl Places {
    fn resolve(which: Which, directory: &Directory) -> Result<Self, Failure> {
        let alone = which.load()?;
        Ok(Self {
            server: environment::server_dir()?,
            ca: directory.resolve()?.path().to_owned(),
            signing_keys: alone.signing_keys_dir()?,
            revoked: alone.required_revocation_file()?,
        })
    }

    fn of(&self, part: &str) -> PathBuf {
        match part {
            CA => self.ca.clone(),
            SIGNING_KEYS => self.signing_keys.clone(),
            REVOKED => self.revoked.clone(),
            _ => self.server.join(part),
        }
    }
}

impl Backup {
    pub(super) fn run(self, out: &mut dyn Write) -> Result<(), Failure> {
        let Self { file, which, directory } = self;
        let places = Places::resolve(which, &directory)?;
        Self::write(&file, &places, out).map_err(Failure::Running)
    }

    fn write(file: &Path, places: &Places, out: &mut dyn Write) -> anyhow::Result<()> {
        let mut files = Files::new();
        for part in PARTS {
            archive::collect(&places.of(part), Path::new(part), &mut files)?;
        }
        if files.is_empty() {
            bail!("there is nothing to save in {}", places.server.display());
        }
        let bytes = archive::pack(&files).context("failed to make the archive")?;
        private_file::create(file, &bytes, PRIVATE).with_context(|| failed("write", file))?;
        let there = parts_of(&files).join(", ");
        writeln!(out, "Saved {there} ({} files) to {}.", files.len(), file.display())?;
        writeln!(out, "Not in it: the config file, and a secret that it names for tokens.")?;
        writeln!(out, "It holds private keys: keep it like one, encrypted where others reach it.")?;
        Ok(())
    }
}

impl Restore {
    pub(super) fn run(self, now: Timestamp, out: &mut dyn Write) -> Result<(), Failure> {
        let Self { file, force, which, directory } = self;
        let places = Places::resolve(which, &directory)?;
        Self::restore(&file, force, &places, now, out).map_err(Failure::Running)
    }

    fn restore(
        file: &Path,
        force: bool,
        places: &Places,
        now: Timestamp,
        out: &mut dyn Write,
    ) -> anyhow::Result<()> {
        let bytes = fs::read(file).with_context(|| failed("read", file))?;
        let files = archive::unpack(&bytes, &PARTS).with_context(|| failed("use", file))?;
        let parts = parts_of(&files);
        let taken: Vec<_> = parts.iter().map(|part| places.of(part)).filter(|path| path.exists()).collect();
        if let Some(there) = taken.first()
            && !force
        {
            bail!("{} exists; --force replaces it and keeps a backup", there.display());
        }
        let staged = parts.iter().map(|part| stage(&places.of(part), part, &files));
        let staged = staged.collect::<anyhow::Result<Vec<_>>>()?;
        let aside = places.server.join(now.strftime("backup-%Y%m%dT%H%M%S%.3fZ").to_string());
        for Staged { from, to } in &staged {
            if to.exists() {
                set_aside(to, &aside)?;
            }
            fs::rename(from, to).with_context(|| failed("write", to))?;
        }
        if !taken.is_empty() {
            writeln!(out, "What was there is in {}.", aside.display())?;
        }
        writeln!(out, "Restored {} ({} files).", parts.join(", "), files.len())?;
        Ok(())
    }
}

/// A part that is complete, beside the place that it belongs to.
struct Staged {
    from: PathBuf,
    to: PathBuf,
}

fn stage(to: &Path, part: &str, files: &Files) -> anyhow::Result<Staged> {
    let above = to.parent().filter(|above| !above.as_os_str().is_empty()).unwrap_or(Path::new("."));
    private_file::create_dir(above, PRIVATE_DIR).with_context(|| failed("create", above))?;
    let from = above.join(format!(".restore-{}", uuid::Uuid::new_v4().simple()));
    for (path, file) in files {
        let Ok(within) = path.strip_prefix(part) else { continue };
        let place = if within.as_os_str().is_empty() { from.clone() } else { from.join(within) };
        if let Some(folder) = place.parent() {
            private_file::create_dir(folder, PRIVATE_DIR).with_context(|| failed("create", folder))?;
        }
        private_file::create(&place, &file.content, file.mode()).with_context(|| failed("write", &place))?;
    }
    Ok(Staged { from, to: to.to_owned() })
}

fn set_aside(path: &Path, aside: &Path) -> anyhow::Result<()> {
    private_file::create_dir(aside, PRIVATE_DIR).with_context(|| failed("create", aside))?;
    let name = path.file_name().with_context(|| failed("move", path))?;
    fs::rename(path, aside.join(name)).with_context(|| failed("move", path))
}

/// The parts that these files belong to, in order.
fn parts_of(files: &Files) -> Vec<&'static str> {
    let there = |part: &&str| files.keys().any(|path| path.starts_with(part));
    PARTS.into_iter().filter(there).collect()
}
