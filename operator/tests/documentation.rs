//! The pages under docs/ name everything that the operator tells.

#![cfg(test)]

use std::time::Duration;

use vibectl_operator::metrics::{AcmeOutcome, Expiring, Kind, Metrics, Outcome};

/// Types, values and reasons of conditions, as their source spells them.
#[test]
fn every_type_and_reason_of_conditions_is_explained() {
    let source = include_str!("../src/api/conditions.rs");
    let page = include_str!("../../docs/conditions.md");
    let names = source.lines().filter_map(|line| line.split_once("=> \"")?.1.strip_suffix("\","));

    let names: Vec<_> = names.collect();
    let missing: Vec<_> = names.iter().filter(|name| !page.contains(&format!("`{name}`"))).collect();

    assert!(names.len() > 20, "{names:?}");
    assert_eq!(missing, Vec::<&&str>::new());
}

#[test]
fn every_metric_of_the_operator_is_explained() {
    let page = include_str!("../../docs/metrics.md");
    let metrics = Metrics::default();
    // A family without a sample is not printed.
    metrics.reconciled(Kind::LlmProxy, Outcome::Changed, Duration::ZERO);
    metrics.failing(Kind::LlmProxy, 0);
    metrics.expiring(Expiring::Token, &[]);
    metrics.certificate_troubles(0);
    metrics.leads(true);
    metrics.polled(true);
    metrics.refreshed();
    metrics.acme(AcmeOutcome::Failed);

    let text = metrics.render().unwrap();
    let families = text.lines().filter_map(|line| line.strip_prefix("# TYPE ")?.split_once(' '));
    let families = families
        .map(|(name, kind)| if kind == "counter" { format!("{name}_total") } else { name.to_owned() });
    let rows = page.lines().filter_map(|line| line.strip_prefix("| `")?.split('`').next());
    let rows = rows.filter(|name| name.starts_with("vibectl_operator_"));

    assert_eq!(families.collect::<Vec<_>>(), rows.collect::<Vec<_>>());
}
