//! Which mounted content is in force, and why newer content is not: what the fleet report and the metrics tell.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU32, Ordering::Relaxed};
use std::sync::{Mutex, PoisonError};

use vibectl_config::mount::{self, Part, RevisionKey};

/// Content of a part: path inside its folder (see [`mount::revision`]) to bytes.
pub type Files = BTreeMap<String, Vec<u8>>;

/// State of one part.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PartState {
    /// Revision of the content in force; empty when there is none, or no key to compute it with.
    pub revision: String,
    /// Why the newest content is not in force; empty when it is.
    pub rejected: String,
}

/// State of all parts.
#[derive(Debug, Default)]
pub struct Parts {
    key: Option<RevisionKey>,
    states: Mutex<BTreeMap<Part, PartState>>,
    rejected_rows: AtomicU32,
}

impl Parts {
    /// Nothing in force. Without a key (outside a cluster) there are no revisions.
    pub fn new(key: Option<RevisionKey>) -> Self {
        Self { key, ..Self::default() }
    }

    /// Notes that this content was put in force.
    pub fn in_force(&self, part: Part, files: &Files) {
        let revision = self.key.as_ref().map(|key| mount::revision(key, part, files)).unwrap_or_default();
        self.change(part, |state| *state = PartState { revision, rejected: String::new() });
    }

    /// Notes why the newest content of a part is not in force.
    pub fn rejected(&self, part: Part, reason: &str) {
        self.change(part, |state| reason.clone_into(&mut state.rejected));
    }

    /// Notes how many rows of the access table were refused.
    pub fn rejected_rows(&self, rows: usize) {
        self.rejected_rows.store(u32::try_from(rows).unwrap_or(u32::MAX), Relaxed);
    }

    /// Rows of the access table that were refused, each of which costs only itself.
    pub fn rejected_row_count(&self) -> u32 {
        self.rejected_rows.load(Relaxed)
    }

    /// The revision of this part that is in force; empty when there is none.
    pub fn revision(&self, part: Part) -> String {
        let states = self.states.lock().unwrap_or_else(PoisonError::into_inner);
        states.get(&part).map(|state| state.revision.clone()).unwrap_or_default()
    }

    /// All parts that were ever noted, in the order of [`Part`].
    pub fn states(&self) -> Vec<(Part, PartState)> {
        let states = self.states.lock().unwrap_or_else(PoisonError::into_inner);
        states.iter().map(|(part, state)| (*part, state.clone())).collect()
    }

    fn change(&self, part: Part, change: impl FnOnce(&mut PartState)) {
        change(self.states.lock().unwrap_or_else(PoisonError::into_inner).entry(part).or_default());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn refused_content_does_not_change_the_revision_in_force() {
        let parts = Parts::new(Some(RevisionKey::new([1; 32])));
        let good = Files::from([("config.yaml".to_owned(), b"server: {}".to_vec())]);

        parts.in_force(Part::Config, &good);
        let before = parts.states();
        parts.rejected(Part::Config, "bad port");

        let after = parts.states();
        assert_eq!(after[0].1.revision, before[0].1.revision);
        assert_eq!(after[0].1.rejected, "bad port");
        parts.in_force(Part::Config, &good);
        assert_eq!(parts.states(), before);
    }

    #[test]
    fn without_a_key_there_is_no_revision() {
        let parts = Parts::new(None);

        parts.in_force(Part::Tls, &Files::new());

        assert_eq!(parts.states(), [(Part::Tls, PartState::default())]);
    }
}
