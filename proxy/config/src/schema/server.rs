//! `server`: the service itself.

use serde::Serialize;

use super::ServerLimits;

/// Address, limits and life cycle of the service.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Server {
    /// Host name or IP address to listen on.
    pub host: String,
    /// Port of the service.
    pub port: u16,
    /// The model of a call that names none.
    pub default_model: Option<String>,
    /// The least severe level that is logged.
    pub log_level: LogLevel,
    /// Accepted from files of the original and without effect: there is no thread pool.
    pub max_workers: Option<u32>,
    /// Whether calls need a token, where neither a flag nor an access table says so.
    pub require_auth: Option<bool>,
    /// Limits of callers.
    pub limits: ServerLimits,
    /// How long running calls may take to finish after the signal to stop.
    pub shutdown_grace_seconds: u32,
    /// The largest request that is read.
    pub max_message_bytes: u32,
}

impl Default for Server {
    fn default() -> Self {
        Self {
            host: "0.0.0.0".to_owned(),
            port: 50051,
            default_model: None,
            log_level: LogLevel::Info,
            max_workers: None,
            require_auth: None,
            limits: ServerLimits::default(),
            shutdown_grace_seconds: 30,
            max_message_bytes: 4 * 1024 * 1024,
        }
    }
}

serialize_differences!(Server {
    host,
    port,
    default_model,
    log_level,
    max_workers,
    require_auth,
    limits,
    shutdown_grace_seconds,
    max_message_bytes,
});

/// How much is logged.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum LogLevel {
    /// Everything, for finding faults.
    Debug,
    /// What a person would act on or audit.
    #[default]
    Info,
    /// What will need a person if it lasts.
    Warning,
    /// What has failed.
    Error,
}

impl LogLevel {
    /// Every level with its name.
    pub const NAMES: [(&'static str, Self); 4] =
        [("debug", Self::Debug), ("info", Self::Info), ("warning", Self::Warning), ("error", Self::Error)];

    /// The level of this name, in any case.
    pub fn from_name(name: &str) -> Option<Self> {
        Self::NAMES.iter().find(|(known, _)| known.eq_ignore_ascii_case(name)).map(|(_, level)| *level)
    }
}
