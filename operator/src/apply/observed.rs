//! What the cluster holds of one proxy, as the watches have seen it.

use std::{collections::BTreeMap, sync::Arc};

use k8s_openapi::api::{
    apps::v1::Deployment,
    core::v1::{ConfigMap, Secret, Service, ServiceAccount},
    networking::v1::NetworkPolicy,
    policy::v1::PodDisruptionBudget,
};

/// Objects of one kind by name.
pub type Kind<K> = BTreeMap<String, Arc<K>>;

/// Everything in one namespace that carries the label of one proxy.
#[derive(Clone, Debug, Default)]
pub struct Observed {
    /// By name.
    pub service_accounts: Kind<ServiceAccount>,
    /// By name.
    pub config_maps: Kind<ConfigMap>,
    /// By name.
    pub secrets: Kind<Secret>,
    /// By name.
    pub services: Kind<Service>,
    /// By name.
    pub network_policies: Kind<NetworkPolicy>,
    /// By name.
    pub disruption_budgets: Kind<PodDisruptionBudget>,
    /// By name.
    pub deployments: Kind<Deployment>,
}
