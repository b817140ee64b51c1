//! The archive of `ca backup`: a compressed tar of a few files and folders, each under a name of its own.
//!
//! Reading trusts nothing: a path that leads elsewhere, a link, a file that is there twice or an archive that unpacks to more
//! than [`MAX_BYTES`] is an error before anything is written.

use std::{
    collections::BTreeMap,
    fs,
    io::{self, Read},
    os::unix::fs::PermissionsExt,
    path::{Component, Path, PathBuf},
};

use anyhow::{Context, bail};
use flate2::{Compression, read::GzDecoder, write::GzEncoder};
use tar::{Archive, Builder, EntryType, Header};
use zeroize::Zeroizing;

use crate::tls::private_file::{PRIVATE, PUBLIC};

/// The most that an archive may unpack to. A certificate with its key has some 3 KiB.
const MAX_BYTES: u64 = 256 * 1024 * 1024;

/// Files by their path in the archive.
pub(super) type Files = BTreeMap<PathBuf, File>;

/// One file.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct File {
    pub(super) content: Zeroizing<Vec<u8>>,
    /// Readable by its owner alone.
    pub(super) private: bool,
}

impl File {
    /// The mode that it is created with.
    pub(super) fn mode(&self) -> u32 {
        if self.private { PRIVATE } else { PUBLIC }
    }
}

/// Adds a file, or all files of a folder, under a name. What is not there adds nothing.
pub(super) fn collect(from: &Path, name: &Path, files: &mut Files) -> anyhow::Result<()> {
    let failed = || format!("failed to read {}", from.display());
    let metadata = match fs::metadata(from) {
        Ok(metadata) => metadata,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        Err(error) => return Err(error).with_context(failed),
    };
    if metadata.is_file() {
        let content = Zeroizing::new(fs::read(from).with_context(failed)?);
        let private = is_private(metadata.permissions().mode());
        files.insert(name.to_owned(), File { content, private });
        return Ok(());
    }
    for entry in fs::read_dir(from).with_context(failed)? {
        let entry = entry.with_context(failed)?;
        let file_name = entry.file_name();
        // Half-written files, and what an earlier command has set aside.
        let left_out =
            file_name.to_str().is_some_and(|name| name.starts_with(['.']) || name.starts_with("backup-"));
        if !left_out {
            collect(&entry.path(), &name.join(file_name), files)?;
        }
    }
    Ok(())
}

/// The bytes of an archive of these files. The same files give the same bytes.
pub(super) fn pack(files: &Files) -> io::Result<Zeroizing<Vec<u8>>> {
    let mut builder = Builder::new(GzEncoder::new(Vec::new(), Compression::default()));
    for (path, file) in files {
        let mut header = Header::new_gnu();
        header.set_entry_type(EntryType::Regular);
        header.set_size(file.content.len().try_into().map_err(io::Error::other)?);
        header.set_mode(file.mode());
        header.set_mtime(0);
        builder.append_data(&mut header, path, file.content.as_slice())?;
    }
    Ok(Zeroizing::new(builder.into_inner()?.finish()?))
}

/// The files of an archive. Every path begins with one of `parts`.
pub(super) fn unpack(bytes: &[u8], parts: &[&str]) -> anyhow::Result<Files> {
    let mut files = Files::new();
    let mut archive = Archive::new(GzDecoder::new(bytes).take(MAX_BYTES));
    for entry in archive.entries().context("not an archive of `ca backup`")? {
        let mut entry = entry.context("not an archive of `ca backup`, or a damaged one")?;
        let path = entry.path().context("a name that cannot be read")?.into_owned();
        if entry.header().entry_type() != EntryType::Regular {
            bail!("{} is not a file", path.display());
        }
        let components: Vec<_> = path.components().collect();
        let plain = components.iter().all(|part| matches!(part, Component::Normal(_)));
        let known = components.first().and_then(|part| part.as_os_str().to_str());
        if !plain || !known.is_some_and(|part| parts.contains(&part)) {
            bail!("{} does not belong into an archive of `ca backup`", path.display());
        }
        let private = is_private(entry.header().mode().context("a mode that cannot be read")?);
        let mut content = Zeroizing::new(Vec::new());
        entry.read_to_end(&mut content).with_context(|| format!("{} is cut off", path.display()))?;
        if files.insert(path.clone(), File { content, private }).is_some() {
            bail!("{} is there twice", path.display());
        }
    }
    if files.is_empty() {
        bail!("there is nothing in it");
    }
    Ok(files)
}

/// Whether nobody but the owner may do anything.
fn is_private(mode: u32) -> bool {
    const OTHERS: u32 = 0o077;
    mode & OTHERS == 0
}

#[cfg(test)]
mod tests {
    use super::*;

    const PARTS: [&str; 2] = ["ca", "revoked.jsonl"];

    fn file(text: &str, private: bool) -> File {
        File { content: Zeroizing::new(text.as_bytes().to_vec()), private }
    }

    /// An archive with one entry, whatever its name, behind the back of [`pack`].
    fn forged(path: &str, kind: EntryType) -> Vec<u8> {
        let mut header = Header::new_gnu();
        header.set_entry_type(kind);
        header.set_size(1);
        header.set_mode(0o600);
        let name = &mut header.as_old_mut().name;
        name[..path.len()].copy_from_slice(path.as_bytes());
        if kind == EntryType::Symlink {
            header.set_link_name("/etc/passwd").expect("a link");
        }
        header.set_cksum();
        let mut builder = Builder::new(GzEncoder::new(Vec::new(), Compression::default()));
        builder.append(&header, &b"x"[..]).expect("appended");
        builder.into_inner().expect("tar").finish().expect("gzip")
    }

    #[test]
    fn what_is_packed_is_unpacked_with_its_secrecy() {
        let files = Files::from([
            ("ca/root/ca.key".into(), file("key", true)),
            ("ca/root/ca.crt".into(), file("certificate", false)),
            ("revoked.jsonl".into(), file("", true)),
        ]);

        let bytes = pack(&files).expect("packed");

        assert_eq!(unpack(&bytes, &PARTS).expect("unpacked"), files);
        assert_eq!(pack(&files).expect("packed"), bytes);
    }

    #[test]
    fn nothing_leads_out_of_the_places_that_are_meant() {
        for (path, kind) in [
            ("../ca/root/ca.key", EntryType::Regular),
            ("/etc/cron.d/x", EntryType::Regular),
            ("ca/../../x", EntryType::Regular),
            ("config.yaml", EntryType::Regular),
            ("ca/root/ca.key", EntryType::Symlink),
            ("ca/root/ca.key", EntryType::Link),
        ] {
            assert!(unpack(&forged(path, kind), &PARTS).is_err(), "{path} {kind:?}");
        }
        assert!(unpack(&forged("ca/root/ca.key", EntryType::Regular), &PARTS).is_ok());
    }

    #[test]
    fn a_damaged_archive_is_refused() {
        let good = pack(&Files::from([("ca/x".into(), file(&"x".repeat(5000), true))])).expect("packed");

        assert!(unpack(&good[..good.len() / 2], &PARTS).is_err());
        assert!(unpack(b"not gzip", &PARTS).is_err());
        assert!(unpack(&[], &PARTS).is_err());
    }
}
