//! The file with the list of revoked tokens: changed by one command at a time, whole or not at all.

use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};

use anyhow::Context;
use vibectl_token::standalone::revocation::{List, RevocationError};

use crate::tls::private_file::{self, PRIVATE, PRIVATE_DIR};

/// Where the list is.
#[derive(Debug)]
pub(in crate::cli) struct RevocationFile {
    path: PathBuf,
}

impl RevocationFile {
    /// The list at this path; it need not be there.
    pub(in crate::cli) fn new(path: PathBuf) -> Self {
        Self { path }
    }

    /// Its place.
    pub(in crate::cli) fn path(&self) -> &Path {
        &self.path
    }

    /// Reads the list; an absent one is empty.
    pub(in crate::cli) fn read(&self) -> anyhow::Result<List> {
        let text = match fs::read(&self.path) {
            Ok(text) => text,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(List::default()),
            Err(error) => {
                return Err(error).with_context(|| format!("failed to read {}", self.path.display()));
            }
        };
        List::parse(&text).with_context(|| format!("failed to read {}", self.path.display()))
    }

    /// Changes the list while nobody else does, and writes it if it is another one then.
    pub(in crate::cli) fn change<T>(
        &self,
        change: impl FnOnce(&mut List) -> Result<T, RevocationError>,
    ) -> anyhow::Result<T> {
        let folder = self.path.parent().filter(|folder| !folder.as_os_str().is_empty());
        let folder = folder.unwrap_or(Path::new("."));
        private_file::create_dir(folder, PRIVATE_DIR)
            .with_context(|| format!("failed to create {}", folder.display()))?;
        // The folder, because the file itself is another one after every change.
        let lock = File::open(folder).and_then(|folder| folder.lock().map(|()| folder));
        let _lock = lock.with_context(|| format!("failed to lock {}", folder.display()))?;
        let before = self.read()?;
        let mut list = before.clone();
        let changed = change(&mut list)?;
        if list != before {
            let text = list.render()?;
            private_file::replace(&self.path, text.as_bytes(), PRIVATE)
                .with_context(|| format!("failed to write {}", self.path.display()))?;
        }
        Ok(changed)
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;
    use std::thread;

    use vibectl_token::standalone::revocation::{Entry, What};

    use super::*;

    fn entry(jti: String) -> Entry {
        Entry { what: What::Token { jti, subject: None, expires_at: None }, revoked_at: 1 }
    }

    #[test]
    fn changes_at_the_same_time_all_count_and_the_file_is_its_owners_alone() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("new/revoked.jsonl");

        thread::scope(|scope| {
            for writer in 0..8 {
                let file = RevocationFile::new(path.clone());
                scope.spawn(move || {
                    for number in 0..8 {
                        let entry = entry(format!("{writer}-{number}"));
                        assert!(file.change(|list| list.revoke(entry)).expect("written"));
                    }
                });
            }
        });

        let file = RevocationFile::new(path);
        assert_eq!(file.read().expect("a list").entries().len(), 64);
        assert_eq!(fs::metadata(file.path()).expect("a file").permissions().mode() & 0o777, 0o600);
        let left = fs::read_dir(folder.path().join("new")).expect("a folder").count();
        assert_eq!(left, 1, "nothing but the list");
    }

    #[test]
    fn a_damaged_list_is_not_written_over() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("revoked.jsonl");
        fs::write(&path, "{\"jti\":\"1\"").expect("a file");

        let error = RevocationFile::new(path.clone()).change(|list| list.revoke(entry("2".to_owned())));

        let error = format!("{:#}", error.expect_err("damaged"));
        assert!(error.contains("revoked.jsonl: line 1 is not an entry"), "{error}");
        assert_eq!(fs::read(&path).expect("a file"), b"{\"jti\":\"1\"");
    }
}
