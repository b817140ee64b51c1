//! The folder in which `vibectl-server ca` keeps a CA: which file is where, and reading the CA that issues.
//!
//! ```text
//! root/ca.{crt,key}            may be taken off-line: only `ca rotate` and `ca renew --intermediate` use the key
//! intermediate/ca.{crt,key}    issues
//! server_certs/HOST/HOST.{crt,key}
//! client_certs/NAME/NAME.{crt,key}
//! ca-bundle.crt                what clients trust: root, then intermediate; during a rotation those of both CAs
//! crl.pem                      what is revoked, one list for each CA that has issued
//! next/{root,intermediate}/    during a rotation: published, does not issue yet
//! previous/root/               during a rotation: does not issue any longer
//! retired/ID/ca.{crt,key}      intermediates that issued before; their keys still sign revocation lists
//! ```

pub mod publish;

use std::{
    fs, io,
    path::{Path, PathBuf},
};

use vibectl_pki::{Ca, CaError, CertificateError, Chain};
use zeroize::Zeroizing;

/// Why the CA of a folder cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum CaDirectoryError {
    /// A file cannot be read.
    #[error("failed to read {path}", path = .0.display())]
    Read(PathBuf, #[source] io::Error),
    /// There is no CA.
    #[error("no CA in {path}; `vibectl-server ca init --ca-dir {path}` makes one", path = .0.display())]
    Absent(PathBuf),
    /// What is there is not a CA.
    #[error("the CA in {path} cannot be used", path = .0.display())]
    Unusable(PathBuf, #[source] CaError),
    /// What is there is not a certificate.
    #[error("{path} cannot be used", path = .0.display())]
    Certificate(PathBuf, #[source] CertificateError),
    /// The key of the root is kept elsewhere.
    #[error("{path} is not there: bring it back for this command, and take it away again afterwards", path = .0.display())]
    RootKeyAway(PathBuf),
}

/// What a certificate in the folder is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Purpose {
    /// Servers, in `server_certs`.
    Server,
    /// Callers, in `client_certs`.
    Client,
}

/// A certificate that the CA has issued into its folder.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Issued {
    /// The name of its folder.
    pub name: String,
    /// What it is for.
    pub purpose: Purpose,
    /// Its files.
    pub paths: PairPath,
}

/// A certificate and its key, side by side.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PairPath {
    /// The certificate.
    pub certificate: PathBuf,
    /// Its private key.
    pub key: PathBuf,
}

impl PairPath {
    fn new(folder: &Path, name: &str) -> Self {
        Self { certificate: folder.join(format!("{name}.crt")), key: folder.join(format!("{name}.key")) }
    }
}

/// A folder with the layout above. Nothing is known about its content.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CaDirectory(PathBuf);

impl CaDirectory {
    /// The CA in this folder.
    pub fn new(path: impl Into<PathBuf>) -> Self {
        Self(path.into())
    }

    /// The folder.
    pub fn path(&self) -> &Path {
        &self.0
    }

    /// The folder of the root.
    pub fn root_folder(&self) -> PathBuf {
        self.0.join("root")
    }

    /// The folder of the intermediate CA.
    pub fn intermediate_folder(&self) -> PathBuf {
        self.0.join("intermediate")
    }

    /// The folder of all certificates for a purpose.
    pub fn issued_folder(&self, purpose: Purpose) -> PathBuf {
        self.0.join(match purpose {
            Purpose::Server => "server_certs",
            Purpose::Client => "client_certs",
        })
    }

    /// The root.
    pub fn root(&self) -> PairPath {
        PairPath::new(&self.root_folder(), "ca")
    }

    /// The intermediate CA.
    pub fn intermediate(&self) -> PairPath {
        PairPath::new(&self.intermediate_folder(), "ca")
    }

    /// The certificate of one name. It is a checked name, so that it cannot lead out of the folder.
    pub fn pair_of(&self, purpose: Purpose, name: &vibectl_pki::Name) -> PairPath {
        let name = name.to_string();
        PairPath::new(&self.issued_folder(purpose).join(&name), &name)
    }

    /// Everything that was issued into the folder: servers, then clients, each by name.
    pub fn issued(&self) -> Vec<Issued> {
        let of = |purpose| {
            let folder = self.issued_folder(purpose);
            sub_folders(&folder).into_iter().map(move |name| {
                let paths = PairPath::new(&folder.join(&name), &name);
                Issued { name, purpose, paths }
            })
        };
        of(Purpose::Server).chain(of(Purpose::Client)).collect()
    }

    /// The CA that was prepared by a rotation and does not issue yet.
    pub fn next(&self) -> Self {
        Self(self.0.join("next"))
    }

    /// The root before the last rotation, until that is finished.
    pub fn previous_root_folder(&self) -> PathBuf {
        self.0.join("previous").join("root")
    }

    /// The root before the last rotation, until that is finished.
    pub fn previous_root(&self) -> PairPath {
        PairPath::new(&self.previous_root_folder(), "ca")
    }

    /// The folder of intermediates that issued before.
    pub fn retired_folder(&self) -> PathBuf {
        self.0.join("retired")
    }

    /// Intermediates that issued before, each with the name of its folder.
    pub fn retired(&self) -> Vec<(String, PairPath)> {
        let folder = self.retired_folder();
        let names = sub_folders(&folder).into_iter();
        names.map(|name| (name.clone(), PairPath::new(&folder.join(&name), "ca"))).collect()
    }

    /// What clients trust.
    pub fn bundle(&self) -> PathBuf {
        self.0.join("ca-bundle.crt")
    }

    /// What is revoked.
    pub fn revocation_lists(&self) -> PathBuf {
        self.0.join("crl.pem")
    }

    /// The CA that issues, with its issuers as they stand in its certificate file.
    pub fn read_intermediate(&self) -> Result<Ca, CaDirectoryError> {
        let paths = self.intermediate();
        if !paths.certificate.exists() {
            return Err(CaDirectoryError::Absent(self.0.clone()));
        }
        read_ca(paths)
    }

    /// The root with its key, for the few commands that need it.
    pub fn read_root(&self) -> Result<Ca, CaDirectoryError> {
        let paths = self.root();
        if !paths.key.exists() {
            return Err(CaDirectoryError::RootKeyAway(paths.key));
        }
        read_ca(paths)
    }
}

/// A CA with its key.
pub fn read_ca(PairPath { certificate, key }: PairPath) -> Result<Ca, CaDirectoryError> {
    let chain = read(&certificate)?;
    Ca::from_pem(&chain, &read(&key)?).map_err(|error| CaDirectoryError::Unusable(certificate, error))
}

/// The certificates of a file.
pub fn read_chain(path: &Path) -> Result<Chain, CaDirectoryError> {
    Chain::from_pem(&read(path)?).map_err(|error| CaDirectoryError::Certificate(path.to_owned(), error))
}

/// Names of the folders in a folder, in order; none where there is no such folder.
fn sub_folders(folder: &Path) -> Vec<String> {
    let Ok(entries) = fs::read_dir(folder) else { return Vec::new() };
    let folders = entries.filter_map(Result::ok).filter(|entry| entry.path().is_dir());
    let mut names: Vec<_> = folders.filter_map(|folder| folder.file_name().into_string().ok()).collect();
    names.sort();
    names
}

fn read(path: &Path) -> Result<Zeroizing<String>, CaDirectoryError> {
    let text = fs::read_to_string(path).map_err(|error| CaDirectoryError::Read(path.to_owned(), error))?;
    Ok(Zeroizing::new(text))
}
