//! Whether the credential that a running call came with is still good.

use std::sync::Arc;

use tokio::sync::watch;

use crate::{auth::principal::Principal, state::Shared};

/// Follows the credential of one call.
#[derive(Debug)]
pub(super) struct Standing {
    shared: Arc<Shared>,
    principal: Principal,
    changes: watch::Receiver<()>,
}

impl Standing {
    /// Of this call. What changed since it was let in is noticed too.
    pub(super) fn new(shared: &Arc<Shared>, principal: &Principal) -> Self {
        let mut changes = shared.auth.changes();
        changes.mark_changed();
        Self { shared: Arc::clone(shared), principal: principal.clone(), changes }
    }

    /// Whether it is lost. Costs one load of an atomic as long as nobody's access changes.
    pub(super) fn is_lost(&mut self) -> bool {
        // The sender lives as long as the state.
        let changed = self.changes.has_changed().unwrap_or_default();
        changed && {
            self.changes.mark_unchanged();
            !self.shared.auth.still_accepts(&self.principal)
        }
    }

    /// Returns when it is lost. May be dropped and called again.
    pub(super) async fn lost(&mut self) {
        while !self.is_lost() {
            if self.changes.changed().await.is_err() {
                return std::future::pending().await;
            }
            self.changes.mark_changed();
        }
    }
}
