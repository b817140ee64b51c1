//! What stands above the file: flags over environment variables over the file over the defaults.

use std::{fmt, path::PathBuf};

pub use crate::environment::{Variable, variable_of, variables};
use crate::schema::{Config, LogLevel, MinVersion};

/// Values of flags; each absent one leaves what file and environment say.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Overrides {
    /// `server.host`.
    pub host: Option<String>,
    /// `server.port`. Zero lets the system choose, which a file cannot ask for.
    pub port: Option<u16>,
    /// `server.log_level`.
    pub log_level: Option<LogLevel>,
    /// `server.max_workers`, as much without effect.
    pub max_workers: Option<u32>,
    /// `server.default_model`.
    pub default_model: Option<String>,
    /// `server.require_auth`.
    pub require_auth: Option<bool>,
    /// `server.limits.global.max_requests_per_minute`.
    pub max_requests_per_minute: Option<u32>,
    /// `server.limits.global.max_concurrent_requests`.
    pub max_concurrent_requests: Option<u32>,
    /// `admin.enabled`.
    pub admin_enabled: Option<bool>,
    /// `admin.port`. Zero lets the system choose.
    pub admin_port: Option<u16>,
    /// `tls.enabled`.
    pub tls_enabled: Option<bool>,
    /// `tls.cert_file`.
    pub cert_file: Option<PathBuf>,
    /// `tls.key_file`.
    pub key_file: Option<PathBuf>,
    /// `tls.ca_bundle_file`.
    pub ca_bundle_file: Option<PathBuf>,
    /// `tls.min_version`.
    pub min_version: Option<MinVersion>,
}

/// Where the value of a key comes from.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Origin {
    /// Nobody said anything.
    #[default]
    Default,
    /// The file.
    File {
        /// The line, from 1.
        line: usize,
    },
    /// The environment variable of this name.
    Variable(String),
}

impl fmt::Display for Origin {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Default => formatter.write_str("default"),
            Self::File { line } => write!(formatter, "file, line {line}"),
            Self::Variable(name) => write!(formatter, "environment, {name}"),
        }
    }
}

/// Flags do not fit to what they were put over.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum OverrideError {
    /// The default model does not exist.
    #[error("no model is called {name:?}; known: {known}")]
    UnknownModel {
        /// What was asked for.
        name: String,
        /// The models that there are.
        known: String,
    },
    /// A certificate without its key, or the other way round.
    #[error("tls.cert_file and tls.key_file are only of use together: one of them is missing")]
    HalfACertificate,
    /// The access table says that every call needs a token.
    #[error("calls always need a token where the config has an access table")]
    AccessNeedsTokens,
}

impl Overrides {
    /// Puts these overrides over a config.
    ///
    /// A certificate and its key replace those of the file together.
    pub fn apply(self, config: &mut Config) -> Result<(), OverrideError> {
        let Self { host, port, log_level, max_workers, default_model, require_auth, .. } = self;
        let server = &mut config.server;
        put(host, &mut server.host);
        put(port, &mut server.port);
        put(log_level, &mut server.log_level);
        put_some(max_workers, &mut server.max_workers);
        put_some(default_model, &mut server.default_model);
        put_some(require_auth, &mut server.require_auth);
        put_some(self.max_requests_per_minute, &mut server.limits.global.max_requests_per_minute);
        put_some(self.max_concurrent_requests, &mut server.limits.global.max_concurrent_requests);
        put(self.admin_enabled, &mut config.admin.enabled);
        put(self.admin_port, &mut config.admin.port);
        let tls = &mut config.tls;
        put_some(self.tls_enabled, &mut tls.enabled);
        put_some(self.ca_bundle_file, &mut tls.ca_bundle_file);
        put(self.min_version, &mut tls.min_version);
        if self.cert_file.is_some() || self.key_file.is_some() {
            (tls.cert_file, tls.key_file) = (self.cert_file, self.key_file);
        }
        check(config)
    }
}

fn put<T>(value: Option<T>, target: &mut T) {
    if let Some(value) = value {
        *target = value;
    }
}

fn put_some<T>(value: Option<T>, target: &mut Option<T>) {
    if value.is_some() {
        *target = value;
    }
}

fn check(config: &Config) -> Result<(), OverrideError> {
    if let Some(name) = &config.server.default_model
        && config.model(name).is_none()
    {
        let known = config.models.iter().map(|model| model.name.as_str()).collect::<Vec<_>>().join(", ");
        return Err(OverrideError::UnknownModel { name: name.clone(), known });
    }
    if config.tls.cert_file.is_some() != config.tls.key_file.is_some() {
        return Err(OverrideError::HalfACertificate);
    }
    if config.access.is_some() && config.server.require_auth == Some(false) {
        return Err(OverrideError::AccessNeedsTokens);
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_flag_stands_over_the_environment_and_both_over_the_file() {
        let file = "server: {host: file, port: 1, log_level: error}";
        let variables = [("VIBECTL_SERVER_HOST", "variable"), ("VIBECTL_LOG_LEVEL", "debug")];
        let variables = variables.map(|(name, value)| (name.to_owned(), value.to_owned()));
        let mut config = Config::layered(file, "c.yaml", &variables.into()).unwrap().config;
        let flags = Overrides { host: Some("flag".to_owned()), ..Overrides::default() };

        flags.apply(&mut config).unwrap();

        assert_eq!(config.server.host, "flag");
        assert_eq!(config.server.log_level, LogLevel::Debug);
        assert_eq!(config.server.port, 1);
    }

    #[test]
    fn half_a_certificate_never_mixes_with_half_of_the_file() {
        let mut config = Config::parse("tls: {cert_file: /c, key_file: /k}", "c.yaml").unwrap().config;
        let overrides = Overrides { cert_file: Some("/other".into()), ..Overrides::default() };

        assert_eq!(overrides.apply(&mut config), Err(OverrideError::HalfACertificate));
    }

    #[test]
    fn a_default_model_has_to_exist() {
        let overrides = Overrides { default_model: Some("gpt".to_owned()), ..Overrides::default() };

        let error = overrides.apply(&mut Config::default()).unwrap_err();

        assert_eq!(error.to_string(), r#"no model is called "gpt"; known: echo"#);
    }

    #[test]
    fn an_access_table_cannot_be_opened_by_a_flag() {
        let mut config = Config::parse("access: {issuer: i, audience: a}", "c.yaml").unwrap().config;
        let overrides = Overrides { require_auth: Some(false), ..Overrides::default() };

        assert_eq!(overrides.apply(&mut config), Err(OverrideError::AccessNeedsTokens));
    }

    #[test]
    fn no_overrides_change_nothing() {
        let mut config = Config::default();

        Overrides::default().apply(&mut config).unwrap();

        assert_eq!(config, Config::default());
    }
}
