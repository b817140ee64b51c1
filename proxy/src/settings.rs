//! From flags, environment and file to the one [`Config`] that is served, at the start and at every change of the file.

pub mod acme;
pub mod mode;

use std::path::PathBuf;

use vibectl_config::layers::{Origin, Overrides};
use vibectl_config::locate::Environment;
use vibectl_config::{Config, Notice, Parsed};

use crate::parts::Files;
use crate::reload::files::PartFiles;
use crate::settings::acme::{AcmeFlags, HTTPS};
use crate::settings::mode::{Chosen, Mode, ServeFlags};

/// Name of the config file in [`Files`] (and in its revision).
const CONFIG_FILE: &str = vibectl_config::mount::CONFIG_FILE;

/// Everything that was said outside the config file; it stays while the file changes.
#[derive(Clone, Debug, Default)]
pub struct Settings {
    /// The config file, where there is a place to look for one.
    pub file: Option<PathBuf>,
    /// True when a person named the file; then it has to be there.
    pub file_is_named: bool,
    /// Directory of the server's own files, where there is one.
    pub folder: Option<PathBuf>,
    /// Environment variables, some of which stand over keys of the file.
    pub variables: Environment,
    /// What flags put over both.
    pub overrides: Overrides,
    /// What the command says about TLS.
    pub tls: TlsOverride,
    /// True for the command that serves without TLS on purpose: there calls need no token unless it is said.
    pub insecure: bool,
}

/// What a command says about TLS.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum TlsOverride {
    /// Nothing: the command does not serve.
    #[default]
    None,
    /// No TLS, whatever the file says.
    Off,
    /// With these files, whatever the file says.
    Files {
        /// Certificate and chain.
        cert_file: PathBuf,
        /// Its key.
        key_file: PathBuf,
        /// CA that callers need a certificate of.
        client_ca_file: Option<PathBuf>,
    },
    /// With a certificate that is issued at the start, whatever the file says.
    Issued,
    /// With a certificate from an ACME server.
    Acme(AcmeFlags),
    /// As flags and file say together.
    Routed(ServeFlags),
}

/// A usable config and what its owner should know about it.
#[derive(Clone, Debug)]
pub struct Loaded {
    /// The config, flags included.
    pub config: Config,
    /// Deprecated keys and the like.
    pub notices: Vec<Notice>,
    /// How it is served; none for a command that does not serve.
    pub chosen: Option<Chosen>,
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
        PartFiles::new(self.file.clone().map(|path| (CONFIG_FILE.to_owned(), path)))
    }

    /// What this content of the config file means together with the flags. No file is as good as an empty one, unless
    /// it was named.
    pub fn interpret(&self, files: &Files) -> Result<Loaded, Mistakes> {
        let parsed = self.parse(files)?;
        let port_is_said = parsed.origin("server.port") != Origin::Default;
        let mut config = parsed.config;
        if matches!(self.tls, TlsOverride::Acme(_)) && !port_is_said {
            config.server.port = HTTPS;
        }
        let chosen = self.put_over(&mut config).map_err(Mistakes::one)?;
        Ok(Loaded { config, notices: parsed.notices, chosen })
    }

    /// As [`Self::interpret`], without the flags: what file and environment say, and where each value comes from.
    pub fn parse(&self, files: &Files) -> Result<Parsed, Mistakes> {
        let name = self.file.as_ref().map_or_else(String::new, |path| path.display().to_string());
        let content = match files.get(CONFIG_FILE) {
            Some(content) => content.as_slice(),
            None if self.file_is_named => return Err(Mistakes::one(format!("{name}: no such file"))),
            None => &[],
        };
        let text = std::str::from_utf8(content).map_err(|_| Mistakes::one(format!("{name}: not UTF-8")))?;
        Config::layered(text, &name, &self.variables)
            .map_err(|mistakes| Mistakes(mistakes.iter().map(ToString::to_string).collect()))
    }

    fn put_over(&self, config: &mut Config) -> Result<Option<Chosen>, String> {
        let metrics_port_alone =
            self.overrides.admin_port.is_some() && self.overrides.admin_enabled.is_none();
        if metrics_port_alone && !config.admin.enabled {
            return Err("--metrics-port: there are no metrics to serve; add --enable-metrics".to_owned());
        }
        self.overrides.clone().apply(config).map_err(|error| error.to_string())?;
        // A flag is for every caller, also for those of whom the file says something.
        for limits in config.server.limits.per_token.values_mut() {
            let Overrides { max_requests_per_minute, max_concurrent_requests, .. } = &self.overrides;
            limits.max_requests_per_minute = max_requests_per_minute.or(limits.max_requests_per_minute);
            limits.max_concurrent_requests = max_concurrent_requests.or(limits.max_concurrent_requests);
        }
        self.tls.put_over(config)
    }
}

impl TlsOverride {
    fn put_over(&self, config: &mut Config) -> Result<Option<Chosen>, String> {
        // Another source of a certificate, or none, is what the command says.
        config.acme.enabled &= matches!(self, Self::None | Self::Routed(_));
        let tls = &mut config.tls;
        let chosen = match self {
            Self::None => return Ok(None),
            Self::Routed(flags) => {
                let chosen = flags.put_over(config)?;
                acme::check(config)?;
                chosen
            }
            Self::Acme(flags) => {
                flags.put_over(config)?;
                Chosen::by_command(Mode::Acme, "serve-acme")
            }
            Self::Off => {
                tls.enabled = Some(false);
                (tls.cert_file, tls.key_file) = (None, None);
                (tls.ca_bundle_file, tls.client_crl_file) = (None, None);
                Chosen::by_command(Mode::Insecure, "serve-insecure")
            }
            Self::Files { cert_file, key_file, client_ca_file } => {
                tls.enabled = Some(true);
                (tls.cert_file, tls.key_file) = (Some(cert_file.clone()), Some(key_file.clone()));
                tls.ca_bundle_file = client_ca_file.clone().or_else(|| tls.ca_bundle_file.take());
                Chosen::by_command(Mode::Custom, "serve-custom")
            }
            Self::Issued => {
                tls.enabled = Some(true);
                (tls.cert_file, tls.key_file) = (None, None);
                Chosen::by_command(Mode::Ca, "serve-ca")
            }
        };
        Ok(Some(chosen))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn interpret(overrides: Overrides, text: &str) -> Result<Config, Mistakes> {
        interpret_all(Settings { overrides, ..Settings::default() }, text)
    }

    fn interpret_all(settings: Settings, text: &str) -> Result<Config, Mistakes> {
        let settings = Settings { file: Some("config.yaml".into()), file_is_named: true, ..settings };
        let files = Files::from([(CONFIG_FILE.to_owned(), text.as_bytes().to_vec())]);
        settings.interpret(&files).map(|loaded| loaded.config)
    }

    #[test]
    fn flags_win_over_the_file_and_the_rest_of_the_file_stays() {
        let overrides = Overrides { port: Some(7), max_requests_per_minute: Some(5), ..Overrides::default() };
        let text = "server:\n  host: 127.0.0.9\n  port: 9\n  limits:\n    per_token:\n      vip: {max_requests_per_minute: 1000}\n";

        let config = interpret(overrides, text).expect("usable");

        assert_eq!((config.server.host.as_str(), config.server.port), ("127.0.0.9", 7));
        assert_eq!(config.server.limits.global.max_requests_per_minute, Some(5));
        assert_eq!(config.server.limits.per_token["vip"].max_requests_per_minute, Some(5));
    }

    #[test]
    fn a_named_file_has_to_be_there_and_the_default_one_has_not() {
        let named = Settings { file: Some("gone.yaml".into()), file_is_named: true, ..Settings::default() };
        let default = Settings { file_is_named: false, ..named.clone() };

        assert_eq!(named.interpret(&Files::new()).expect_err("gone").to_string(), "gone.yaml: no such file");
        assert_eq!(default.interpret(&Files::new()).expect("defaults").config, Config::default());
    }

    #[test]
    fn a_default_model_that_does_not_exist_is_a_mistake_that_names_those_that_do() {
        let overrides = Overrides { default_model: Some("gpt".to_owned()), ..Overrides::default() };

        let mistake = interpret(overrides, "").expect_err("no such model");

        assert_eq!(mistake.to_string(), "no model is called \"gpt\"; known: echo");
    }

    #[test]
    fn serving_without_tls_leaves_nothing_of_tls() {
        let text = "tls: {cert_file: /c, key_file: /k}";

        let config = interpret_all(Settings { tls: TlsOverride::Off, ..Settings::default() }, text);

        let tls = config.expect("usable").tls;
        assert_eq!((tls.enabled, tls.cert_file, tls.key_file), (Some(false), None, None));
    }
}
