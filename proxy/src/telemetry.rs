//! Logs: one JSON object per line on standard error.
//!
//! The level is that of our own code. Libraries log from WARN on, whatever the level is: some print headers below that,
//! and headers carry tokens.

mod lines;

use std::io;
use std::sync::OnceLock;
use std::time::Duration;

use tracing_subscriber::filter::{LevelFilter, Targets};
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::SubscriberInitExt;
use tracing_subscriber::{Registry, fmt, reload};
use vibectl_config::LogLevel;

use crate::telemetry::lines::Lines;

/// What the process logs with, once it does.
static LOG: OnceLock<Lines> = OnceLock::new();
/// How long the end of the process waits for whoever reads the log.
const LAST_LINES: Duration = Duration::from_millis(300);

/// Changes the level of a running process.
#[derive(Clone, Debug)]
pub struct Level(Option<reload::Handle<Targets, Registry>>);

impl Level {
    /// Logs from this level on.
    pub fn set(&self, level: LogLevel) {
        if let Some(handle) = &self.0 {
            // Fails only when the subscriber is gone; then nothing is logged at all.
            let _ = handle.reload(targets(level));
        }
    }
}

/// Starts to log. Where something logs already (in tests) that stays.
pub fn start(level: LogLevel) -> Level {
    let (filter, handle) = reload::Layer::new(targets(level));
    let lines = fmt::layer()
        .json()
        .flatten_event(true)
        .with_current_span(false)
        .with_span_list(false)
        .with_writer(LOG.get_or_init(|| Lines::to(io::stderr())).clone());
    let started = tracing_subscriber::registry().with(filter).with(lines).try_init();
    Level(started.is_ok().then_some(handle))
}

/// Lines that were logged and never got out.
pub fn dropped_lines() -> u64 {
    LOG.get().map_or(0, Lines::dropped)
}

/// When it is dropped, what was logged so far gets out, unless nobody takes it.
#[derive(Debug)]
pub struct Flush;

impl Drop for Flush {
    fn drop(&mut self) {
        if let Some(lines) = LOG.get() {
            lines.flush(LAST_LINES);
        }
    }
}

fn targets(level: LogLevel) -> Targets {
    let own = match level {
        LogLevel::Debug => LevelFilter::DEBUG,
        LogLevel::Info => LevelFilter::INFO,
        LogLevel::Warning => LevelFilter::WARN,
        LogLevel::Error => LevelFilter::ERROR,
    };
    Targets::new().with_default(own.min(LevelFilter::WARN)).with_target("vibectl_server", own)
}
