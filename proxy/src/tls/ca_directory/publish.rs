//! What a CA directory publishes: the bundle that clients trust, and the revocation lists.

use std::fs;

use jiff::{SignedDuration, Timestamp};
use vibectl_pki::{Ca, CertificateError, Chain, CrlError, Crls, Revoked, TrustBundle};

use super::{CaDirectory, CaDirectoryError, read_ca, read_chain};
use crate::tls::private_file::{self, PUBLIC};

/// Why nothing was published.
#[derive(Debug, thiserror::Error)]
pub enum PublishError {
    /// A CA of the directory cannot be used.
    #[error(transparent)]
    Directory(#[from] CaDirectoryError),
    /// The lists that are there cannot be read, so what they revoke would be lost.
    #[error("{path} cannot be used; restore it, or what it revokes is forgotten", path = .0.display())]
    Lists(std::path::PathBuf, #[source] CrlError),
    /// A list cannot be signed.
    #[error(transparent)]
    Sign(#[from] CrlError),
    /// The certificate was issued by none of the CAs here.
    #[error("the certificate was not issued by this CA")]
    Foreign,
    /// It is revoked already.
    #[error("the certificate {0} is revoked already")]
    Already(String),
    /// A file cannot be written.
    #[error("failed to write {path}", path = .0.display())]
    Write(std::path::PathBuf, #[source] std::io::Error),
}

/// Writes the bundle: root and intermediate of the CA that issues, of the one that will, and the root that did.
pub fn bundle(directory: &CaDirectory) -> Result<(), PublishError> {
    let next = directory.next();
    let mut bundle = TrustBundle::default();
    for paths in [
        directory.root(),
        directory.intermediate(),
        next.root(),
        next.intermediate(),
        directory.previous_root(),
    ] {
        if paths.certificate.exists() {
            bundle.extend([read_chain(&paths.certificate)?.leaf().clone()]);
        }
    }
    write(directory.bundle(), &bundle.to_pem())
}

/// The lists as they were published last; none where there is no such file.
pub fn read_lists(directory: &CaDirectory) -> Result<Crls, PublishError> {
    let path = directory.revocation_lists();
    match fs::read_to_string(&path) {
        Ok(text) => Crls::from_pem(&text).map_err(|error| PublishError::Lists(path, error)),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(Crls::default()),
        Err(error) => Err(CaDirectoryError::Read(path, error).into()),
    }
}

/// Signs all lists anew, each with its old entries, and with `revoke` on the list of its issuer.
pub fn lists(
    directory: &CaDirectory,
    revoke: Option<(&Chain, Revoked)>,
    now: Timestamp,
    valid: SignedDuration,
) -> Result<Crls, PublishError> {
    let old = read_lists(directory)?;
    let next_update = now.checked_add(valid).map_err(|error| CrlError::Sign(error.to_string()))?;
    let mut revoke = revoke;
    let mut lists = Vec::new();
    for ca in issuers(directory, now)? {
        let before = old.of(ca.chain());
        let mut revoked = before.map(|list| list.revoked.clone()).unwrap_or_default();
        if let Some((_, entry)) = revoke.take_if(|(leaf, _)| is_issued_by(leaf, ca.chain())) {
            if before.is_some_and(|list| list.revokes(&entry.serial)) {
                return Err(PublishError::Already(entry.serial));
            }
            revoked.push(entry);
        }
        let number = before.map_or(0, |list| list.number) + 1;
        lists.push(ca.revocation_list(&revoked, number, now, next_update)?);
    }
    if revoke.is_some() {
        return Err(PublishError::Foreign);
    }
    let lists: Crls = lists.into_iter().collect();
    write(directory.revocation_lists(), &lists.to_pem())?;
    Ok(lists)
}

/// True when this CA certificate's key signed the first certificate of the chain.
pub fn is_issued_by(leaf: &Chain, ca: &Chain) -> bool {
    let pair = vec![leaf.leaf().clone(), ca.leaf().clone()];
    Chain::new(pair).and_then(|pair: Chain| pair.check_order()).map_err(|_: CertificateError| ()).is_ok()
}

/// The CA that issues and those that did. What a CA that has ended issued has ended, too.
fn issuers(directory: &CaDirectory, now: Timestamp) -> Result<Vec<Ca>, PublishError> {
    let mut issuers = vec![directory.read_intermediate()?];
    for (_, paths) in directory.retired() {
        let ca = read_ca(paths)?;
        if now <= ca.facts().lifetime.not_after {
            issuers.push(ca);
        }
    }
    Ok(issuers)
}

fn write(path: std::path::PathBuf, text: &str) -> Result<(), PublishError> {
    private_file::replace(&path, text.as_bytes(), PUBLIC).map_err(|error| PublishError::Write(path, error))
}
