//! What a leaf is made from: the CA and the names, read from files that may change at any time.

use std::path::{Path, PathBuf};

use vibectl_config::mount::{CERTIFICATE_FILE, KEY_FILE};
use vibectl_pki::{Ca, CaError, Name, NameError, Names};
use zeroize::Zeroize;

use crate::{
    parts::Files,
    reload::files::{Fingerprint, PartFiles, ReadError},
};

/// The only name in the files of [`Inputs::names`].
const NAMES: &str = "names";

/// Where CA and names are.
#[derive(Debug)]
pub(super) struct Inputs {
    ca: PartFiles,
    fixed: Vec<Name>,
    names: PartFiles,
}

/// Tells one state of the inputs from another.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Seen {
    ca: Fingerprint,
    names: Fingerprint,
}

/// Why there is no CA or no names.
#[derive(Debug, thiserror::Error)]
pub(super) enum InputError {
    #[error("CA: {0}")]
    ReadCa(#[source] ReadError),
    #[error("CA: {0} is missing")]
    Missing(&'static str),
    #[error("CA: {0} is not PEM")]
    NotPem(&'static str),
    #[error("CA: {0}")]
    Ca(#[from] CaError),
    #[error("names: {0}")]
    ReadNames(#[source] ReadError),
    #[error("names: the file is missing")]
    NoNames,
    #[error("names: the file is not text")]
    NamesNotText,
    #[error("names: {0}")]
    Names(#[from] NameError),
}

impl Inputs {
    pub(super) fn new(ca_dir: &Path, fixed: Vec<Name>, names_file: Option<PathBuf>) -> Self {
        let ca = [CERTIFICATE_FILE, KEY_FILE].map(|name| (name.to_owned(), ca_dir.join(name)));
        let names = names_file.map(|file| (NAMES.to_owned(), file));
        Self { ca: PartFiles::new(ca), fixed, names: PartFiles::new(names) }
    }

    pub(super) fn seen(&self) -> Seen {
        Seen { ca: self.ca.fingerprint(), names: self.names.fingerprint() }
    }

    pub(super) fn read(&self) -> Result<(Ca, Names), InputError> {
        Ok((self.ca()?, self.names()?))
    }

    fn ca(&self) -> Result<Ca, InputError> {
        let (_, mut files) = self.ca.read().map_err(InputError::ReadCa)?;
        let ca = text(&files, CERTIFICATE_FILE)
            .and_then(|certificate| Ok(Ca::from_pem(certificate, text(&files, KEY_FILE)?)?));
        files.values_mut().for_each(Zeroize::zeroize);
        ca
    }

    fn names(&self) -> Result<Names, InputError> {
        if self.names.is_empty() {
            return Ok(Names::new(self.fixed.iter().cloned())?);
        }
        let (_, files) = self.names.read().map_err(InputError::ReadNames)?;
        let content = files.get(NAMES).ok_or(InputError::NoNames)?;
        let text = std::str::from_utf8(content).map_err(|_| InputError::NamesNotText)?;
        let read = Names::from_lines(text)?;
        Ok(Names::new(self.fixed.iter().chain(read.iter()).cloned())?)
    }
}

fn text<'f>(files: &'f Files, name: &'static str) -> Result<&'f str, InputError> {
    let content = files.get(name).ok_or(InputError::Missing(name))?;
    std::str::from_utf8(content).map_err(|_| InputError::NotPem(name))
}
