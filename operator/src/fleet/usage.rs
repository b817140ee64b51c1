//! Adds up what the replicas counted, so that nothing counts twice and nothing is lost. Pure.
//!
//! The status of a ProxyToken holds the totals together with the counters last seen of each server process, and both
//! are written in one update. The totals move by what a process counted since then: a restarted process has a new
//! identifier and starts from zero, a new leader starts from the same status, and of two leaders one gets a conflict.

use std::collections::{BTreeMap, BTreeSet};

use jiff::Timestamp;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use vibectl_proto::fleet::v1::{ReportResponse, TokenUsage};

use crate::api::{
    dollars::Dollars,
    proxy_token::{InstanceUsage, Usage},
};

use super::book::PodView;

/// As many processes as the schema has room for.
const MAX_INSTANCES: usize = 256;

/// What the pods of a proxy counted.
#[derive(Debug, Clone, Default)]
pub struct Counted<'a> {
    /// The newest report of each process.
    pub reports: Vec<&'a ReportResponse>,
    /// Every pod that exists has reported, so a process that is in no report is gone for good.
    pub complete: bool,
}

impl<'a> Counted<'a> {
    /// What these pods, which are all that there are, said last.
    pub fn of(pods: &'a [PodView]) -> Self {
        let reports: Vec<_> =
            pods.iter().filter_map(|pod| pod.report.as_ref().map(|(report, _)| report.as_ref())).collect();
        let complete = reports.len() == pods.len() && pods.iter().all(|pod| pod.unreachable.is_none());
        Self { reports, complete }
    }
}

/// The totals after these reports; equal to `previous` when nothing was used since.
pub fn settle(previous: Option<&Usage>, token_uid: &str, counted: &Counted<'_>) -> Option<Usage> {
    let mut usage = previous.cloned().unwrap_or_default();
    let mut seen: BTreeMap<String, InstanceUsage> =
        usage.instances.drain(..).map(|instance| (instance.id.clone(), instance)).collect();
    let mut alive = BTreeSet::new();
    for report in &counted.reports {
        alive.insert(report.instance_id.as_str());
        if let Some(used) = report.usage.iter().find(|used| used.token_uid == token_uid) {
            let known = seen.entry(report.instance_id.clone()).or_default();
            add(&mut usage, known, used);
            known.id.clone_from(&report.instance_id);
        }
    }
    if counted.complete {
        seen.retain(|id, _| alive.contains(id.as_str()));
    }
    // Beyond that the oldest knowledge would have to go; processes that report now come first.
    let (running, unknown): (Vec<_>, Vec<_>) =
        seen.into_values().partition(|one| alive.contains(one.id.as_str()));
    usage.instances = running.into_iter().chain(unknown).take(MAX_INSTANCES).collect();
    usage.instances.sort_by(|one, other| one.id.cmp(&other.id));
    (previous.is_some() || usage != Usage::default()).then_some(usage)
}

fn add(usage: &mut Usage, known: &mut InstanceUsage, used: &TokenUsage) {
    let pairs = [
        (&mut usage.requests, &mut known.requests, used.requests),
        (&mut usage.limited, &mut known.limited, used.limited),
        (&mut usage.input_tokens, &mut known.input_tokens, used.input_tokens),
        (&mut usage.output_tokens, &mut known.output_tokens, used.output_tokens),
    ];
    for (total, last, now) in pairs {
        // Counters of one process only grow: a smaller number is an older report.
        let now = i64::try_from(now).unwrap_or(i64::MAX).max(*last);
        *total = total.saturating_add(now - *last);
        *last = now;
    }
    if let Some(now) = used.cost_picodollars.map(Dollars::from_picos) {
        let last = known.cost_usd.unwrap_or_default();
        usage.cost_usd = Some(usage.cost_usd.unwrap_or_default().plus(now.less(last)));
        known.cost_usd = Some(now.max(last));
    }
    usage.tokens = usage.input_tokens.saturating_add(usage.output_tokens);
    let last_used = Timestamp::from_second(used.last_used).ok().filter(|_| used.last_used > 0).map(Time);
    usage.last_used = usage.last_used.take().max(last_used);
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn report(instance: &str, requests: u64) -> ReportResponse {
        let used = TokenUsage {
            token_uid: "t".into(),
            requests,
            input_tokens: requests * 10,
            output_tokens: requests,
            cost_picodollars: Some(requests * 7),
            last_used: 1_000 + i64::try_from(requests).unwrap(),
            ..TokenUsage::default()
        };
        ReportResponse { instance_id: instance.into(), usage: vec![used], ..ReportResponse::default() }
    }

    fn after(previous: Option<&Usage>, reports: &[ReportResponse], complete: bool) -> Option<Usage> {
        settle(previous, "t", &Counted { reports: reports.iter().collect(), complete })
    }

    #[test]
    fn replicas_add_up_and_the_same_reports_again_change_nothing() {
        let reports = [report("a", 3), report("b", 4)];

        let once = after(None, &reports, true).unwrap();
        let twice = after(Some(&once), &reports, true).unwrap();

        assert_eq!((once.requests, once.tokens, once.input_tokens), (7, 77, 70));
        assert_eq!(once.cost_usd, Some(Dollars::from_picos(49)));
        assert_eq!(once.last_used, Some(Time(Timestamp::from_second(1_004).unwrap())));
        assert_eq!(twice, once);
    }

    #[test]
    fn a_restarted_process_counts_from_zero_and_its_former_self_stays_in_the_totals() {
        let before = after(None, &[report("a", 5)], true).unwrap();

        let restarted = after(Some(&before), &[report("a2", 2)], true).unwrap();

        assert_eq!(restarted.requests, 7);
        assert_eq!(restarted.instances.iter().map(|one| one.id.as_str()).collect::<Vec<_>>(), ["a2"]);
    }

    #[test]
    fn a_process_that_cannot_be_reached_is_not_counted_again_when_it_comes_back() {
        let before = after(None, &[report("a", 5), report("b", 1)], true).unwrap();

        let away = after(Some(&before), &[report("b", 1)], false).unwrap();
        let back = after(Some(&away), &[report("a", 6), report("b", 1)], true).unwrap();

        assert_eq!(away.requests, 6);
        assert_eq!(back.requests, 7);
    }

    #[test]
    fn a_cost_that_is_not_known_is_absent() {
        let mut unpriced = report("a", 3);
        unpriced.usage[0].cost_picodollars = None;

        assert_eq!(after(None, &[unpriced], true).unwrap().cost_usd, None);
    }

    #[test]
    fn a_token_that_was_never_used_has_no_usage() {
        assert_eq!(settle(None, "other", &Counted { reports: vec![&report("a", 5)], complete: true }), None);
    }

    proptest! {
        /// Calls happen on two pods, processes restart, reports get lost, leaders change (a leader knows only the
        /// status): the total is never more than what was used, and equals it once every process was heard.
        #[test]
        fn the_total_is_what_was_used(steps in prop::collection::vec((0..2_usize, 0..5_u64, 0..10_u8), 1..80)) {
            let mut generation = [0, 0];
            let mut counters = [0, 0];
            let mut used = 0_u64;
            let mut status = None;

            for (pod, calls, fate) in steps {
                counters[pod] += calls;
                used += calls;
                let names: Vec<_> = (0..2).map(|pod| format!("{pod}-{}", generation[pod])).collect();
                let reports = [report(&names[0], counters[0]), report(&names[1], counters[1])];
                match fate {
                    0..=3 => status = after(status.as_ref(), &reports, true),
                    4..=6 => status = after(status.as_ref(), &reports[..1], false),
                    // A restart after the last counters were fetched: the pod drains its fleet port last.
                    7..=8 => {
                        status = after(status.as_ref(), &reports, true);
                        generation[pod] += 1;
                        counters[pod] = 0;
                    }
                    _ => {}
                }
                let total = status.as_ref().map_or(0, |status: &Usage| status.requests);
                prop_assert!(total <= i64::try_from(used).unwrap());
            }
            let names: Vec<_> = (0..2).map(|pod| format!("{pod}-{}", generation[pod])).collect();
            let reports = [report(&names[0], counters[0]), report(&names[1], counters[1])];
            let last = after(status.as_ref(), &reports, true);
            let total = last.as_ref().map_or(0, |status| status.requests);
            prop_assert_eq!(total, i64::try_from(used).unwrap());
            let cost = last.and_then(|status| status.cost_usd).unwrap_or_default();
            prop_assert_eq!(cost, Dollars::from_picos(used * 7));
        }
    }
}
