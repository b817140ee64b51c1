//! A folder that changes like a volume of the kubelet: all of it at once, by the move of one link.
//!
//! ```text
//! tls.crt -> ..data/tls.crt
//! tls.key -> ..data/tls.key
//! ..data  -> ..0b5c…            replaced by rename(2), which is atomic
//! ..0b5c…/{tls.crt,tls.key}     mode 0700, files 0400
//! ```
//!
//! Agent and server run under one user ID; nobody else may enter the inner folder.

use std::{
    fs::{self, DirBuilder},
    io,
    os::unix::fs::{DirBuilderExt, symlink},
    path::{Path, PathBuf},
};

use jiff::Timestamp;
use vibectl_config::mount::{CERTIFICATE_FILE, KEY_FILE};
use vibectl_pki::{Leaf, leaf::PairError};
use zeroize::Zeroizing;

use crate::tls::private_file::{self, PRIVATE_DIR};

const DATA: &str = "..data";
const DATA_NEXT: &str = "..data_tmp";
/// Everything that is not a link for readers begins with this.
const HIDDEN: &str = "..";
/// A version is never changed after it was written.
const READ_ONLY: u32 = 0o400;

/// Why there is no pair in the volume.
#[derive(Debug, thiserror::Error)]
pub(super) enum VolumeError {
    #[error("failed to read {path}", path = .0.display())]
    Read(PathBuf, #[source] io::Error),
    #[error(transparent)]
    Pair(#[from] PairError),
}

/// The folder. All of it is ours.
#[derive(Debug)]
pub(super) struct Volume(PathBuf);

impl Volume {
    pub(super) fn new(path: PathBuf) -> Self {
        Self(path)
    }

    /// Puts a pair in the place of the one before, in one step.
    pub(super) fn publish(&self, leaf: &Leaf) -> io::Result<()> {
        private_file::create_dir(&self.0, PRIVATE_DIR)?;
        let version = format!("{HIDDEN}{}", uuid::Uuid::new_v4().simple());
        let folder = self.0.join(&version);
        DirBuilder::new().mode(PRIVATE_DIR).create(&folder)?;
        private_file::create(&folder.join(KEY_FILE), leaf.key_pem().as_bytes(), READ_ONLY)?;
        private_file::create(&folder.join(CERTIFICATE_FILE), leaf.chain_pem().as_bytes(), READ_ONLY)?;

        self.link(Path::new(&version), DATA)?;
        for name in [KEY_FILE, CERTIFICATE_FILE] {
            self.link(&Path::new(DATA).join(name), name)?;
        }
        self.sweep(&version)
    }

    /// The pair that is there. Says nothing about time.
    pub(super) fn read(&self) -> Result<Leaf, VolumeError> {
        // One version for both files, even if it is being replaced.
        let folder = fs::canonicalize(self.0.join(DATA)).unwrap_or_else(|_| self.0.clone());
        let read = |name| {
            let path = folder.join(name);
            match fs::read_to_string(&path) {
                Ok(text) => Ok(Zeroizing::new(text)),
                Err(error) => Err(VolumeError::Read(path, error)),
            }
        };
        Ok(Leaf::from_pem(&read(CERTIFICATE_FILE)?, &read(KEY_FILE)?)?)
    }

    /// Succeeds iff a pair is there and valid now.
    pub(super) fn check(&self, now: Timestamp) -> Result<(), VolumeError> {
        Ok(self.read()?.check_time(now)?)
    }

    /// Makes `name` lead to `target`, whatever it was before.
    fn link(&self, target: &Path, name: &str) -> io::Result<()> {
        let path = self.0.join(name);
        if fs::read_link(&path).is_ok_and(|there| there == target) {
            return Ok(());
        }
        let next = self.0.join(DATA_NEXT);
        match fs::remove_file(&next) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
        symlink(target, &next)?;
        fs::rename(&next, &path)
    }

    /// Removes every version but this one, also those of an agent that was killed half-way.
    fn sweep(&self, version: &str) -> io::Result<()> {
        for entry in fs::read_dir(&self.0)? {
            let entry = entry?;
            let name = entry.file_name();
            let old = name.to_str().is_some_and(|name| name.starts_with(HIDDEN) && name != version);
            if old && entry.file_type()?.is_dir() {
                fs::remove_dir_all(entry.path())?;
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::{os::unix::fs::PermissionsExt, time::Duration};

    use vibectl_pki::Names;

    use super::*;

    fn leaf() -> Leaf {
        let names = Names::parse(["team.ai.svc"]).expect("names");
        Leaf::self_signed(&names, Duration::from_hours(1), Timestamp::now()).expect("a leaf")
    }

    #[test]
    fn what_was_published_last_is_read_and_nothing_else_is_left() {
        let folder = tempfile::tempdir().expect("a folder");
        let volume = Volume::new(folder.path().join("tls"));
        let (first, second) = (leaf(), leaf());

        volume.publish(&first).expect("published");
        volume.publish(&second).expect("published");

        assert_eq!(volume.read().expect("a pair").facts(), second.facts());
        let mut left: Vec<_> = fs::read_dir(folder.path().join("tls"))
            .expect("listed")
            .map(|entry| entry.expect("entry").file_name().into_string().expect("text"))
            .filter(|name| name.len() < 30)
            .collect();
        left.sort();
        assert_eq!(left, ["..data", "tls.crt", "tls.key"]);
    }

    #[test]
    fn only_the_owner_may_read_the_key() {
        let folder = tempfile::tempdir().expect("a folder");
        Volume::new(folder.path().to_owned()).publish(&leaf()).expect("published");

        let mode =
            |path: &str| fs::metadata(folder.path().join(path)).expect("there").permissions().mode() & 0o777;

        assert_eq!(mode("tls.key"), 0o400);
        assert_eq!(mode("..data/"), 0o700);
    }

    #[test]
    fn an_agent_that_was_killed_half_way_leaves_the_old_pair_in_force_and_no_rubbish_for_ever() {
        let folder = tempfile::tempdir().expect("a folder");
        let volume = Volume::new(folder.path().to_owned());
        let (first, second) = (leaf(), leaf());
        volume.publish(&first).expect("published");

        fs::create_dir(folder.path().join("..half")).expect("made");
        symlink("..half", folder.path().join(DATA_NEXT)).expect("linked");
        assert_eq!(volume.read().expect("a pair").facts(), first.facts());

        volume.publish(&second).expect("published");
        assert_eq!(volume.read().expect("a pair").facts(), second.facts());
        assert!(!folder.path().join("..half").exists());
    }

    #[test]
    fn an_empty_or_ended_volume_fails_the_check() {
        let folder = tempfile::tempdir().expect("a folder");
        let volume = Volume::new(folder.path().to_owned());
        let now = Timestamp::now();
        assert!(matches!(volume.check(now), Err(VolumeError::Read(..))));

        volume.publish(&leaf()).expect("published");

        assert!(volume.check(now).is_ok());
        let later = now + jiff::SignedDuration::from_hours(2);
        assert!(matches!(volume.check(later), Err(VolumeError::Pair(PairError::Expired(_)))));
    }
}
