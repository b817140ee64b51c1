//! The pods as a set: how many, how they are replaced, how many may be taken away.

use std::collections::BTreeMap;

use k8s_openapi::{
    api::{
        apps::v1::{Deployment, DeploymentSpec, DeploymentStrategy, RollingUpdateDeployment},
        core::v1::PodTemplateSpec,
        policy::v1::{PodDisruptionBudget, PodDisruptionBudgetSpec},
    },
    apimachinery::pkg::{apis::meta::v1::LabelSelector, util::intstr::IntOrString},
};

use super::object::{annotated, metadata};
use crate::{
    llm_proxy::validate::{TlsMode, ValidatedProxy},
    names::{ProxyNames, TLS_ANNOTATION},
};

/// Value of [`TLS_ANNOTATION`] without TLS.
pub const TLS_OFF: &str = "plaintext";

/// How long an ending pod goes on accepting calls, since not everybody knows yet that it ends.
pub(super) const DRAIN_DELAY_SECONDS: u32 = 5;
/// How long calls may take to finish once no new ones are accepted.
pub(super) const SHUTDOWN_GRACE_SECONDS: u32 = 30;
/// Both together, and a margin for closing up before the kubelet ends the process.
pub(super) const TERMINATION_GRACE_SECONDS: u32 = DRAIN_DELAY_SECONDS + SHUTDOWN_GRACE_SECONDS + 10;

/// How long a replacement may make no progress before it counts as stalled.
const PROGRESS_DEADLINE_SECONDS: i32 = 300;

/// Replaces pods one by one, each new one ready before an old one goes.
pub(super) fn deployment(proxy: &ValidatedProxy, template: PodTemplateSpec) -> Deployment {
    let rolling_update = RollingUpdateDeployment {
        max_unavailable: Some(IntOrString::Int(0)),
        max_surge: Some(IntOrString::Int(1)),
    };
    let secured = BTreeMap::from([(TLS_ANNOTATION.to_owned(), secured_by(&proxy.tls, &proxy.names))]);
    Deployment {
        metadata: annotated(proxy, proxy.names.base(), &secured),
        spec: Some(DeploymentSpec {
            replicas: Some(proxy.replicas.into()),
            selector: selector(proxy),
            strategy: Some(DeploymentStrategy {
                type_: Some("RollingUpdate".to_owned()),
                rolling_update: Some(rolling_update),
            }),
            progress_deadline_seconds: Some(PROGRESS_DEADLINE_SECONDS),
            // The config of an older template is pruned with its pods: there is nothing to go back to.
            revision_history_limit: Some(1),
            template,
            ..DeploymentSpec::default()
        }),
        ..Deployment::default()
    }
}

/// Differs exactly where pods have to be replaced for another certificate to be served.
fn secured_by(tls: &TlsMode, names: &ProxyNames) -> String {
    match tls {
        TlsMode::Plaintext => TLS_OFF.to_owned(),
        TlsMode::PrivateCa(..) => "privateCa".to_owned(),
        TlsMode::SelfSigned(..) => format!("selfSigned in {}", names.self_signed()),
        TlsMode::CertManager(_, kept) => format!("certManager in {}", kept.secret),
        TlsMode::Acme(_, kept) => format!("acme in {}", kept.secret),
        TlsMode::Secret(kept) => format!("secret {}", kept.secret),
    }
}

/// One pod at a time may be evicted; with a single replica a budget would only hold up the node's drain.
pub(super) fn disruption_budget(proxy: &ValidatedProxy) -> Option<PodDisruptionBudget> {
    (proxy.replicas > 1).then(|| PodDisruptionBudget {
        metadata: metadata(proxy, proxy.names.base()),
        spec: Some(PodDisruptionBudgetSpec {
            max_unavailable: Some(IntOrString::Int(1)),
            selector: Some(selector(proxy)),
            unhealthy_pod_eviction_policy: Some("AlwaysAllow".to_owned()),
            ..PodDisruptionBudgetSpec::default()
        }),
        ..PodDisruptionBudget::default()
    })
}

fn selector(proxy: &ValidatedProxy) -> LabelSelector {
    LabelSelector { match_labels: Some(proxy.names.selector()), ..LabelSelector::default() }
}
