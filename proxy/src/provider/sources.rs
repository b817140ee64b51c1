//! Where the keys and certificates of providers come from. Passed in, so that a reload can build providers from exactly the
//! files that it is about to put in force.

use std::{env, fs, io, path::Path};

use thiserror::Error;
use vibectl_config::{Secret, SecretSource};

/// Reads what a config only names.
pub struct Sources<'a> {
    /// Content of a file.
    pub file: &'a dyn Fn(&Path) -> io::Result<Vec<u8>>,
    /// Value of an environment variable.
    pub variable: &'a dyn Fn(&str) -> Option<String>,
}

/// Why something that a provider needs is not there. Names the place, never the content.
#[derive(Debug, Error, PartialEq, Eq)]
pub enum Missing {
    /// The file cannot be read.
    #[error("its {what} file is missing or cannot be read")]
    File {
        /// What the file is for.
        what: &'static str,
    },
    /// The file or variable has nothing in it.
    #[error("its {what} is empty")]
    Empty {
        /// What should be there.
        what: &'static str,
    },
    /// The variable is not set.
    #[error("its {what} variable is not set")]
    Variable {
        /// What it is for.
        what: &'static str,
    },
}

impl Sources<'static> {
    /// The file system and the environment of this process.
    pub fn of_process() -> Self {
        Self { file: &|path| fs::read(path), variable: &|name| env::var(name).ok() }
    }
}

impl Sources<'_> {
    /// The key, where the config names one; white space around it is not part of it.
    pub(super) fn key(&self, config: &vibectl_config::Endpoint) -> Result<Option<Secret>, Missing> {
        let source = match (&config.api_key_file, &config.api_key_env) {
            (Some(path), _) => SecretSource::File(path.clone()),
            (None, Some(name)) => SecretSource::Variable(name.clone()),
            (None, None) => return Ok(None),
        };
        self.secret(&source, "API key").map(Some)
    }

    /// A secret that has to be there; white space around it is not part of it.
    pub(super) fn secret(&self, source: &SecretSource, what: &'static str) -> Result<Secret, Missing> {
        let text = match source {
            SecretSource::File(path) => {
                let content = self.read(path, what)?;
                String::from_utf8(content).map_err(|_| Missing::File { what })?
            }
            SecretSource::Variable(name) => (self.variable)(name).ok_or(Missing::Variable { what })?,
        };
        let text = zeroize::Zeroizing::new(text);
        match text.trim() {
            "" => Err(Missing::Empty { what }),
            secret => Ok(Secret::new(secret)),
        }
    }

    /// The CA bundle, where the config names one.
    pub(super) fn ca(&self, config: &vibectl_config::Endpoint) -> Result<Option<Vec<u8>>, Missing> {
        config.ca_file.as_ref().map(|path| self.read(path, "CA")).transpose()
    }

    fn read(&self, path: &Path, what: &'static str) -> Result<Vec<u8>, Missing> {
        (self.file)(path).map_err(|_| Missing::File { what })
    }
}

#[cfg(test)]
mod tests {
    use vibectl_config::Endpoint;

    use super::*;

    fn key_in(content: &'static [u8]) -> Result<Option<Secret>, Missing> {
        let sources = Sources { file: &|_| Ok(content.to_vec()), variable: &|_| None };
        sources.key(&Endpoint { api_key_file: Some("key".into()), ..Endpoint::new("http://model.test") })
    }

    #[test]
    fn the_white_space_around_a_key_is_not_part_of_it() {
        assert_eq!(key_in(b" sk-1\r\n"), Ok(Some(Secret::new("sk-1"))));
        assert_eq!(key_in(b"\n"), Err(Missing::Empty { what: "API key" }));
    }

    #[test]
    fn a_provider_that_names_no_key_needs_none() {
        assert_eq!(Sources::of_process().key(&Endpoint::new("http://model.test")), Ok(None));
    }

    #[test]
    fn what_is_named_and_not_there_is_told() {
        let sources =
            Sources { file: &|_| Err(io::Error::from(io::ErrorKind::NotFound)), variable: &|_| None };
        let named = Endpoint { api_key_env: Some("KEY".into()), ..Endpoint::new("http://model.test") };

        assert_eq!(sources.key(&named), Err(Missing::Variable { what: "API key" }));
        let named = Endpoint { ca_file: Some("ca.crt".into()), ..named };
        assert_eq!(sources.ca(&named), Err(Missing::File { what: "CA" }));
    }
}
