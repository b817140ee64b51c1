//! `server`: the service itself.

use serde::Serialize;

use super::{Connections, ServerLimits, original::OriginalKeys};
use crate::decode::Cursor;

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
    /// How long connections live and how they are looked after.
    pub connections: Connections,
    /// Whether gRPC callers may ask what the server can be asked (server reflection).
    pub reflection: bool,
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
            connections: Connections::default(),
            reflection: false,
            shutdown_grace_seconds: 30,
            max_message_bytes: 4 * 1024 * 1024,
        }
    }
}

impl Server {
    /// The section, and what the original's keys in it say for other sections.
    pub(super) fn decode<'a>(cursor: &Cursor<'a>) -> (Self, OriginalKeys<'a>) {
        let default = Self::default();
        let mut section = cursor.section();
        let server = Self {
            host: section.read("host", Cursor::host).unwrap_or(default.host),
            port: section.read("port", Cursor::port).unwrap_or(default.port),
            default_model: section.read("default_model", Cursor::model_name),
            log_level: section
                .read("log_level", |cursor| cursor.choice(&LogLevel::NAMES))
                .unwrap_or(default.log_level),
            max_workers: section.retired(
                "max_workers",
                "without effect: there is no pool of threads to size",
                |cursor| cursor.integer(1..=u32::MAX),
            ),
            require_auth: section.retired(
                "require_auth",
                "deprecated: use jwt.enabled, or the flag --no-require-auth",
                Cursor::boolean,
            ),
            limits: section.decode("limits", ServerLimits::decode),
            connections: section.decode("connections", Connections::decode),
            reflection: section.read("reflection", Cursor::boolean).unwrap_or(default.reflection),
            shutdown_grace_seconds: section
                .read("shutdown_grace_seconds", |cursor| cursor.integer(0..=MAX_SHUTDOWN_GRACE_SECONDS))
                .unwrap_or(default.shutdown_grace_seconds),
            max_message_bytes: section
                .read("max_message_bytes", |cursor| cursor.integer(MESSAGE_BYTES))
                .unwrap_or(default.max_message_bytes),
        };
        let original = OriginalKeys::decode(&mut section);
        section.finish_with(&[("hsts", "it belongs to tls: tls.hsts")]);
        (server, original)
    }
}

/// A day: longer is a mistake in the unit.
const MAX_SHUTDOWN_GRACE_SECONDS: u32 = 86_400;
/// From what any request needs to what a proxy can hold for many at once.
const MESSAGE_BYTES: std::ops::RangeInclusive<u32> = 1024..=256 * 1024 * 1024;

serialize_differences!(Server {
    host,
    port,
    default_model,
    log_level,
    max_workers,
    require_auth,
    limits,
    connections,
    reflection,
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
}
