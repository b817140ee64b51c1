//! Limits of callers: four numbers, each absent for "no limit".

use std::collections::BTreeMap;

pub use vibectl_token::Limits;

/// Whose calls are counted together. A call has to fit into every limit that applies to it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ServerLimits {
    /// All calls of this server together.
    pub total: Limits,
    /// The calls of all tokens of one namespace together.
    pub per_namespace: Limits,
    /// Each caller for itself, where `per_token` says nothing else.
    pub global: Limits,
    /// One caller, by the subject of its token.
    pub per_token: BTreeMap<String, Limits>,
}

serialize_differences!(ServerLimits { total, per_namespace, global, per_token });
