//! What an admitted call holds until it has ended.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering::Relaxed};

use super::Scope;

/// The right to one upstream call. Dropping it frees the places and the tokens that it holds.
#[derive(Debug)]
#[must_use = "the call is over for the limits as soon as the permit is dropped"]
pub struct Permit {
    pub(super) places: Vec<Place>,
    _call: Slot,
    _stream: Option<Slot>,
}

impl Permit {
    pub(super) fn new(places: Vec<Place>, call: Slot, stream: Option<Slot>) -> Self {
        Self { places, _call: call, _stream: stream }
    }

    /// Whether a scope limits its tokens.
    pub fn is_metered(&self) -> bool {
        self.places.iter().any(|place| place.reserved.is_some())
    }
}

/// What it holds in one scope.
#[derive(Debug)]
pub(super) struct Place {
    pub(super) scope: Scope,
    /// Absent where tokens are not limited.
    pub(super) reserved: Option<Reserved>,
    pub(super) _running: Slot,
}

/// One place in a count of running calls.
#[derive(Debug)]
pub(super) struct Slot(Arc<AtomicU32>);

impl Slot {
    pub(super) fn take(count: &Arc<AtomicU32>) -> Self {
        count.fetch_add(1, Relaxed);
        Self(Arc::clone(count))
    }
}

impl Drop for Slot {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Relaxed);
    }
}

/// Tokens that a running call may take.
#[derive(Debug)]
pub(super) struct Reserved(Arc<AtomicU64>, u64);

impl Reserved {
    pub(super) fn take(count: &Arc<AtomicU64>, tokens: u64) -> Self {
        count.fetch_add(tokens, Relaxed);
        Self(Arc::clone(count), tokens)
    }
}

impl Drop for Reserved {
    fn drop(&mut self) {
        self.0.fetch_sub(self.1, Relaxed);
    }
}
