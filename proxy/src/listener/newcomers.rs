//! Connections that have not shown yet what they want: a bound on how many there are, at the cost of the oldest.
//!
//! Somebody who opens connections and goes no further than the first bytes of a handshake would otherwise take every place
//! for as long as a handshake may take, and the honest would wait.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Mutex, PoisonError};

use tokio_util::sync::CancellationToken;

/// The newcomers of one port.
#[derive(Debug)]
pub(super) struct Newcomers {
    longest: usize,
    arrivals: AtomicU64,
    waiting: Mutex<BTreeMap<u64, CancellationToken>>,
}

/// One of them; dropped when it is one no longer.
#[derive(Debug)]
pub(super) struct Newcomer {
    arrival: u64,
    all: Arc<Newcomers>,
    /// Cancelled when its place is needed.
    pub(super) displaced: CancellationToken,
}

impl Newcomers {
    /// Room for this many; at least one.
    pub(super) fn new(longest: usize) -> Arc<Self> {
        Arc::new(Self { longest: longest.max(1), arrivals: AtomicU64::new(0), waiting: Mutex::default() })
    }

    /// Adds one; without room the oldest has to go.
    pub(super) fn arrive(self: &Arc<Self>) -> Newcomer {
        let arrival = self.arrivals.fetch_add(1, Relaxed);
        let displaced = CancellationToken::new();
        let mut waiting = self.waiting.lock().unwrap_or_else(PoisonError::into_inner);
        waiting.insert(arrival, displaced.clone());
        if waiting.len() > self.longest
            && let Some((_, oldest)) = waiting.pop_first()
        {
            oldest.cancel();
        }
        Newcomer { arrival, all: Arc::clone(self), displaced }
    }
}

impl Drop for Newcomer {
    fn drop(&mut self) {
        self.all.waiting.lock().unwrap_or_else(PoisonError::into_inner).remove(&self.arrival);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn without_room_the_oldest_has_to_go() {
        let newcomers = Newcomers::new(2);

        let all = [(); 4].map(|()| newcomers.arrive());

        let displaced = all.each_ref().map(|newcomer| newcomer.displaced.is_cancelled());
        assert_eq!(displaced, [true, true, false, false]);
    }

    #[test]
    fn who_is_known_by_now_takes_no_room() {
        let newcomers = Newcomers::new(2);
        let (first, second) = (newcomers.arrive(), newcomers.arrive());
        drop(first);

        let third = newcomers.arrive();

        assert!(!second.displaced.is_cancelled() && !third.displaced.is_cancelled());
    }
}
