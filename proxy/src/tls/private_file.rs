//! Files that hold keys: readable by their owner alone from the first byte, written whole or not at all.

use std::{
    ffi::OsString,
    fs::{self, DirBuilder, File, OpenOptions},
    io::{self, Write},
    os::unix::fs::{DirBuilderExt, OpenOptionsExt},
    path::{Path, PathBuf},
};

/// Mode of a private key.
pub const PRIVATE: u32 = 0o600;
/// Mode of a certificate.
pub const PUBLIC: u32 = 0o644;
/// Mode of a folder that holds private keys.
pub const PRIVATE_DIR: u32 = 0o700;

/// Creates a file that does not exist yet, with its mode from the start.
pub fn create(path: &Path, content: &[u8], mode: u32) -> io::Result<()> {
    // `create_new` is O_EXCL: neither an existing file nor a link that waits there is written to.
    let mut file = OpenOptions::new().write(true).create_new(true).mode(mode).open(path)?;
    let written = file.write_all(content).and_then(|()| file.sync_all());
    if written.is_err() {
        // Half a key is of no use to anybody.
        let _ = fs::remove_file(path);
    }
    written
}

/// Puts a file in the place of another, or of none, in one step: readers see the old or the new content, never a part.
pub fn replace(path: &Path, content: &[u8], mode: u32) -> io::Result<()> {
    let beside = beside(path)?;
    create(&beside, content, mode)?;
    fs::rename(&beside, path).inspect_err(|_| {
        let _ = fs::remove_file(&beside);
    })?;
    sync_parent(path)
}

/// Creates a folder, and those above it, with this mode. One that exists keeps its mode.
pub fn create_dir(path: &Path, mode: u32) -> io::Result<()> {
    DirBuilder::new().recursive(true).mode(mode).create(path)
}

/// A name in the same folder that nothing else uses.
fn beside(path: &Path) -> io::Result<PathBuf> {
    let file_name = path.file_name().ok_or(io::ErrorKind::InvalidInput)?;
    let mut name = OsString::from(".");
    name.push(file_name);
    name.push(format!(".{}", uuid::Uuid::new_v4().simple()));
    Ok(path.with_file_name(name))
}

/// Makes a rename survive a crash of the machine.
fn sync_parent(path: &Path) -> io::Result<()> {
    match path.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => File::open(parent)?.sync_all(),
        _ => File::open(".")?.sync_all(),
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::{PermissionsExt, symlink};

    use super::*;

    fn mode(path: &Path) -> u32 {
        fs::metadata(path).expect("exists").permissions().mode() & 0o777
    }

    #[test]
    fn a_key_is_private_from_its_creation_and_never_overwritten_by_create() {
        let folder = tempfile::tempdir().expect("a folder");
        let key = folder.path().join("ca.key");

        create(&key, b"one", PRIVATE).expect("created");

        assert_eq!(mode(&key), 0o600);
        let again = create(&key, b"two", PRIVATE).expect_err("exists");
        assert_eq!(again.kind(), io::ErrorKind::AlreadyExists);
        assert_eq!(fs::read(&key).expect("read"), b"one");
    }

    #[test]
    fn a_link_that_waits_in_the_place_of_a_key_is_not_followed() {
        let folder = tempfile::tempdir().expect("a folder");
        let (key, target) = (folder.path().join("ca.key"), folder.path().join("elsewhere"));
        symlink(&target, &key).expect("linked");

        assert!(create(&key, b"secret", PRIVATE).is_err());
        replace(&key, b"secret", PRIVATE).expect("replaced");

        assert!(!target.exists(), "the key went through the link");
        assert_eq!(fs::read(&key).expect("read"), b"secret");
    }

    #[test]
    fn replacing_leaves_nothing_but_the_new_file() {
        let folder = tempfile::tempdir().expect("a folder");
        let file = folder.path().join("server.crt");

        replace(&file, b"one", PUBLIC).expect("replaced nothing");
        replace(&file, b"two", PUBLIC).expect("replaced one");

        assert_eq!(fs::read(&file).expect("read"), b"two");
        assert_eq!(fs::read_dir(folder.path()).expect("listed").count(), 1);
    }
}
