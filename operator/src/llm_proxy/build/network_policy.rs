//! Who may reach which port. What the pods call is left to the cluster's own policy: providers are anywhere.

use std::collections::BTreeMap;

use k8s_openapi::{
    api::networking::v1::{
        NetworkPolicy, NetworkPolicyIngressRule, NetworkPolicyPeer, NetworkPolicyPort, NetworkPolicySpec,
    },
    apimachinery::pkg::{apis::meta::v1::LabelSelector, util::intstr::IntOrString},
};

use super::object::metadata;
use crate::{
    llm_proxy::validate::ValidatedProxy,
    names::{ADMIN_PORT, CHALLENGE_PORT, FLEET_PORT, MANAGED_BY, SERVICE_PORT},
};

/// The service is for everybody, since every call shows a token, and so are answers to an ACME server, whose addresses nobody
/// knows; metrics are for the cluster; the fleet port is for the operator.
/// The kubelet's probes come from the node, which no policy keeps out.
pub(super) fn network_policy(proxy: &ValidatedProxy, operator_namespace: &str) -> NetworkPolicy {
    NetworkPolicy {
        metadata: metadata(proxy, proxy.names.base()),
        spec: Some(NetworkPolicySpec {
            pod_selector: Some(labels(proxy.names.selector())),
            policy_types: Some(vec!["Ingress".to_owned()]),
            ingress: Some(ingress(proxy, operator_namespace)),
            egress: None,
        }),
    }
}

fn ingress(proxy: &ValidatedProxy, operator_namespace: &str) -> Vec<NetworkPolicyIngressRule> {
    let mut rules = vec![
        rule(SERVICE_PORT, None),
        rule(ADMIN_PORT, Some(any_pod())),
        rule(FLEET_PORT, Some(operator(operator_namespace))),
    ];
    if proxy.tls.answers_http() {
        rules.push(rule(CHALLENGE_PORT, None));
    }
    rules
}

fn rule(port: i32, from: Option<NetworkPolicyPeer>) -> NetworkPolicyIngressRule {
    NetworkPolicyIngressRule {
        from: from.map(|peer| vec![peer]),
        ports: Some(vec![NetworkPolicyPort {
            port: Some(IntOrString::Int(port)),
            protocol: Some("TCP".to_owned()),
            end_port: None,
        }]),
    }
}

fn any_pod() -> NetworkPolicyPeer {
    NetworkPolicyPeer { namespace_selector: Some(LabelSelector::default()), ..NetworkPolicyPeer::default() }
}

fn operator(namespace: &str) -> NetworkPolicyPeer {
    let namespace = BTreeMap::from([("kubernetes.io/metadata.name".to_owned(), namespace.to_owned())]);
    let pods = BTreeMap::from([("app.kubernetes.io/name".to_owned(), MANAGED_BY.to_owned())]);
    NetworkPolicyPeer {
        namespace_selector: Some(labels(namespace)),
        pod_selector: Some(labels(pods)),
        ..NetworkPolicyPeer::default()
    }
}

fn labels(labels: BTreeMap<String, String>) -> LabelSelector {
    LabelSelector { match_labels: Some(labels), ..LabelSelector::default() }
}
