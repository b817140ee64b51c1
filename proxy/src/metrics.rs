//! Metrics of the server: what there is, under which name, with which labels.
//!
//! Labels are bounded: method, code, kind of limit, part, reason; never a subject, a model that a caller made up or an
//! object name (usage per token is on the fleet port, and in the access log). The names of the original,
//! `vibectl_requests_total`, `vibectl_rate_limited_total` and `vibectl_concurrent_in_flight`, keep their meaning; its
//! label `sub` is not there for that reason.

pub mod family;
mod providers;

use std::fmt::Write as _;
use std::sync::Arc;

use crate::metrics::family::{Family, Gauge, Histogram};
pub use crate::metrics::providers::Providers;

/// Seconds; from a cached answer to a long stream.
const DURATION_BUCKETS: &[f64] =
    &[0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 300.0];

/// All metrics of the process.
#[derive(Debug)]
pub struct Metrics {
    /// Answered requests, by method and code (gRPC status name or HTTP status).
    pub requests: Family<2>,
    /// Calls refused by a limit, by kind of limit.
    pub rate_limited: Family<1>,
    /// Calls being answered.
    pub in_flight: Gauge,
    /// Streams among them.
    pub open_streams: Gauge,
    /// Time from the first byte of the request head to the last of the answer.
    pub request_duration: Histogram,
    /// Open connections, by port.
    pub connections: Family<1>,
    /// Connections ended before their first request, by port and stage.
    pub connections_refused: Family<2>,
    /// Requests by what became of their credential.
    pub auth: Family<1>,
    /// Calls let in with a credential that has to be replaced, by reason.
    pub to_replace: Family<1>,
    /// Requests for the keys of other issuers, by outcome.
    pub key_fetches: Arc<Family<1>>,
    /// Changes of mounted parts, by part and outcome.
    pub reloads: Family<2>,
    /// 1 for each part whose newest content was refused.
    pub part_rejected: Family<1>,
    /// When the serving certificate ends.
    pub certificate_expiry: Family<0>,
    /// When the revocation lists of callers are stale.
    pub client_crl_expiry: Family<0>,
    /// What became of certificates, by event.
    pub certificate_events: Family<1>,
    /// Events for the webhook, by outcome.
    pub webhook_deliveries: Family<1>,
    /// Calls that went to a provider, by provider and outcome.
    pub provider_calls: Family<2>,
    /// How providers are doing and what they cost.
    pub providers: Providers,
    /// Tokens of settled calls, by direction.
    pub tokens: Family<1>,
    /// What became of certificates of an ACME server.
    pub acme_events: Family<1>,
    /// Bugs that were caught on the way to the caller.
    pub panics: Arc<Family<0>>,
    /// Lines of the log that never got out.
    pub dropped_lines: Family<0>,
    /// 1, labelled with the version.
    pub build_info: Family<1>,
}

impl Default for Metrics {
    fn default() -> Self {
        let metrics = Self {
            requests: Family::counter("vibectl_requests_total", "Answered requests.", ["method", "code"]),
            rate_limited: Family::counter(
                "vibectl_rate_limited_total",
                "Calls refused by a limit.",
                ["limit_type"],
            ),
            in_flight: Gauge::new("vibectl_concurrent_in_flight", "Calls being answered now."),
            open_streams: Gauge::new("vibectl_open_streams", "Streams among the calls being answered now."),
            request_duration: Histogram::new(
                "vibectl_request_duration_seconds",
                "Time from the request head to the end of the answer.",
                DURATION_BUCKETS,
            ),
            connections: Family::gauge("vibectl_connections", "Open connections.", ["port"]),
            connections_refused: Family::counter(
                "vibectl_connections_refused_total",
                "Connections ended before their first request.",
                ["port", "stage"],
            ),
            auth: Family::counter(
                "vibectl_auth_total",
                "Requests by what became of their credential.",
                ["result"],
            ),
            to_replace: Family::counter(
                "vibectl_credentials_to_replace_total",
                "Requests let in with a credential that has to be replaced soon.",
                ["reason"],
            ),
            key_fetches: Arc::new(Family::counter(
                "vibectl_key_fetches_total",
                "Requests for the keys of other issuers.",
                ["outcome"],
            )),
            reloads: Family::counter(
                "vibectl_reloads_total",
                "Changes of mounted parts, put in force or rejected.",
                ["part", "outcome"],
            ),
            part_rejected: Family::gauge(
                "vibectl_part_rejected",
                "1 while the newest content of a part is rejected and older content is in force.",
                ["part"],
            ),
            certificate_expiry: Family::gauge(
                "vibectl_certificate_expiry_timestamp_seconds",
                "When the serving certificate ends, in Unix time.",
                [],
            ),
            client_crl_expiry: Family::gauge(
                "vibectl_client_crl_expiry_timestamp_seconds",
                "When the revocation lists of callers are stale, in Unix time.",
                [],
            ),
            certificate_events: Family::counter(
                "vibectl_certificate_events_total",
                "What became of certificates.",
                ["event"],
            ),
            webhook_deliveries: Family::counter(
                "vibectl_webhook_deliveries_total",
                "Events about certificates by what became of their delivery.",
                ["outcome"],
            ),
            provider_calls: Family::counter(
                "vibectl_provider_calls_total",
                "Calls sent to a provider.",
                ["provider", "outcome"],
            ),
            providers: Providers::default(),
            tokens: Family::counter("vibectl_tokens_total", "Tokens of settled calls.", ["direction"]),
            acme_events: Family::counter(
                "vibectl_acme_events_total",
                "Certificates of an ACME server by what became of them.",
                ["event"],
            ),
            panics: Arc::new(Family::counter("vibectl_panics_total", "Bugs caught while answering.", [])),
            dropped_lines: Family::counter(
                "vibectl_log_lines_dropped_total",
                "Lines of the log that nobody took in time, or that could not be written.",
                [],
            ),
            build_info: Family::gauge("vibectl_build_info", "1, with the version as a label.", ["version"]),
        };
        metrics.build_info.with([env!("CARGO_PKG_VERSION")]).set(1);
        metrics
    }
}

impl Metrics {
    /// All metrics in the Prometheus text format 0.0.4. A family without a series still has its HELP and TYPE lines.
    pub fn render(&self) -> String {
        let Self {
            requests,
            rate_limited,
            in_flight,
            open_streams,
            request_duration,
            connections,
            connections_refused,
            auth,
            to_replace,
            key_fetches,
            reloads,
            part_rejected,
            certificate_expiry,
            client_crl_expiry,
            certificate_events,
            webhook_deliveries,
            provider_calls,
            providers,
            tokens,
            acme_events,
            panics,
            dropped_lines,
            build_info,
        } = self;
        let mut text = String::with_capacity(4096);
        // Writing to a String cannot fail.
        let _ = write!(
            text,
            "{requests}{rate_limited}{in_flight}{open_streams}{request_duration}{connections}{connections_refused}\
             {auth}{to_replace}{key_fetches}{reloads}{part_rejected}{certificate_expiry}{client_crl_expiry}\
             {certificate_events}{webhook_deliveries}{provider_calls}{providers}{tokens}{acme_events}{panics}{dropped_lines}{build_info}"
        );
        text
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn families_without_a_sample_still_tell_their_name_and_type() {
        let text = Metrics::default().render();

        assert!(text.contains("# TYPE vibectl_requests_total counter\n"));
        assert!(text.contains("# TYPE vibectl_rate_limited_total counter\n"));
        assert!(text.contains("# TYPE vibectl_concurrent_in_flight gauge\nvibectl_concurrent_in_flight 0\n"));
    }

    #[test]
    fn every_line_is_a_comment_or_a_sample() {
        let metrics = Metrics::default();
        metrics.requests.with(["Execute", "OK"]).add(1);
        metrics.request_duration.observe(0.2);

        for line in metrics.render().lines() {
            let is_sample = line.rsplit_once(' ').is_some_and(|(_, value)| value.parse::<f64>().is_ok());
            assert!(line.starts_with("# HELP ") || line.starts_with("# TYPE ") || is_sample, "{line}");
        }
    }

    #[test]
    fn the_documentation_names_every_metric_and_no_other() {
        let documentation = include_str!("../../docs/metrics.md");
        let rows = documentation.lines().filter_map(|line| line.strip_prefix("| `")?.split('`').next());
        let rows = rows.filter(|name| !name.starts_with("vibectl_operator_"));
        let text = Metrics::default().render();
        let families = text.lines().filter_map(|line| line.strip_prefix("# TYPE ")?.split(' ').next());

        assert_eq!(families.collect::<Vec<_>>(), rows.collect::<Vec<_>>());
    }
}
