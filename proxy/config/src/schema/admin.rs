//! `admin`: health and metrics.

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

serialize_differences!(Admin { enabled, host, port });
