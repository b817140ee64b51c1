//! The folder in which `vibectl-server ca` keeps a CA: which file is where, and reading the CA that issues.
//!
//! ```text
//! root/ca.{crt,key}            may be taken off-line: nothing but `ca init` uses the key
//! intermediate/ca.{crt,key}    issues
//! server_certs/HOST/HOST.{crt,key}
//! ca-bundle.crt                root, then intermediate: what clients trust
//! ```

use std::{
    fs, io,
    path::{Path, PathBuf},
};

use vibectl_pki::{Ca, CaError};
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

    /// The folder of all server certificates.
    pub fn servers_folder(&self) -> PathBuf {
        self.0.join("server_certs")
    }

    /// The root.
    pub fn root(&self) -> PairPath {
        PairPath::new(&self.root_folder(), "ca")
    }

    /// The intermediate CA.
    pub fn intermediate(&self) -> PairPath {
        PairPath::new(&self.intermediate_folder(), "ca")
    }

    /// The certificate of one server. `host` is a checked name, so that it cannot lead out of the folder.
    pub fn server(&self, host: &vibectl_pki::Name) -> PairPath {
        let host = host.to_string();
        PairPath::new(&self.servers_folder().join(&host), &host)
    }

    /// The certificates of all servers, by the name of their folder.
    pub fn servers(&self) -> Vec<(String, PairPath)> {
        let Ok(folders) = fs::read_dir(self.servers_folder()) else { return Vec::new() };
        let mut servers: Vec<_> = folders
            .filter_map(Result::ok)
            .filter(|folder| folder.path().is_dir())
            .filter_map(|folder| folder.file_name().into_string().ok())
            .map(|name| (name.clone(), PairPath::new(&self.servers_folder().join(&name), &name)))
            .collect();
        servers.sort_by(|one, other| one.0.cmp(&other.0));
        servers
    }

    /// What clients trust.
    pub fn bundle(&self) -> PathBuf {
        self.0.join("ca-bundle.crt")
    }

    /// The CA that issues, with its issuers as they stand in its certificate file.
    pub fn read_intermediate(&self) -> Result<Ca, CaDirectoryError> {
        let PairPath { certificate, key } = self.intermediate();
        if !certificate.exists() {
            return Err(CaDirectoryError::Absent(self.0.clone()));
        }
        let chain = read(&certificate)?;
        Ca::from_pem(&chain, &read(&key)?).map_err(|error| CaDirectoryError::Unusable(certificate, error))
    }
}

fn read(path: &Path) -> Result<Zeroizing<String>, CaDirectoryError> {
    let text = fs::read_to_string(path).map_err(|error| CaDirectoryError::Read(path.to_owned(), error))?;
    Ok(Zeroizing::new(text))
}
