//! Which limits hold for a caller. Pure.
//!
//! Three scopes limit a call: the whole replica, the consuming namespace, the caller. The caller's scope is the server's
//! default for every caller, replaced field by field by the entry for its subject (both from the config), and narrowed by
//! what its own row of the access table says. Rates, tokens and concurrency are counted per scope, each against its own limit;
//! input length and time have no counters, so the smallest of all scopes is the limit.

use std::time::Duration;

use vibectl_config::ServerLimits;
use vibectl_token::Limits;

use crate::caller::Caller;

/// Limits of the three scopes of one caller.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Effective {
    /// Of the whole replica.
    pub total: Limits,
    /// Of all callers of the caller's namespace together.
    pub namespace: Limits,
    /// Of the caller alone.
    pub caller: Limits,
}

impl Effective {
    /// Takes what holds for the caller from the config and from the caller's own row.
    pub fn of(config: &ServerLimits, caller: &Caller) -> Self {
        let default = match config.per_token.get(&caller.subject) {
            Some(own) => overlay(&config.global, own),
            None => config.global.clone(),
        };
        let namespace = match caller.namespace {
            Some(_) => config.per_namespace.clone(),
            None => Limits::default(),
        };
        Self { total: config.total.clone(), namespace, caller: default.smallest(&caller.limits) }
    }

    /// The smallest of the three scopes: what a caller is told.
    pub fn smallest(&self) -> Limits {
        self.total.smallest(&self.namespace).smallest(&self.caller)
    }

    /// Longest input in characters.
    pub fn max_input_length(&self) -> Option<u32> {
        self.smallest().max_input_length
    }

    /// Longest time for a call.
    pub fn request_timeout(&self) -> Option<Duration> {
        self.smallest().request_timeout_seconds.map(|seconds| Duration::from_secs(seconds.into()))
    }
}

/// `own` where it says something, else `default`.
fn overlay(default: &Limits, own: &Limits) -> Limits {
    Limits {
        max_requests_per_minute: own.max_requests_per_minute.or(default.max_requests_per_minute),
        max_tokens_per_minute: own.max_tokens_per_minute.or(default.max_tokens_per_minute),
        max_concurrent_requests: own.max_concurrent_requests.or(default.max_concurrent_requests),
        max_input_length: own.max_input_length.or(default.max_input_length),
        request_timeout_seconds: own.request_timeout_seconds.or(default.request_timeout_seconds),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rpm(limit: u32) -> Limits {
        Limits { max_requests_per_minute: Some(limit), ..Limits::default() }
    }

    #[test]
    fn the_entry_of_a_subject_replaces_the_default_field_by_field() {
        let own = Limits { max_requests_per_minute: Some(1_000), ..Limits::default() };
        let default = Limits { max_input_length: Some(7), ..rpm(60) };
        let config = ServerLimits {
            global: default,
            per_token: [("anonymous".to_owned(), own)].into(),
            ..ServerLimits::default()
        };

        let effective = Effective::of(&config, &Caller::anonymous());

        assert_eq!(effective.caller.max_requests_per_minute, Some(1_000));
        assert_eq!(effective.caller.max_input_length, Some(7));
    }

    #[test]
    fn the_row_of_a_caller_narrows_but_never_widens() {
        let config = ServerLimits { global: rpm(60), ..ServerLimits::default() };

        let narrow = Effective::of(&config, &Caller { limits: rpm(10), ..Caller::anonymous() });
        let wide = Effective::of(&config, &Caller { limits: rpm(100), ..Caller::anonymous() });

        assert_eq!(narrow.caller.max_requests_per_minute, Some(10));
        assert_eq!(wide.caller.max_requests_per_minute, Some(60));
    }

    #[test]
    fn callers_without_a_namespace_share_no_namespace_limit() {
        let config = ServerLimits { per_namespace: rpm(5), ..ServerLimits::default() };

        let alone = Effective::of(&config, &Caller::anonymous());
        let inside =
            Effective::of(&config, &Caller { namespace: Some("ai".to_owned()), ..Caller::anonymous() });

        assert_eq!(alone.namespace, Limits::default());
        assert_eq!(inside.namespace, rpm(5));
    }

    #[test]
    fn callers_are_told_the_smallest_of_all_scopes() {
        let config = ServerLimits {
            total: rpm(30),
            global: Limits { request_timeout_seconds: Some(5), ..rpm(60) },
            ..ServerLimits::default()
        };

        let effective = Effective::of(&config, &Caller::anonymous());

        assert_eq!(effective.smallest().max_requests_per_minute, Some(30));
        assert_eq!(effective.request_timeout(), Some(Duration::from_secs(5)));
    }
}
