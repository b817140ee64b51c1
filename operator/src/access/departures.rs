//! Deletions of ProxyTokens that were seen: the reason why rows may leave an access table.

use std::{
    collections::HashMap,
    sync::{Mutex, PoisonError},
    time::{Duration, Instant},
};

/// A table is written long before that; what was seen is forgotten then.
const REMEMBERED: Duration = Duration::from_secs(3600);

/// UIDs of ProxyTokens whose deletion was seen lately.
#[derive(Debug, Default)]
pub struct Departures {
    seen: Mutex<HashMap<String, Instant>>,
}

impl Departures {
    /// The deletion of this ProxyToken was seen.
    pub fn saw(&self, uid: &str, now: Instant) {
        let mut seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        seen.retain(|_, at| now.duration_since(*at) < REMEMBERED);
        seen.insert(uid.to_owned(), now);
    }

    /// Whether the deletion of this ProxyToken was seen.
    pub fn contains(&self, uid: &str) -> bool {
        self.seen.lock().unwrap_or_else(PoisonError::into_inner).contains_key(uid)
    }
}
