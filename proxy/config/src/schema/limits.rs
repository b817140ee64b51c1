//! Limits of callers: four numbers, each absent for "no limit".

use std::collections::BTreeMap;

use serde::Serialize;

/// What may be used. Absent means: not limited here.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Limits {
    /// Calls that may start within a minute.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub max_requests_per_minute: Option<u32>,
    /// Calls that may run at once.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub max_concurrent_requests: Option<u32>,
    /// Characters of the input of one call.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub max_input_length: Option<u32>,
    /// How long one call may take.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub request_timeout_seconds: Option<u32>,
}

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
