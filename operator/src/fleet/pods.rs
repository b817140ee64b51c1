//! The pods of one LlmProxy, as far as the fleet cares.

use std::net::IpAddr;

use k8s_openapi::api::core::v1::Pod;
use kube::ResourceExt;

use crate::{
    api::LlmProxy,
    context::Stores,
    names::{PROXY_LABEL, ProxyNames},
};

/// One pod.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ProxyPod {
    /// UID: a pod made again under the same name is another one.
    pub uid: String,
    /// Name.
    pub name: String,
    /// Address, once it has one.
    pub ip: Option<IpAddr>,
    /// Whether Services lead to it.
    pub ready: bool,
    /// Whether it is being deleted. It still answers until it has drained.
    pub terminating: bool,
    /// ConfigMaps that it mounts: tells which template it was made of.
    pub config_maps: Vec<String>,
}

/// The living pods of this LlmProxy, sorted by name.
pub fn of(stores: &Stores, proxy: &LlmProxy) -> Vec<ProxyPod> {
    let namespace = proxy.namespace().unwrap_or_default();
    let label = ProxyNames::of(&proxy.name_any()).base();
    let pods = stores.pods.labelled(&namespace, PROXY_LABEL, &label);
    let mut pods: Vec<_> = pods.iter().filter_map(|pod| living(pod)).collect();
    pods.sort_by(|one, other| one.name.cmp(&other.name));
    pods
}

/// The UIDs of those that are ready and stay.
pub fn serving(pods: &[ProxyPod]) -> impl Iterator<Item = &ProxyPod> {
    pods.iter().filter(|pod| pod.ready && !pod.terminating)
}

/// Whether this pod is ready and stays.
pub fn serves(pod: &Pod) -> bool {
    living(pod).is_some_and(|pod| serving(&[pod]).next().is_some())
}

fn living(pod: &Pod) -> Option<ProxyPod> {
    let status = pod.status.clone().unwrap_or_default();
    if matches!(status.phase.as_deref(), Some("Succeeded" | "Failed")) {
        return None;
    }
    let conditions = status.conditions.unwrap_or_default();
    let volumes = pod.spec.as_ref().and_then(|spec| spec.volumes.clone()).unwrap_or_default();
    Some(ProxyPod {
        uid: pod.uid()?,
        name: pod.name_any(),
        ip: status.pod_ip.and_then(|ip| ip.parse().ok()),
        ready: conditions.iter().any(|condition| condition.type_ == "Ready" && condition.status == "True"),
        terminating: pod.metadata.deletion_timestamp.is_some(),
        config_maps: volumes.into_iter().filter_map(|volume| volume.config_map.map(|map| map.name)).collect(),
    })
}
