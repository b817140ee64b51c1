//! What stands above the file: flags over environment variables over the file over the defaults.

use std::path::PathBuf;

pub use crate::environment::{EnvironmentMistake, EnvironmentMistakes, VARIABLES, Variable};
use crate::{
    locate::Environment,
    schema::{Config, JwtAlgorithm, LogLevel, MinVersion},
    secret::Secret,
};

/// Values that replace those of a file; each absent one leaves the file's.
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
    /// The shared secret, in place of both that a file can name.
    pub jwt_secret: Option<JwtSecret>,
    /// `jwt.algorithm`.
    pub jwt_algorithm: Option<JwtAlgorithm>,
    /// `jwt.issuer`.
    pub jwt_issuer: Option<String>,
    /// `jwt.expiration_days`.
    pub jwt_expiration_days: Option<u32>,
}

/// Where a shared secret comes from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum JwtSecret {
    /// The secret itself.
    Value(Secret),
    /// The file that holds it.
    File(PathBuf),
}

/// Flags and variables do not fit to the file that they were put over.
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
    /// What the documented environment variables say; see [`VARIABLES`].
    pub fn from_environment(environment: &Environment) -> Result<Self, EnvironmentMistakes> {
        crate::environment::read(environment)
    }

    /// These overrides over `lower` ones: flags over environment variables.
    pub fn over(self, lower: Self) -> Self {
        Self {
            host: self.host.or(lower.host),
            port: self.port.or(lower.port),
            log_level: self.log_level.or(lower.log_level),
            max_workers: self.max_workers.or(lower.max_workers),
            default_model: self.default_model.or(lower.default_model),
            require_auth: self.require_auth.or(lower.require_auth),
            max_requests_per_minute: self.max_requests_per_minute.or(lower.max_requests_per_minute),
            max_concurrent_requests: self.max_concurrent_requests.or(lower.max_concurrent_requests),
            admin_enabled: self.admin_enabled.or(lower.admin_enabled),
            admin_port: self.admin_port.or(lower.admin_port),
            tls_enabled: self.tls_enabled.or(lower.tls_enabled),
            cert_file: self.cert_file.or(lower.cert_file),
            key_file: self.key_file.or(lower.key_file),
            ca_bundle_file: self.ca_bundle_file.or(lower.ca_bundle_file),
            min_version: self.min_version.or(lower.min_version),
            jwt_secret: self.jwt_secret.or(lower.jwt_secret),
            jwt_algorithm: self.jwt_algorithm.or(lower.jwt_algorithm),
            jwt_issuer: self.jwt_issuer.or(lower.jwt_issuer),
            jwt_expiration_days: self.jwt_expiration_days.or(lower.jwt_expiration_days),
        }
    }

    /// Puts these overrides over a config.
    ///
    /// A certificate and its key replace those of the file together; so does the shared secret, wherever it is from.
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
        let jwt = &mut config.jwt;
        put(self.jwt_algorithm, &mut jwt.algorithm);
        put(self.jwt_issuer, &mut jwt.issuer);
        put(self.jwt_expiration_days, &mut jwt.expiration_days);
        match self.jwt_secret {
            Some(JwtSecret::Value(secret)) => (jwt.secret_key, jwt.secret_key_file) = (Some(secret), None),
            Some(JwtSecret::File(path)) => (jwt.secret_key, jwt.secret_key_file) = (None, Some(path)),
            None => {}
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
        let mut config =
            Config::parse("server: {host: file, port: 1, log_level: error}", "c.yaml").unwrap().config;
        let flags = Overrides { host: Some("flag".to_owned()), ..Overrides::default() };
        let variables = Overrides {
            host: Some("variable".to_owned()),
            log_level: Some(LogLevel::Debug),
            ..Overrides::default()
        };

        flags.over(variables).apply(&mut config).unwrap();

        assert_eq!(config.server.host, "flag");
        assert_eq!(config.server.log_level, LogLevel::Debug);
        assert_eq!(config.server.port, 1);
    }

    #[test]
    fn a_secret_replaces_the_one_of_the_file_wherever_that_is_from() {
        let mut config = Config::parse("jwt: {secret_key: file}", "c.yaml").unwrap().config;
        let secret = Some(JwtSecret::File("/run/secret".into()));

        Overrides { jwt_secret: secret, ..Overrides::default() }.apply(&mut config).unwrap();

        assert_eq!(config.jwt.secret_key, None);
        assert_eq!(config.jwt.secret_key_file, Some("/run/secret".into()));
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
