//! `--tls`: a pair that is its own issuer, for trying things out. Clients have to be given the certificate.

use std::{fs, io, path::PathBuf, time::Duration};

use jiff::Timestamp;
use vibectl_pki::{IssueError, Leaf, NameError, Names, leaf::PairError};
use zeroize::Zeroizing;

use super::{
    ca_directory::PairPath,
    private_file::{self, PRIVATE, PRIVATE_DIR, PUBLIC},
};

/// How long a self-signed certificate is valid.
const VALIDITY: Duration = Duration::from_hours(365 * 24);

/// Names that are always in it, so that a server can be called from its own machine.
const LOCAL: [&str; 3] = ["localhost", "127.0.0.1", "::1"];

/// Why there is no self-signed pair.
#[derive(Debug, thiserror::Error)]
pub enum SelfSignedError {
    /// A file cannot be read or written.
    #[error("failed to use {path}", path = .0.display())]
    File(PathBuf, #[source] io::Error),
    /// One of the two files is there without the other; neither is touched.
    #[error("{there} exists without {missing}; move it away", there = .0.display(), missing = .1.display())]
    Half(PathBuf, PathBuf),
    /// What is there is not a pair, or not one that we may replace.
    #[error("the pair at {path} cannot be used; move it away to have a new one made", path = .0.display())]
    Unusable(PathBuf, #[source] PairError),
    /// No certificate could be made.
    #[error(transparent)]
    Issue(#[from] IssueError),
}

/// The names of a self-signed certificate for a host: itself and those of the own machine.
pub fn names(host: &str) -> Result<Names, NameError> {
    Names::parse(std::iter::once(host).chain(LOCAL))
}

/// A pair that nobody but this process knows.
pub fn in_memory(names: &Names, now: Timestamp) -> Result<Leaf, SelfSignedError> {
    Ok(Leaf::self_signed(names, VALIDITY, now)?)
}

/// The pair of these files. Made if neither exists, so that clients which were given the certificate survive restarts;
/// made anew once an own one has expired.
pub fn in_files(paths: &PairPath, names: &Names, now: Timestamp) -> Result<Leaf, SelfSignedError> {
    match (paths.certificate.exists(), paths.key.exists()) {
        (false, false) => write(paths, names, now),
        (true, false) => Err(SelfSignedError::Half(paths.certificate.clone(), paths.key.clone())),
        (false, true) => Err(SelfSignedError::Half(paths.key.clone(), paths.certificate.clone())),
        (true, true) => {
            let leaf = read(paths)?;
            match leaf.check_time(now) {
                Ok(()) => Ok(leaf),
                // Somebody else's certificate is not ours to replace.
                Err(PairError::Expired(_)) if leaf.is_self_signed() => write(paths, names, now),
                Err(error) => Err(SelfSignedError::Unusable(paths.certificate.clone(), error)),
            }
        }
    }
}

/// Makes a pair and puts it into these files, whatever is there.
pub fn write(paths: &PairPath, names: &Names, now: Timestamp) -> Result<Leaf, SelfSignedError> {
    let leaf = in_memory(names, now)?;
    let PairPath { certificate, key } = paths;
    for (path, content, mode) in
        [(key, leaf.key_pem(), PRIVATE), (certificate, Zeroizing::new(leaf.chain_pem()), PUBLIC)]
    {
        let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty());
        folder
            .map_or(Ok(()), |folder| private_file::create_dir(folder, PRIVATE_DIR))
            .and_then(|()| private_file::replace(path, content.as_bytes(), mode))
            .map_err(|error| SelfSignedError::File(path.clone(), error))?;
    }
    Ok(leaf)
}

fn read(paths: &PairPath) -> Result<Leaf, SelfSignedError> {
    let text = |path: &PathBuf| match fs::read_to_string(path) {
        Ok(text) => Ok(Zeroizing::new(text)),
        Err(error) => Err(SelfSignedError::File(path.clone(), error)),
    };
    Leaf::from_pem(&text(&paths.certificate)?, &text(&paths.key)?)
        .map_err(|error| SelfSignedError::Unusable(paths.certificate.clone(), error))
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    fn paths(folder: &tempfile::TempDir) -> PairPath {
        let certs = folder.path().join("certs");
        PairPath { certificate: certs.join("server.crt"), key: certs.join("server.key") }
    }

    #[test]
    fn a_pair_is_made_once_with_a_private_key_file_and_kept() {
        let folder = tempfile::tempdir().expect("a folder");
        let (paths, names, now) = (paths(&folder), names("example.org").expect("names"), Timestamp::now());

        let first = in_files(&paths, &names, now).expect("made");
        let second = in_files(&paths, &names, now).expect("read");

        assert_eq!(first.facts(), second.facts());
        assert_eq!(first.facts().names, ["example.org", "localhost", "127.0.0.1", "::1"]);
        assert_eq!(fs::metadata(&paths.key).expect("a key").permissions().mode() & 0o777, 0o600);
    }

    #[test]
    fn an_expired_pair_of_our_own_is_made_anew() {
        let folder = tempfile::tempdir().expect("a folder");
        let (paths, names, now) = (paths(&folder), names("example.org").expect("names"), Timestamp::now());
        let first = in_files(&paths, &names, now).expect("made");

        let later = first.facts().lifetime.not_after + jiff::SignedDuration::from_secs(1);
        let second = in_files(&paths, &names, later).expect("made anew");

        assert_ne!(first.facts().serial, second.facts().serial);
    }

    #[test]
    fn half_a_pair_is_left_alone() {
        let folder = tempfile::tempdir().expect("a folder");
        let (paths, names, now) = (paths(&folder), names("example.org").expect("names"), Timestamp::now());
        in_files(&paths, &names, now).expect("made");
        fs::remove_file(&paths.certificate).expect("removed");

        assert!(matches!(in_files(&paths, &names, now), Err(SelfSignedError::Half(..))));
        assert!(paths.key.exists());
    }
}
