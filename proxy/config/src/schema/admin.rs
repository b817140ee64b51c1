//! `admin`: health and metrics.

use crate::decode::Cursor;

/// The port of kubelet and Prometheus: plain HTTP, no credentials, nothing secret.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Admin {
    /// Whether there is such a port.
    pub enabled: bool,
    /// Host name or IP address to listen on.
    pub host: String,
    /// The port.
    pub port: u16,
}

impl Default for Admin {
    fn default() -> Self {
        Self { enabled: false, host: "0.0.0.0".to_owned(), port: 9095 }
    }
}

impl Admin {
    pub(super) fn decode(cursor: &Cursor<'_>) -> Self {
        let default = Self::default();
        let mut section = cursor.section();
        let admin = Self {
            enabled: section.read("enabled", Cursor::boolean).unwrap_or(default.enabled),
            host: section.read("host", Cursor::host).unwrap_or(default.host),
            port: section.read("port", Cursor::port).unwrap_or(default.port),
        };
        section.finish();
        admin
    }
}

serialize_differences!(Admin { enabled, host, port });
