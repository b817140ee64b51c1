//! Limits of callers: a few numbers, each absent for "no limit".

use std::collections::BTreeMap;

pub use vibectl_token::Limits;

use crate::decode::Cursor;

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

impl ServerLimits {
    pub(super) fn decode(cursor: &Cursor<'_>) -> Self {
        let mut section = cursor.section();
        let limits = Self {
            total: section.decode("total", decode_limits),
            per_namespace: section.decode("per_namespace", decode_limits),
            global: section.decode("global", decode_limits),
            per_token: section.decode("per_token", |cursor| {
                let subjects = cursor.entries().into_iter();
                subjects.map(|(subject, limits)| (subject.to_owned(), decode_limits(&limits))).collect()
            }),
        };
        section.finish();
        limits
    }
}

fn decode_limits(cursor: &Cursor<'_>) -> Limits {
    let mut section = cursor.section();
    let mut limit = |key| section.read(key, |cursor| cursor.integer(1..=u32::MAX));
    let limits = Limits {
        max_requests_per_minute: limit("max_requests_per_minute"),
        max_tokens_per_minute: limit("max_tokens_per_minute"),
        max_concurrent_requests: limit("max_concurrent_requests"),
        max_input_length: limit("max_input_length"),
        request_timeout_seconds: limit("request_timeout_seconds"),
    };
    section.finish();
    limits
}

serialize_differences!(ServerLimits { total, per_namespace, global, per_token });
