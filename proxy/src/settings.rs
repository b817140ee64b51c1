//! From flags, environment and file to the one [`Config`] that is served, at the start and at every change of the file.

use std::path::PathBuf;

use vibectl_config::{Config, LogLevel, Notice};

use crate::parts::Files;
use crate::reload::files::PartFiles;

/// Name of the config file in [`Files`] (and in its revision).
const CONFIG_FILE: &str = vibectl_config::mount::CONFIG_FILE;

/// Everything that was said outside the config file; it stays while the file changes.
#[derive(Clone, Debug, Default)]
pub struct Settings {
    /// The config file.
    pub file: PathBuf,
    /// True when a person named the file; then it has to be there.
    pub file_is_named: bool,
    /// What flags and environment put over the file.
    pub overrides: Overrides,
}

/// What flags and environment put over the file; absent leaves the file's value.
#[derive(Clone, Debug, Default)]
pub struct Overrides {
    /// `server.host`
    pub host: Option<String>,
    /// `server.port`
    pub port: Option<u16>,
    /// `server.default_model`
    pub default_model: Option<String>,
    /// `server.log_level`; the environment's when there is no flag.
    pub log_level: Option<LogLevel>,
    /// `server.require_auth`
    pub require_auth: Option<bool>,
    /// Requests per minute of every caller, whatever the file says for one.
    pub max_rpm: Option<u32>,
    /// Concurrent requests of every caller, whatever the file says for one.
    pub max_concurrent: Option<u32>,
    /// `admin.enabled`
    pub admin: Option<bool>,
    /// `admin.port`
    pub admin_port: Option<u16>,
    /// What the command says about TLS.
    pub tls: TlsOverride,
}

/// What a command says about TLS.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum TlsOverride {
    /// The file decides.
    #[default]
    AsConfigured,
    /// None, whatever the file says.
    Off,
    /// With these files.
    Files {
        /// Certificate and chain.
        cert_file: PathBuf,
        /// Its key.
        key_file: PathBuf,
        /// CA that callers need a certificate of.
        client_ca_file: Option<PathBuf>,
    },
    /// With a certificate that does not come from files named in the config.
    Made,
}

/// A usable config and what its owner should know about it.
#[derive(Clone, Debug)]
pub struct Loaded {
    /// The config, flags included.
    pub config: Config,
    /// Deprecated keys and the like.
    pub notices: Vec<Notice>,
}

/// Why there is no usable config; one line for each mistake.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{}", .0.join("\n"))]
pub struct Mistakes(pub Vec<String>);

impl Mistakes {
    fn one(mistake: impl Into<String>) -> Self {
        Self(vec![mistake.into()])
    }
}

impl Settings {
    /// The files to watch for changes of the config.
    pub fn files(&self) -> PartFiles {
        PartFiles::new([(CONFIG_FILE.to_owned(), self.file.clone())])
    }

    /// What this content of the config file means together with the flags. No file is as good as an empty one, unless
    /// it was named.
    pub fn interpret(&self, files: &Files) -> Result<Loaded, Mistakes> {
        let name = self.file.display().to_string();
        let content = match files.get(CONFIG_FILE) {
            Some(content) => content.as_slice(),
            None if self.file_is_named => return Err(Mistakes::one(format!("{name}: no such file"))),
            None => &[],
        };
        let text = std::str::from_utf8(content).map_err(|_| Mistakes::one(format!("{name}: not UTF-8")))?;
        let parsed = Config::parse(text, &name)
            .map_err(|mistakes| Mistakes(mistakes.iter().map(ToString::to_string).collect()))?;
        let mut config = parsed.config;
        self.overrides.apply(&mut config);
        self.overrides.check(&config)?;
        Ok(Loaded { config, notices: parsed.notices })
    }
}

impl Overrides {
    fn apply(&self, config: &mut Config) {
        let Self {
            host,
            port,
            default_model,
            log_level,
            require_auth,
            max_rpm,
            max_concurrent,
            admin,
            admin_port,
            tls,
        } = self;
        let server = &mut config.server;
        replace(&mut server.host, host.as_ref());
        replace(&mut server.port, port.as_ref());
        replace(&mut server.log_level, log_level.as_ref());
        server.default_model = default_model.clone().or_else(|| server.default_model.take());
        server.require_auth = require_auth.or(server.require_auth);
        replace(&mut config.admin.enabled, admin.as_ref());
        replace(&mut config.admin.port, admin_port.as_ref());
        for limits in std::iter::once(&mut server.limits.global).chain(server.limits.per_token.values_mut()) {
            limits.max_requests_per_minute = max_rpm.or(limits.max_requests_per_minute);
            limits.max_concurrent_requests = max_concurrent.or(limits.max_concurrent_requests);
        }
        tls.apply(config);
    }

    /// Flags can name what the file does not have.
    fn check(&self, config: &Config) -> Result<(), Mistakes> {
        match &self.default_model {
            Some(name) if config.model(name).is_none() => {
                let known: Vec<_> = config.models.iter().map(|model| model.name.as_str()).collect();
                Err(Mistakes::one(format!("--model: no model \"{name}\"; there is {}", known.join(", "))))
            }
            _ => Ok(()),
        }
    }
}

impl TlsOverride {
    fn apply(&self, config: &mut Config) {
        let tls = &mut config.tls;
        match self {
            Self::AsConfigured => return,
            Self::Off => {
                tls.enabled = Some(false);
                (tls.cert_file, tls.key_file, tls.ca_bundle_file) = (None, None, None);
            }
            Self::Files { cert_file, key_file, client_ca_file } => {
                tls.enabled = Some(true);
                (tls.cert_file, tls.key_file) = (Some(cert_file.clone()), Some(key_file.clone()));
                tls.ca_bundle_file = client_ca_file.clone().or_else(|| tls.ca_bundle_file.take());
            }
            Self::Made => {
                tls.enabled = Some(true);
                (tls.cert_file, tls.key_file) = (None, None);
            }
        }
        // The command chose; an ACME section is for another one.
        config.acme.enabled = false;
    }
}

fn replace<T: Clone>(value: &mut T, by: Option<&T>) {
    if let Some(by) = by {
        value.clone_from(by);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn interpret(overrides: Overrides, text: &str) -> Result<Config, Mistakes> {
        let settings = Settings { file: "config.yaml".into(), file_is_named: true, overrides };
        let files = Files::from([(CONFIG_FILE.to_owned(), text.as_bytes().to_vec())]);
        settings.interpret(&files).map(|loaded| loaded.config)
    }

    #[test]
    fn flags_win_over_the_file_and_the_rest_of_the_file_stays() {
        let overrides = Overrides { port: Some(7), max_rpm: Some(5), ..Overrides::default() };
        let text = "server:\n  host: 127.0.0.9\n  port: 9\n  limits:\n    per_token:\n      vip: {max_requests_per_minute: 1000}\n";

        let config = interpret(overrides, text).expect("usable");

        assert_eq!((config.server.host.as_str(), config.server.port), ("127.0.0.9", 7));
        assert_eq!(config.server.limits.global.max_requests_per_minute, Some(5));
        assert_eq!(config.server.limits.per_token["vip"].max_requests_per_minute, Some(5));
    }

    #[test]
    fn a_named_file_has_to_be_there_and_the_default_one_has_not() {
        let named = Settings { file: "gone.yaml".into(), file_is_named: true, ..Settings::default() };
        let default = Settings { file_is_named: false, ..named.clone() };

        assert_eq!(named.interpret(&Files::new()).expect_err("gone").to_string(), "gone.yaml: no such file");
        assert_eq!(default.interpret(&Files::new()).expect("defaults").config, Config::default());
    }

    #[test]
    fn a_default_model_that_does_not_exist_is_a_mistake_that_names_those_that_do() {
        let overrides = Overrides { default_model: Some("gpt".to_owned()), ..Overrides::default() };

        let mistake = interpret(overrides, "").expect_err("no such model");

        assert_eq!(mistake.to_string(), "--model: no model \"gpt\"; there is echo");
    }
}
