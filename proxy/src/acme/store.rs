//! The engine's records as files, with one writer.
//!
//! ```text
//! acme/SERVER/lock                 held (flock) by the process that works: the kernel lets go of it when that ends, however
//! acme/SERVER/account.json         one account for each ACME server
//! acme/SERVER/NAME/order.json  history.json  certificate.json
//! acme-certs/NAME.crt  NAME.key    copies of the certificate, for other programs
//! ```

use std::fs::{File, OpenOptions};
use std::io;
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use tokio::task::spawn_blocking;
use vibectl_pki::acme::state::Certificate;
use vibectl_pki::acme::{Record, Session, Store, StoreError};
use zeroize::Zeroizing;

use crate::tls::private_file::{self, PRIVATE, PRIVATE_DIR, PUBLIC};

/// Longest record that is read.
const MAX_RECORD: u64 = 4 * 1024 * 1024;

/// Where everything of one ACME server and one certificate is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Places {
    /// `acme/SERVER`.
    pub server: PathBuf,
    /// `acme/SERVER/NAME`.
    pub certificate: PathBuf,
    /// `acme-certs/NAME.crt`.
    pub chain_copy: PathBuf,
    /// `acme-certs/NAME.key`.
    pub key_copy: PathBuf,
}

impl Places {
    /// Places in the server's config directory. Every directory URL has a folder of its own, so that an account, an order
    /// or a certificate of one ACME server never gets to another.
    pub fn new(folder: &Path, directory_url: &str, primary_name: &str) -> Self {
        let name = primary_name.replace('*', "_");
        let server = folder.join("acme").join(server_name(directory_url));
        let copies = folder.join("acme-certs");
        Self {
            certificate: server.join(&name),
            server,
            chain_copy: copies.join(format!("{name}.crt")),
            key_copy: copies.join(format!("{name}.key")),
        }
    }

    /// The folder of the answers to challenges.
    pub fn answers(&self) -> PathBuf {
        self.certificate.join("answers")
    }

    fn file(&self, record: Record) -> PathBuf {
        let folder = if record == Record::Account { &self.server } else { &self.certificate };
        folder.join(format!("{record}.json"))
    }
}

/// The host for people, and a digest of the whole URL, because hosts have several directories.
fn server_name(directory_url: &str) -> String {
    use std::fmt::Write;
    let host = directory_url.split("://").nth(1).unwrap_or_default();
    let host: String = host
        .chars()
        .take_while(|char| !matches!(char, '/' | ':' | '?' | '#'))
        .filter(|char| char.is_ascii_alphanumeric() || matches!(char, '-' | '.'))
        .take(100)
        .collect();
    let digest = aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, directory_url.as_bytes());
    digest.as_ref().iter().take(4).fold(host + "-", |mut name, byte| {
        // Writing into a String cannot fail.
        let _ = write!(name, "{byte:02x}");
        name
    })
}

/// The files.
#[derive(Clone, Debug)]
pub struct FileStore {
    places: Arc<Places>,
}

/// The right to write: an open file that is locked.
#[derive(Debug)]
pub struct FileSession {
    places: Arc<Places>,
    lock: Arc<File>,
}

/// The lock file is not the one that was locked.
#[derive(Debug, thiserror::Error)]
#[error("{} was taken away while it was held", .0.display())]
struct LockLost(PathBuf);

impl FileStore {
    /// Files at these places, which need not exist yet.
    pub fn new(places: Places) -> Self {
        Self { places: Arc::new(places) }
    }
}

impl Store for FileStore {
    type Session = FileSession;

    async fn open(&self) -> Result<Option<FileSession>, StoreError> {
        let places = Arc::clone(&self.places);
        blocking(move || {
            let Some(lock) = lock(&places)? else { return Ok(None) };
            sweep(&places.server);
            sweep(&places.certificate);
            Ok(Some(FileSession { places, lock: Arc::new(lock) }))
        })
        .await
    }

    async fn read(&self, record: Record) -> Result<Option<Zeroizing<Vec<u8>>>, StoreError> {
        let path = self.places.file(record);
        blocking(move || read(&path)).await
    }
}

impl Session for FileSession {
    async fn write(&mut self, record: Record, content: Option<&[u8]>) -> Result<(), StoreError> {
        let (places, lock) = (Arc::clone(&self.places), Arc::clone(&self.lock));
        let content = content.map(|content| Zeroizing::new(content.to_vec()));
        blocking(move || {
            // Held until the write is done, also if nobody waits for it any more.
            check(&places, &lock)?;
            write(&places, record, content.as_ref().map(|content| content.as_slice()))
        })
        .await
    }
}

/// Takes the lock, or tells that another process has it.
fn lock(places: &Places) -> io::Result<Option<File>> {
    private_file::create_dir(&places.certificate, PRIVATE_DIR)?;
    let file = OpenOptions::new().create(true).append(true).mode(PRIVATE).open(places.server.join(LOCK))?;
    match file.try_lock() {
        Ok(()) => {}
        Err(std::fs::TryLockError::WouldBlock) => return Ok(None),
        Err(std::fs::TryLockError::Error(error)) => return Err(error),
    }
    // Between opening and locking, the file may have been replaced by somebody who tidied up.
    Ok(check(places, &file).is_ok().then_some(file))
}

const LOCK: &str = "lock";

/// Fails if the lock is not the one in the folder any more: then another process may hold that one.
fn check(places: &Places, lock: &File) -> io::Result<()> {
    let path = places.server.join(LOCK);
    let (held, there) = (lock.metadata()?, std::fs::metadata(&path));
    let same = there.is_ok_and(|there| (there.dev(), there.ino()) == (held.dev(), held.ino()));
    if same { Ok(()) } else { Err(io::Error::other(LockLost(path))) }
}

/// Removes what a process that was killed left half written. Nobody else writes while the lock is held.
fn sweep(folder: &Path) {
    let Ok(entries) = std::fs::read_dir(folder) else { return };
    for entry in entries.flatten() {
        let name = entry.file_name();
        if Record::ALL.iter().any(|record| name.to_string_lossy().starts_with(&format!(".{record}.json."))) {
            let _ = std::fs::remove_file(entry.path());
        }
    }
}

fn read(path: &Path) -> io::Result<Option<Zeroizing<Vec<u8>>>> {
    match std::fs::metadata(path) {
        Ok(metadata) if metadata.len() > MAX_RECORD => Err(io::Error::other("the file is too long")),
        Ok(_) => std::fs::read(path).map(|bytes| Some(Zeroizing::new(bytes))),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error),
    }
    .map_err(|error| io::Error::new(error.kind(), format!("failed to read {}: {error}", path.display())))
}

fn write(places: &Places, record: Record, content: Option<&[u8]>) -> io::Result<()> {
    let path = places.file(record);
    let Some(content) = content else {
        return match std::fs::remove_file(&path) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
            _ => Ok(()),
        };
    };
    private_file::replace(&path, content, PRIVATE)?;
    if record == Record::Certificate { copy(places, content) } else { Ok(()) }
}

/// The certificate as the two files that other programs know. Ours is the record: two files cannot change at once.
fn copy(places: &Places, record: &[u8]) -> io::Result<()> {
    let certificate: Certificate = serde_json::from_slice(record).map_err(io::Error::other)?;
    if let Some(folder) = places.key_copy.parent() {
        private_file::create_dir(folder, PRIVATE_DIR)?;
    }
    private_file::replace(&places.key_copy, certificate.key.0.as_bytes(), PRIVATE)?;
    private_file::replace(&places.chain_copy, certificate.chain.as_bytes(), PUBLIC)
}

async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> io::Result<T> + Send + 'static,
) -> Result<T, StoreError> {
    let done = spawn_blocking(work).await.map_err(io::Error::other).and_then(|done| done);
    done.map_err(|error| StoreError(error.into()))
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    const DIRECTORY: &str = "https://acme-v02.api.letsencrypt.org/directory";

    fn store(folder: &tempfile::TempDir) -> (Places, FileStore) {
        let places = Places::new(folder.path(), DIRECTORY, "a.example");
        (places.clone(), FileStore::new(places))
    }

    #[test]
    fn h13_every_directory_has_a_folder_of_its_own() {
        let of = |url: &str| Places::new(Path::new("/s"), url, "a.example").server;

        let (production, staging) =
            (of(DIRECTORY), of("https://acme-staging-v02.api.letsencrypt.org/directory"));
        assert_ne!(production, staging);
        assert_ne!(of("https://ca.example/one"), of("https://ca.example/two"));
        assert!(production.starts_with("/s/acme"), "{}", production.display());
        assert!(of("https://../../etc/x").starts_with("/s/acme"));
    }

    #[tokio::test]
    async fn h03_one_session_at_a_time_and_the_next_after_its_end() {
        let folder = tempfile::tempdir().expect("a folder");
        let (_, ours) = store(&folder);
        let (_, theirs) = store(&folder);

        let session = ours.open().await.expect("opened").expect("free");
        assert!(theirs.open().await.expect("looked").is_none());
        drop(session);

        assert!(theirs.open().await.expect("opened").is_some());
    }

    #[tokio::test]
    async fn h03_a_session_whose_lock_was_taken_away_writes_nothing() {
        let folder = tempfile::tempdir().expect("a folder");
        let (places, store) = store(&folder);
        let mut session = store.open().await.expect("opened").expect("free");

        std::fs::remove_file(places.server.join(LOCK)).expect("removed");
        let _other = store.open().await.expect("opened").expect("a new lock");
        let error = session.write(Record::Order, Some(b"{}")).await.expect_err("fenced off");

        assert!(error.to_string().contains("taken away"), "{error}");
        assert!(store.read(Record::Order).await.expect("read").is_none());
    }

    #[tokio::test]
    async fn h14_records_are_private_and_removing_one_twice_is_no_error() {
        let folder = tempfile::tempdir().expect("a folder");
        let (places, store) = store(&folder);
        let mut session = store.open().await.expect("opened").expect("free");

        for record in [Record::Account, Record::Order, Record::History] {
            session.write(record, Some(b"{}")).await.expect("written");
            let mode = std::fs::metadata(places.file(record)).expect("there").permissions().mode();
            assert_eq!(mode & 0o777, 0o600, "{record}");
        }
        session.write(Record::Order, None).await.expect("removed");
        session.write(Record::Order, None).await.expect("nothing to do");
        assert!(store.read(Record::Order).await.expect("read").is_none());
    }

    #[tokio::test]
    async fn h02_what_a_killed_process_left_half_written_is_swept() {
        let folder = tempfile::tempdir().expect("a folder");
        let (places, store) = store(&folder);
        std::fs::create_dir_all(&places.certificate).expect("made");
        let half = places.certificate.join(".order.json.1f");
        std::fs::write(&half, "{\"key\"").expect("written");

        store.open().await.expect("opened");

        assert!(!half.exists());
    }
}
