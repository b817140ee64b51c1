//! Logs: one JSON object per line on standard output.

use clap::ValueEnum;
use tracing_subscriber::{EnvFilter, fmt, layer::SubscriberExt, util::SubscriberInitExt};

/// Lowest level that is logged.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum LogLevel {
    /// Failures of the operator itself.
    Error,
    /// Failures of one object or call.
    Warn,
    /// What a person would act on or audit.
    Info,
    /// Everything else.
    Debug,
}

impl LogLevel {
    /// The filter: ours at this level, libraries one step quieter. `kube` logs each 404 as an error, which is
    /// noise for us: our own errors carry what matters.
    fn filter(self) -> &'static str {
        match self {
            Self::Error => "error,kube_client=off",
            Self::Warn => "warn,kube_client=off",
            Self::Info => "warn,vibectl_operator=info,kube_client=off",
            Self::Debug => "info,vibectl_operator=debug,kube=debug",
        }
    }
}

/// Installs the subscriber. A second call (in tests) changes nothing.
pub fn install(level: LogLevel) {
    let lines = fmt::layer().json().flatten_event(true).with_current_span(true).with_span_list(false);
    let installed =
        tracing_subscriber::registry().with(EnvFilter::new(level.filter())).with(lines).try_init();
    if installed.is_err() {
        tracing::debug!("a log subscriber is installed already");
    }
}
