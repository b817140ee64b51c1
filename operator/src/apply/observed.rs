//! What the cluster holds of one proxy, as the watches have seen it.

use std::{collections::BTreeMap, sync::Arc};

use k8s_openapi::api::{
    apps::v1::Deployment,
    core::v1::{ConfigMap, Secret, Service, ServiceAccount},
    networking::v1::NetworkPolicy,
    policy::v1::PodDisruptionBudget,
};
use kube::{Resource, ResourceExt};

use crate::{
    cert_manager::Certificate,
    context::{
        Stores,
        cache::{Availability, Cache},
    },
    names::PROXY_LABEL,
};

/// Objects of one kind by name.
pub type Kind<K> = BTreeMap<String, Arc<K>>;

/// Everything in one namespace that carries the label of one proxy.
#[derive(Clone, Debug, Default)]
pub struct Observed {
    /// By name; nothing while the API of cert-manager cannot be used here.
    pub certificates: Option<Kind<Certificate>>,
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

impl Observed {
    /// What the caches hold of the proxy that is labelled so.
    pub fn of(stores: &Stores, namespace: &str, label: &str) -> Self {
        let served = stores.certificates.availability(namespace) == Availability::Complete;
        Self {
            certificates: served.then(|| kind(&stores.certificates, namespace, label)),
            service_accounts: kind(&stores.service_accounts, namespace, label),
            config_maps: kind(&stores.config_maps, namespace, label),
            secrets: kind(&stores.secrets, namespace, label),
            services: kind(&stores.services, namespace, label),
            network_policies: kind(&stores.network_policies, namespace, label),
            disruption_budgets: kind(&stores.disruption_budgets, namespace, label),
            deployments: kind(&stores.deployments, namespace, label),
        }
    }
}

fn kind<K>(cache: &Cache<K>, namespace: &str, label: &str) -> Kind<K>
where
    K: Resource<DynamicType = ()> + Clone + 'static,
{
    let objects = cache.labelled(namespace, PROXY_LABEL, label);
    objects.into_iter().map(|object| (object.name_any(), object)).collect()
}
