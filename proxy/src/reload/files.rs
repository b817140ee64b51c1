//! The files of one part: where they are, whether they changed, what is in them.
//!
//! A change is told by what `stat` says of the file behind the path. Kubernetes replaces a mounted volume by moving one
//! link (`..data`), so every path then leads to another file: a set that was read while that happened is noticed, and read
//! again.

use std::collections::BTreeMap;
use std::fs::{self, File, Metadata};
use std::io::{self, Read};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use crate::parts::Files;

/// Longest file that is read unless more is asked for; an object of Kubernetes cannot be longer than 1.5 MiB.
const MAX_FILE: u64 = 16 * 1024 * 1024;
/// How often a set that changes while it is read is read again at once.
const ATTEMPTS: usize = 3;

/// How long after its last write a file is taken to be complete.
const SETTLED: Duration = Duration::from_millis(100);

/// Where the files of a part are, by their names in the revision.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PartFiles {
    paths: BTreeMap<String, PathBuf>,
    /// Longest file that is read.
    longest: u64,
}

/// What `stat` said of each file, in order.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Fingerprint(Vec<Option<Stamp>>);

impl Fingerprint {
    /// True when no file was written to in the last moments. Until then somebody may be in the middle of it, and a second
    /// write within one tick of the file system's clock would not be noticed.
    pub fn is_settled(&self, now: SystemTime) -> bool {
        let since = now.duration_since(UNIX_EPOCH).unwrap_or_default();
        let recent = |stamp: &Stamp| {
            let (seconds, nanoseconds) = stamp.modified;
            let modified = u64::try_from(seconds).ok().zip(u32::try_from(nanoseconds).ok());
            let modified = modified.map(|(seconds, nanoseconds)| Duration::new(seconds, nanoseconds));
            // A time to come is that of another clock.
            modified.and_then(|modified| since.checked_sub(modified)).is_some_and(|age| age < SETTLED)
        };
        !self.0.iter().flatten().any(|stamp| !stamp.behind_link && recent(stamp))
    }
}

#[derive(Clone, Debug, PartialEq, Eq)]
struct Stamp {
    device: u64,
    inode: u64,
    length: u64,
    modified: (i64, i64),
    changed: (i64, i64),
    /// Behind a link, as in a mounted volume and with ACME clients: such a file is complete when the link leads to it.
    behind_link: bool,
}

/// A set of files that cannot be read.
#[derive(Debug, thiserror::Error)]
pub enum ReadError {
    /// One file is there and cannot be read.
    #[error("failed to read {path}: {source}")]
    File {
        /// Its path.
        path: String,
        /// Why.
        source: io::Error,
    },
    /// Somebody keeps writing.
    #[error("the files keep changing while they are read")]
    Unsettled,
}

impl PartFiles {
    /// Files of these names at these paths.
    pub fn new(paths: impl IntoIterator<Item = (String, PathBuf)>) -> Self {
        Self { paths: paths.into_iter().collect(), longest: MAX_FILE }
    }

    /// The same files, each of which may be so long.
    pub fn with_longest(self, longest: u64) -> Self {
        Self { longest, ..self }
    }

    /// True when there is no file to watch.
    pub fn is_empty(&self) -> bool {
        self.paths.is_empty()
    }

    /// Tells one state of the files from another.
    pub fn fingerprint(&self) -> Fingerprint {
        Fingerprint(self.paths.values().map(|path| Stamp::of(path)).collect())
    }

    /// Reads all files; absent ones are left out. The content is of one moment, the one of the fingerprint.
    pub fn read(&self) -> Result<(Fingerprint, Files), ReadError> {
        for _ in 0..ATTEMPTS {
            let before = self.fingerprint();
            let files = self.read_once();
            if self.fingerprint() == before {
                return Ok((before, files?));
            }
        }
        Err(ReadError::Unsettled)
    }

    /// The first file that is not among what was read.
    pub fn absent(&self, read: &Files) -> Option<&Path> {
        self.paths.iter().find(|(name, _)| !read.contains_key(*name)).map(|(_, path)| path.as_path())
    }

    fn read_once(&self) -> Result<Files, ReadError> {
        let mut files = Files::new();
        for (name, path) in &self.paths {
            match read_bounded(path, self.longest) {
                Ok(content) => {
                    files.insert(name.clone(), content);
                }
                Err(error) if error.kind() == io::ErrorKind::NotFound => {}
                Err(source) => return Err(ReadError::File { path: path.display().to_string(), source }),
            }
        }
        Ok(files)
    }
}

impl Stamp {
    fn of(path: &Path) -> Option<Self> {
        let metadata: Metadata = fs::metadata(path).ok()?;
        Some(Self {
            device: metadata.dev(),
            inode: metadata.ino(),
            length: metadata.len(),
            modified: (metadata.mtime(), metadata.mtime_nsec()),
            changed: (metadata.ctime(), metadata.ctime_nsec()),
            behind_link: path.is_symlink(),
        })
    }
}

fn read_bounded(path: &Path, longest: u64) -> io::Result<Vec<u8>> {
    let mut content = Vec::new();
    File::open(path)?.take(longest.saturating_add(1)).read_to_end(&mut content)?;
    if u64::try_from(content.len()).is_ok_and(|length| length <= longest) {
        Ok(content)
    } else {
        Err(io::ErrorKind::FileTooLarge.into())
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use super::*;

    /// A folder as the kubelet makes it: files behind `..data`, a link to the folder of the version.
    fn mounted(content: &str) -> (tempfile::TempDir, PartFiles) {
        let folder = tempfile::tempdir().expect("temporary folder");
        put_version(folder.path(), "v1", content);
        symlink("..data/tls.crt", folder.path().join("tls.crt")).expect("link");
        let files = PartFiles::new([
            ("tls.crt".to_owned(), folder.path().join("tls.crt")),
            ("tls.key".to_owned(), folder.path().join("tls.key")),
        ]);
        (folder, files)
    }

    fn put_version(folder: &Path, version: &str, content: &str) {
        fs::create_dir(folder.join(version)).expect("folder");
        fs::write(folder.join(version).join("tls.crt"), content).expect("file");
        symlink(version, folder.join("..data_tmp")).expect("link");
        fs::rename(folder.join("..data_tmp"), folder.join("..data")).expect("swap");
    }

    #[test]
    fn a_swapped_volume_is_another_state_even_with_the_same_length() {
        let (folder, files) = mounted("one");
        let (before, content) = files.read().expect("readable");
        assert_eq!(content, Files::from([("tls.crt".to_owned(), b"one".to_vec())]));
        assert_eq!(files.fingerprint(), before);

        put_version(folder.path(), "v2", "two");

        assert_ne!(files.fingerprint(), before);
        assert_eq!(files.read().expect("readable").1["tls.crt"], b"two");
    }

    #[test]
    fn a_file_edited_in_place_is_another_state() {
        let (folder, files) = mounted("one");
        let before = files.fingerprint();

        fs::write(folder.path().join("tls.crt"), "other").expect("file");

        assert_ne!(files.fingerprint(), before);
    }

    #[test]
    fn a_file_that_was_just_written_is_not_settled_and_one_of_another_clock_is() {
        let folder = tempfile::tempdir().expect("temporary folder");
        let path = folder.path().join("tls.crt");
        fs::write(&path, "one").expect("file");
        let files = PartFiles::new([("tls.crt".to_owned(), path.clone())]);
        let file = File::options().write(true).open(path).expect("file");
        let now = SystemTime::now();
        let settled = |modified: SystemTime| {
            file.set_modified(modified).expect("a time");
            files.fingerprint().is_settled(now)
        };

        assert!(!settled(now - Duration::from_millis(50)));
        assert!(settled(now - Duration::from_millis(101)));
        assert!(settled(now + Duration::from_secs(60)));
    }

    #[test]
    fn a_swapped_volume_is_settled_at_once() {
        let (folder, files) = mounted("one");
        put_version(folder.path(), "v2", "two");

        assert!(files.fingerprint().is_settled(SystemTime::now()));
    }

    #[test]
    fn a_file_that_appears_or_goes_is_another_state() {
        let (folder, files) = mounted("one");
        let before = files.fingerprint();

        fs::write(folder.path().join("tls.key"), "key").expect("file");
        let with_key = files.fingerprint();
        fs::remove_file(folder.path().join("tls.key")).expect("file");

        assert_ne!(with_key, before);
        assert_eq!(files.fingerprint(), before);
    }

    #[test]
    fn a_folder_in_the_place_of_a_file_is_an_error_that_names_it() {
        let folder = tempfile::tempdir().expect("temporary folder");
        let files = PartFiles::new([("ca.crt".to_owned(), folder.path().to_owned())]);

        let error = files.read().expect_err("a folder");

        assert!(error.to_string().contains(&folder.path().display().to_string()), "{error}");
    }
}
