//! The conditions of a proxy whose objects are in the cluster.

use jiff::Timestamp;
use k8s_openapi::api::apps::v1::Deployment;

use super::{
    Seen,
    certificate::{self, Served},
    key_refused, migration,
};
use crate::{
    api::conditions::{ConditionType, Finding, Reason, State},
    apply::prune::is_rolled_out,
    llm_proxy::{
        build::{Applied, Resources},
        switch::Hold,
        validate::{Provider, ValidatedProxy},
    },
    names::ALLOW_SHRINK_ANNOTATION,
};

/// Every condition.
pub(super) fn findings(
    validated: &ValidatedProxy,
    resources: &Resources<Applied>,
    seen: &Seen,
    served: Option<&Served>,
    now: Timestamp,
) -> Vec<Finding> {
    let certificate_ready = certificate::finding(validated, seen, served, now);
    let ready = ready(validated, &resources.deployment, certificate_ready.as_ref());
    let accepted = Finding::yes(ConditionType::Accepted, Reason::Valid, "the spec is valid");
    [
        Some(accepted),
        Some(resolved(validated, seen)),
        certificate_ready,
        Some(progressing(validated, &resources.deployment, seen)),
        Some(ready),
        migration::finding(validated, seen, now),
    ]
    .into_iter()
    .flatten()
    .collect()
}

/// What is missing comes before what a provider does not accept: it is the more certain of the two.
fn resolved(validated: &ValidatedProxy, seen: &Seen) -> Finding {
    let missing = validated.unresolved().into_iter().map(|missing| (missing.reason, missing.message.clone()));
    let refused = validated.providers.iter().filter(|provider| seen.keys_refused.contains(&provider.name));
    let refused = refused.map(|provider| (Reason::KeyRefused, key_refused(provider)));
    let (reasons, messages): (Vec<Reason>, Vec<String>) = missing.chain(refused).unzip();
    match reasons.first() {
        Some(reason) => Finding::no(ConditionType::ResolvedRefs, *reason, messages.join("; ")),
        None => Finding::yes(
            ConditionType::ResolvedRefs,
            Reason::Resolved,
            "everything that the spec names was found",
        ),
    }
}

fn ready(validated: &ValidatedProxy, deployment: &Deployment, certificate: Option<&Finding>) -> Finding {
    let kind = ConditionType::Ready;
    let replicas = deployment.status.as_ref().and_then(|status| status.ready_replicas).unwrap_or(0);
    if validated.replicas == 0 {
        return Finding::no(kind, Reason::ScaledToZero, "spec.replicas is 0");
    }
    if let Some(expired) = certificate.filter(|certificate| certificate.reason == Reason::Expired) {
        return Finding::no(kind, expired.reason, expired.message.clone());
    }
    if replicas == 0 {
        let why = certificate.filter(|certificate| certificate.state == State::False);
        let why = why.map(|certificate| format!(": {}", certificate.message)).unwrap_or_default();
        let message = format!("0 of {} pods answer{why}", validated.replicas);
        return Finding::no(kind, Reason::NoReadyReplicas, message);
    }
    let off = |provider: &Provider| provider.unresolved().next().is_some();
    if validated.providers.iter().all(off)
        && let Some(missing) = validated.unresolved().first()
    {
        return Finding::no(kind, missing.reason, format!("no provider can be used: {}", missing.message));
    }
    Finding::yes(kind, Reason::Serving, format!("{replicas} of {} pods answer", validated.replicas))
}

fn progressing(validated: &ValidatedProxy, deployment: &Deployment, seen: &Seen) -> Finding {
    let kind = ConditionType::Progressing;
    if let Some(why) = &seen.access_held {
        let message = format!("{why}; the annotation {ALLOW_SHRINK_ANNOTATION}: \"true\" lets it go");
        return Finding::no(kind, Reason::AccessTableHeld, message);
    }
    if let Some(hold) = &seen.hold {
        return switching(validated, seen, hold);
    }
    if let Some(message) = stalled(deployment) {
        return Finding::no(kind, Reason::Stalled, message);
    }
    if !is_rolled_out(deployment) {
        return Finding::yes(kind, Reason::RollingOut, "pods are being replaced");
    }
    if !seen.rejected.is_empty() {
        return Finding::no(kind, Reason::Stalled, format!("refused by {}", seen.rejected.join("; ")));
    }
    if !seen.waiting.is_empty() {
        let message = format!("not in force yet in {}", seen.waiting.join(", "));
        return Finding::yes(kind, Reason::WaitingForReplicas, message);
    }
    if !seen.unreachable.is_empty() {
        let message =
            format!("pods cannot be asked, so usage is not counted on: {}", seen.unreachable.join("; "));
        return Finding::unknown(kind, Reason::PodsUnreachable, message);
    }
    Finding::no(kind, Reason::Complete, "everything is in force in every pod")
}

/// The spec asks for another way of securing than the pods have.
fn switching(validated: &ValidatedProxy, seen: &Seen, hold: &Hold) -> Finding {
    let kind = ConditionType::Progressing;
    let Hold { from, until } = hold;
    match (until, certificate::trouble(validated, seen)) {
        (Some(until), _) => {
            let message = format!(
                "spec.tls takes effect at {until}, when clients have the new ca.crt; until then: {from}"
            );
            Finding::yes(kind, Reason::WaitingForClients, message)
        }
        (None, Some((reason, why))) => {
            let message =
                format!("spec.tls takes effect when there is a certificate; until then: {from}; {why}");
            Finding::yes(kind, reason, message)
        }
        (None, None) => {
            Finding::yes(kind, Reason::WaitingForClients, format!("until further notice: {from}"))
        }
    }
}

fn stalled(deployment: &Deployment) -> Option<String> {
    let conditions = deployment.status.as_ref()?.conditions.as_ref()?;
    let progressing = conditions.iter().find(|condition| condition.type_ == "Progressing")?;
    (progressing.status == "False")
        .then(|| progressing.message.clone().unwrap_or_else(|| "replacing pods makes no progress".to_owned()))
}
