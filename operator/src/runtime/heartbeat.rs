//! Proof that a task is alive: it beats, `/healthz` looks at the age of the last beat.

use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

/// Shared between the task that beats and those who look.
#[derive(Debug, Clone)]
pub struct Heartbeat {
    start: Instant,
    last_ms: Arc<AtomicU64>,
}

/// Never beaten: the task has not begun yet.
const NEVER: u64 = u64::MAX;

impl Default for Heartbeat {
    fn default() -> Self {
        Self { start: Instant::now(), last_ms: Arc::new(AtomicU64::new(NEVER)) }
    }
}

impl Heartbeat {
    /// One whose last beat lies back that long.
    #[cfg(test)]
    pub(crate) fn silent_for(age: Duration) -> Self {
        let start = Instant::now().checked_sub(age).expect("the machine is up for that long");
        Self { start, last_ms: Arc::default() }
    }

    /// Says: alive now.
    pub fn beat(&self) {
        let elapsed = self.start.elapsed().as_millis();
        self.last_ms.store(u64::try_from(elapsed).unwrap_or(NEVER - 1), Ordering::Relaxed);
    }

    /// How long ago the last beat was; zero while the task has not begun.
    pub fn age(&self) -> Duration {
        match self.last_ms.load(Ordering::Relaxed) {
            NEVER => Duration::ZERO,
            last => self.start.elapsed().saturating_sub(Duration::from_millis(last)),
        }
    }
}
