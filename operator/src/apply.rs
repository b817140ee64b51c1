//! Brings the objects of a proxy into the cluster: compares with what is there, writes what differs, removes what is no longer
//! wanted. What nobody changed costs no call at all.

mod certificate;
mod compare;
mod generated;
mod observed;
pub(crate) mod prune;

use std::{collections::BTreeSet, fmt::Debug, sync::Arc};

use futures::{FutureExt, future::BoxFuture};
use k8s_openapi::{NamespaceResourceScope, apimachinery::pkg::apis::meta::v1::OwnerReference};
use kube::{
    Api, Client, Resource, ResourceExt,
    api::{Patch, PatchParams},
};
use serde::{Serialize, de::DeserializeOwned};

use crate::{
    error::Error,
    llm_proxy::build::{Applied, Prepared, Resources},
    names::FIELD_MANAGER,
};

pub use self::observed::{Kind, Observed};

/// A kind of object that we make.
pub trait Child:
    Resource<DynamicType = (), Scope = NamespaceResourceScope> + Clone + Debug + DeserializeOwned + Serialize
{
}

impl<K> Child for K where
    K: Resource<DynamicType = (), Scope = NamespaceResourceScope>
        + Clone
        + Debug
        + DeserializeOwned
        + Serialize
{
}

/// Writes the objects of one owner.
pub struct Applier<'a> {
    client: &'a Client,
    namespace: &'a str,
    owner_uid: &'a str,
    writes: usize,
}

impl<'a> Applier<'a> {
    /// For objects in this namespace that the owner with this UID controls.
    pub fn new(client: &'a Client, namespace: &'a str, owner_uid: &'a str) -> Self {
        Self { client, namespace, owner_uid, writes: 0 }
    }

    /// How many times something was written or deleted.
    pub fn writes(&self) -> usize {
        self.writes
    }

    /// Brings everything into the cluster: what is mounted before the workload that mounts it, removal last.
    ///
    /// `mounted` names the ConfigMaps that living pods mount; those stay, whatever template they belong to. Boxed, since objects
    /// are large and every caller's future would be as large.
    pub fn apply<'f>(
        &'f mut self,
        prepared: Resources<Prepared>,
        observed: &'f Observed,
        mounted: &'f BTreeSet<String>,
    ) -> BoxFuture<'f, Result<Resources<Applied>, Error>> {
        async move {
            self.ensure_around(&prepared, observed).await?;
            let deployment = self.ensure(&prepared.deployment, &observed.deployments).await?;
            let applied = prepared.into_applied(Arc::unwrap_or_clone(deployment));
            self.prune(&applied, observed, mounted).await?;
            Ok(applied)
        }
        .boxed()
    }

    /// The same, but for the workload, which is left as it is, and what it needs, which is not removed.
    pub fn apply_around<'f>(
        &'f mut self,
        prepared: Resources<Prepared>,
        observed: &'f Observed,
    ) -> BoxFuture<'f, Result<Resources<Applied>, Error>> {
        async move {
            self.ensure_around(&prepared, observed).await?;
            let live =
                observed.deployments.get(&prepared.deployment.name_any()).map(|live| live.as_ref().clone());
            let deployment = live.unwrap_or_else(|| prepared.deployment.clone());
            Ok(prepared.into_applied(deployment))
        }
        .boxed()
    }

    async fn ensure_around(
        &mut self,
        prepared: &Resources<Prepared>,
        observed: &Observed,
    ) -> Result<(), Error> {
        self.ensure_mounted(prepared, observed).await?;
        for service in [Some(&prepared.service), prepared.challenge_service.as_ref()].into_iter().flatten() {
            self.ensure(service, &observed.services).await?;
        }
        self.ensure(&prepared.network_policy, &observed.network_policies).await?;
        if let Some(budget) = &prepared.disruption_budget {
            self.ensure(budget, &observed.disruption_budgets).await?;
        }
        Ok(())
    }

    /// What pods cannot start without.
    async fn ensure_mounted(
        &mut self,
        prepared: &Resources<Prepared>,
        observed: &Observed,
    ) -> Result<(), Error> {
        self.ensure(&prepared.service_account, &observed.service_accounts).await?;
        for secret in &prepared.generated {
            self.ensure_generated(secret, &observed.secrets).await?;
        }
        for secret in &prepared.access {
            self.ensure(secret, &observed.secrets).await?;
        }
        self.ensure_certificate(prepared.certificate.as_ref(), observed).await?;
        let Resources { jwks, ca_bundle, answers, config, .. } = prepared;
        let config_maps = [Some(jwks), ca_bundle.as_ref(), answers.as_ref(), Some(config)];
        for config_map in config_maps.into_iter().flatten() {
            self.ensure(config_map, &observed.config_maps).await?;
        }
        Ok(())
    }

    /// Applies the object unless the cluster holds it already; returns it as the cluster has it.
    async fn ensure<K: Child>(&mut self, desired: &K, observed: &Kind<K>) -> Result<Arc<K>, Error> {
        let name = desired.name_any();
        let stamped = compare::stamped(desired)?;
        let live = match observed.get(&name) {
            Some(live) => Some(Arc::clone(live)),
            // The cache holds what carries our label. An object of that name without it is somebody's own.
            None => self.read::<K>(&name).await?.map(Arc::new),
        };
        if let Some(live) = live {
            self.check_owner(live.as_ref())?;
            if compare::is_in_force(&stamped, &serde_json::to_value(live.as_ref())?) {
                return Ok(live);
            }
        }
        let applied =
            self.write(&name, &stamped).await.map_err(Error::api("apply", described::<K>(&name)))?;
        self.writes += 1;
        Ok(Arc::new(applied))
    }

    /// A list is merged by its keys, so when somebody changed the key of our item (the port of a Service), an apply would have
    /// both items, which can be invalid. A merge patch replaces the list.
    async fn write<K: Child>(&self, name: &str, stamped: &serde_json::Value) -> kube::Result<K> {
        let api = self.api::<K>();
        let apply = PatchParams::apply(FIELD_MANAGER).force();
        match api.patch(name, &apply, &Patch::Apply(stamped)).await {
            Err(kube::Error::Api(status)) if status.is_invalid() => {
                let merge =
                    PatchParams { field_manager: Some(FIELD_MANAGER.to_owned()), ..PatchParams::default() };
                api.patch(name, &merge, &Patch::Merge(stamped)).await
            }
            result => result,
        }
    }

    /// An object that another controller owns is never touched, and neither is one that nobody owns: we did not make it.
    fn check_owner<K: Child>(&self, live: &K) -> Result<(), Error> {
        let controller = controller(live);
        if controller.is_some_and(|owner| owner.uid == self.owner_uid) {
            return Ok(());
        }
        let owner =
            controller.map_or_else(|| "nobody".to_owned(), |owner| format!("{} {}", owner.kind, owner.name));
        Err(Error::Conflict { object: described::<K>(&live.name_any()), owner })
    }

    async fn read<K: Child>(&self, name: &str) -> Result<Option<K>, Error> {
        self.api::<K>().get_opt(name).await.map_err(Error::api("read", described::<K>(name)))
    }

    fn api<K: Child>(&self) -> Api<K> {
        Api::namespaced(self.client.clone(), self.namespace)
    }
}

fn controller<K: Child>(object: &K) -> Option<&OwnerReference> {
    object.owner_references().iter().find(|owner| owner.controller == Some(true))
}

fn described<K: Child>(name: &str) -> String {
    format!("{} {name}", K::kind(&()))
}

#[cfg(test)]
mod tests;
