//! Metrics of the operator. Names and labels are API; no label carries the name of an object.

use std::{
    sync::atomic::{AtomicI64, AtomicU64},
    time::Duration,
};

use prometheus_client::{
    encoding::{EncodeLabelSet, EncodeLabelValue, LabelValueEncoder, text},
    metrics::{counter::Counter, family::Family, gauge::Gauge, histogram::Histogram},
    registry::{Registry, Unit},
};

/// The kinds that are reconciled.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Kind {
    /// `LlmProxy`.
    LlmProxy,
    /// `ProxyToken`.
    ProxyToken,
}

/// How a reconcile ended. At rest every one is `Unchanged`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Outcome {
    /// Something was written.
    Changed,
    /// Nothing had to be written.
    Unchanged,
    /// It failed and is tried again.
    Error,
}

/// What ends at a known time.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Expiring {
    /// Credentials of ProxyTokens.
    Token,
    /// Serving certificates of proxies.
    Certificate,
}

/// How an attempt to get a certificate from an ACME server ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum AcmeOutcome {
    /// The first certificate for its names.
    Issued,
    /// A certificate in the place of another.
    Renewed,
    /// None; it is tried again.
    Failed,
}

/// Limits of the expiry gauge: how many end within so many days.
const EXPIRY_DAYS: [(i64, &str); 3] = [(1, "1"), (7, "7"), (30, "30")];

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct ReconcileLabels {
    kind: Kind,
    outcome: Outcome,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct KindLabel {
    kind: Kind,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct ExpiryLabels {
    what: Expiring,
    days: &'static str,
}

/// Every metric, and the registry that prints them.
pub struct Metrics {
    registry: Registry,
    reconciles: Family<ReconcileLabels, Counter>,
    durations: Family<KindLabel, Histogram, fn() -> Histogram>,
    failing: Family<KindLabel, Gauge>,
    expiring: Family<ExpiryLabels, Gauge>,
    certificate_troubles: Gauge,
    leader: Gauge<i64, AtomicI64>,
    polls: Family<PollLabels, Counter<u64, AtomicU64>>,
    refreshes: Counter<u64, AtomicU64>,
    acme: Family<AcmeLabels, Counter>,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct AcmeLabels {
    outcome: AcmeOutcome,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct PollLabels {
    outcome: &'static str,
}

impl Default for Metrics {
    fn default() -> Self {
        let mut metrics = Self {
            registry: Registry::with_prefix("vibectl_operator"),
            reconciles: Family::default(),
            durations: Family::new_with_constructor(duration_histogram),
            failing: Family::default(),
            expiring: Family::default(),
            certificate_troubles: Gauge::default(),
            leader: Gauge::default(),
            polls: Family::default(),
            refreshes: Counter::default(),
            acme: Family::default(),
        };
        metrics.register();
        metrics
    }
}

impl Metrics {
    /// A reconcile ended.
    pub fn reconciled(&self, kind: Kind, outcome: Outcome, took: Duration) {
        self.reconciles.get_or_create_owned(&ReconcileLabels { kind, outcome }).inc();
        self.durations.get_or_create_owned(&KindLabel { kind }).observe(took.as_secs_f64());
    }

    /// So many objects of this kind fail now.
    pub fn failing(&self, kind: Kind, count: usize) {
        self.failing.get_or_create_owned(&KindLabel { kind }).set(i64::try_from(count).unwrap_or(i64::MAX));
    }

    /// These many seconds are left of each thing of this sort.
    pub fn expiring(&self, what: Expiring, seconds_left: &[i64]) {
        for (limit, days) in EXPIRY_DAYS {
            let count = seconds_left.iter().filter(|&&seconds| seconds < limit * 86_400).count();
            let gauge = self.expiring.get_or_create_owned(&ExpiryLabels { what, days });
            gauge.set(i64::try_from(count).unwrap_or(i64::MAX));
        }
    }

    /// So many proxies have a certificate that a person should look after.
    pub fn certificate_troubles(&self, count: usize) {
        self.certificate_troubles.set(i64::try_from(count).unwrap_or(i64::MAX));
    }

    /// Whether this replica leads.
    pub fn leads(&self, leads: bool) {
        self.leader.set(i64::from(leads));
    }

    /// A pod was asked for its report.
    pub fn polled(&self, answered: bool) {
        let outcome = if answered { "answered" } else { "unreachable" };
        self.polls.get_or_create_owned(&PollLabels { outcome }).inc();
    }

    /// A pod was annotated so that the kubelet refreshes what it mounts.
    pub fn refreshed(&self) {
        self.refreshes.inc();
    }

    /// An attempt to get a certificate from an ACME server ended.
    pub fn acme(&self, outcome: AcmeOutcome) {
        self.acme.get_or_create_owned(&AcmeLabels { outcome }).inc();
    }

    /// Everything in the text format of Prometheus.
    pub fn render(&self) -> Result<String, std::fmt::Error> {
        let mut text = String::new();
        text::encode(&mut text, &self.registry)?;
        Ok(text)
    }

    fn register(&mut self) {
        let registry = &mut self.registry;
        registry.register("reconciles", "Reconciles by kind and outcome", self.reconciles.clone());
        registry.register_with_unit(
            "reconcile_duration",
            "How long reconciles took",
            Unit::Seconds,
            self.durations.clone(),
        );
        registry.register("failing_objects", "Objects whose last reconcile failed", self.failing.clone());
        registry.register("expiring", "Things that end within so many days", self.expiring.clone());
        registry.register(
            "certificate_troubles",
            "Proxies whose CertificateReady has another reason than Issued or Pending",
            self.certificate_troubles.clone(),
        );
        registry.register("leader", "1 on the replica that leads", self.leader.clone());
        registry.register("fleet_polls", "Reports asked of proxy pods", self.polls.clone());
        registry.register("pod_refreshes", "Pods annotated to refresh their mounts", self.refreshes.clone());
        registry.register(
            "acme_attempts",
            "Attempts to get a certificate from an ACME server",
            self.acme.clone(),
        );
    }
}

/// From a reconcile that finds nothing to do to one that waits for a slow API server.
fn duration_histogram() -> Histogram {
    Histogram::new([0.001, 0.005, 0.01, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0])
}

/// The derive of the crate prints variant names; labels are lower case by custom.
macro_rules! label {
    ($type:ty, $($variant:ident => $text:literal),+) => {
        impl EncodeLabelValue for $type {
            fn encode(&self, encoder: &mut LabelValueEncoder<'_>) -> Result<(), std::fmt::Error> {
                EncodeLabelValue::encode(&match self { $(Self::$variant => $text),+ }, encoder)
            }
        }
    };
}
label!(Kind, LlmProxy => "llm_proxy", ProxyToken => "proxy_token");
label!(Outcome, Changed => "changed", Unchanged => "unchanged", Error => "error");
label!(AcmeOutcome, Issued => "issued", Renewed => "renewed", Failed => "failed");
label!(Expiring, Token => "token", Certificate => "certificate");

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn outcomes_are_counted_by_kind_in_lower_case() {
        let metrics = Metrics::default();

        metrics.reconciled(Kind::ProxyToken, Outcome::Changed, Duration::from_millis(3));
        metrics.leads(true);
        let text = metrics.render().unwrap();

        assert!(
            text.contains(r#"vibectl_operator_reconciles_total{kind="proxy_token",outcome="changed"} 1"#),
            "{text}"
        );
        assert!(text.contains("vibectl_operator_leader 1"), "{text}");
        assert!(text.contains("vibectl_operator_reconcile_duration_seconds_bucket"), "{text}");
    }

    #[test]
    fn expiry_is_told_in_a_bounded_number_of_series() {
        let metrics = Metrics::default();
        let day = 86_400;

        metrics.expiring(Expiring::Token, &[day / 2, 3 * day, 20 * day, 400 * day]);
        let text = metrics.render().unwrap();

        assert!(text.contains(r#"vibectl_operator_expiring{what="token",days="1"} 1"#), "{text}");
        assert!(text.contains(r#"vibectl_operator_expiring{what="token",days="7"} 2"#), "{text}");
        assert!(text.contains(r#"vibectl_operator_expiring{what="token",days="30"} 3"#), "{text}");
    }
}
