//! The project's own images: static binaries in OCI archives under `dist/images`, built when their sources have changed.

use std::{
    fs,
    path::{Path, PathBuf},
};

use anyhow::{Context as _, Result, bail};
use clap::ValueEnum;

use crate::{
    command::command,
    fingerprint,
    oci::{self, Image},
    progress::say,
};

/// A newcomer loads these over a slow line; more than this is a mistake.
const LARGEST: u64 = 30 * 1024 * 1024;

/// What every binary depends on.
const COMMON: [&str; 5] = ["Cargo.toml", "Cargo.lock", "rust-toolchain.toml", "proto", "tests/src/oci.rs"];

const PROGRAMS: [Program; 2] = [
    Program { name: "vibectl-server", sources: &["proxy"] },
    Program {
        name: "vibectl-operator",
        sources: &["operator", "proxy/config", "proxy/pki", "proxy/token", "crds"],
    },
];

/// How to compile.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Profile {
    /// Small and fast, slow to build: what is shipped.
    Release,
    /// Quick to build, large: for a person who edits and tries.
    Dev,
}

/// An image that has been built.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Built {
    /// `vibectl-server` or `vibectl-operator`.
    pub name: &'static str,
    /// The full name with its tag, a hash of the sources.
    pub reference: String,
    /// The OCI archive.
    pub archive: PathBuf,
    /// Bytes of the archive.
    pub size: u64,
}

struct Program {
    name: &'static str,
    sources: &'static [&'static str],
}

/// Builds what has changed and returns all images.
pub fn build(profile: Profile) -> Result<Vec<Built>> {
    let planned = plan(profile)?;
    let (current, stale): (Vec<_>, Vec<_>) = planned.iter().partition(|built| is_current(built));
    for built in &current {
        say(format_args!("{} is up to date", built.reference));
    }
    if !stale.is_empty() {
        let folder = compile(profile)?;
        if plan(profile)? != planned {
            bail!("failed to name the images: sources changed while they were compiled; run it again");
        }
        for built in stale {
            pack(built, &folder, profile)?;
        }
    }
    planned.into_iter().map(measure).collect()
}

/// The reference of the image that `build` wrote last, for charts and manifests.
pub fn reference(name: &str) -> Result<String> {
    let path = reference_file(name);
    let text = fs::read_to_string(&path)
        .with_context(|| format!("failed to read {}: run make images", path.display()))?;
    Ok(text.trim().to_owned())
}

fn plan(profile: Profile) -> Result<Vec<Built>> {
    PROGRAMS.iter().map(|program| name(program, profile)).collect()
}

fn name(program: &Program, profile: Profile) -> Result<Built> {
    let sources: Vec<_> = COMMON.iter().chain(program.sources).copied().collect();
    let hash = fingerprint::of(&repository(), &sources)?;
    let suffix = if profile == Profile::Dev { "-dev" } else { "" };
    let reference = format!("vibectl.dev/{}:{hash}{suffix}", program.name);
    Ok(Built {
        name: program.name,
        reference,
        archive: images().join(format!("{}.tar", program.name)),
        size: 0,
    })
}

fn is_current(built: &Built) -> bool {
    built.archive.is_file() && reference(built.name).is_ok_and(|reference| reference == built.reference)
}

/// Both programs in one call, always: cargo then chooses the same features for shared crates each time, and nothing is built twice.
fn compile(profile: Profile) -> Result<PathBuf> {
    let target = format!("{}-unknown-linux-gnu", std::env::consts::ARCH);
    let (name, folder) = match profile {
        Profile::Release => ("release", "release"),
        Profile::Dev => ("dev", "debug"),
    };
    say(format_args!("compiling static binaries, profile {name}"));
    // Naming the target keeps these flags, and what they build, away from what `cargo build` and `cargo test` keep.
    let flags = format!("CARGO_TARGET_{}_RUSTFLAGS", target.to_uppercase().replace('-', "_"));
    let mut cargo = command("cargo");
    cargo.args(["build", "--locked", "--profile", name, "--target", &target]);
    cargo.args(PROGRAMS.iter().flat_map(|program| ["--package", program.name, "--bin", program.name]));
    cargo.env_remove("RUSTFLAGS").env(flags, "-C target-feature=+crt-static").current_dir(repository());
    if !cargo.status().context("failed to start cargo")?.success() {
        bail!("failed to compile the images: cargo's messages are above");
    }
    let root =
        std::env::var_os("CARGO_TARGET_DIR").map_or_else(|| repository().join("target"), PathBuf::from);
    Ok(root.join(target).join(folder))
}

fn pack(built: &Built, folder: &Path, profile: Profile) -> Result<()> {
    let entrypoint = format!("/{}", built.name);
    let binary = folder.join(built.name);
    let image = Image { reference: &built.reference, binary: &binary, entrypoint: &[&entrypoint] };
    // The reference last: without it the archive counts as old.
    let _ = fs::remove_file(reference_file(built.name));
    let size = oci::write(&image, &built.archive)?;
    if profile == Profile::Release && size > LARGEST {
        bail!(
            "failed to keep {} small: {size} bytes, more than {LARGEST}; look for new dependencies",
            built.name
        );
    }
    let path = reference_file(built.name);
    fs::write(&path, &built.reference).with_context(|| format!("failed to write {}", path.display()))
}

fn measure(built: Built) -> Result<Built> {
    let metadata = fs::metadata(&built.archive);
    let size = metadata.with_context(|| format!("failed to find {}", built.archive.display()))?.len();
    Ok(Built { size, ..built })
}

fn reference_file(name: &str) -> PathBuf {
    images().join(format!("{name}.reference"))
}

fn images() -> PathBuf {
    repository().join("dist/images")
}

fn repository() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().map(Path::to_owned).unwrap_or_default()
}
