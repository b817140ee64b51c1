//! Removes what is no longer wanted: only what carries our owner UID, and only the very object that was seen.

use std::collections::BTreeSet;

use k8s_openapi::api::{apps::v1::Deployment, core::v1::Secret};
use kube::{
    ResourceExt,
    api::{DeleteParams, Preconditions},
};

use super::{Applier, Child, Kind, Observed, controller, described};
use crate::{
    error::Error,
    llm_proxy::build::{Applied, Resources},
};

impl Applier<'_> {
    /// Removes every object of the owner that is not among the applied ones.
    pub(super) async fn prune(
        &mut self,
        applied: &Resources<Applied>,
        observed: &Observed,
        mounted: &BTreeSet<String>,
    ) -> Result<(), Error> {
        let Observed {
            certificates,
            service_accounts,
            config_maps,
            secrets,
            services,
            network_policies,
            disruption_budgets,
            deployments,
        } = observed;
        self.prune_kind(service_accounts, &names([&applied.service_account])).await?;
        self.prune_kind(services, &names([&applied.service].into_iter().chain(&applied.challenge_service)))
            .await?;
        self.prune_kind(network_policies, &names([&applied.network_policy])).await?;
        self.prune_kind(disruption_budgets, &names(&applied.disruption_budget)).await?;
        self.prune_kind(deployments, &names([&applied.deployment])).await?;

        // An older template may still make a pod until the new one has replaced all of them.
        if !is_rolled_out(&applied.deployment) {
            return Ok(());
        }
        if let Some(certificates) = certificates {
            self.prune_kind(certificates, &names(&applied.certificate)).await?;
        }
        self.prune_secrets(applied, secrets).await?;
        let optional = applied.ca_bundle.iter().chain(&applied.answers);
        let config_maps_wanted = [&applied.config, &applied.jwks].into_iter().chain(optional);
        let mut keep = names(config_maps_wanted);
        keep.extend(mounted.iter().cloned());
        keep.extend(applied.keeps_bundle.clone());
        self.prune_kind(config_maps, &keep).await
    }

    /// Beside our own those that cert-manager wrote for us: it leaves them behind.
    async fn prune_secrets(
        &mut self,
        applied: &Resources<Applied>,
        secrets: &Kind<Secret>,
    ) -> Result<(), Error> {
        self.prune_kind(secrets, &names(applied.generated.iter().chain(&applied.access))).await?;
        let wanted = applied.certificate.as_ref().map(|certificate| certificate.spec.secret_name.as_str());
        for (name, secret) in secrets.iter().filter(|(name, _)| wanted != Some(name.as_str())) {
            if self.is_ordered(secret) && secret.metadata.deletion_timestamp.is_none() {
                self.delete::<Secret>(name, secret.uid()).await?;
            }
        }
        Ok(())
    }

    async fn prune_kind<K: Child>(
        &mut self,
        observed: &Kind<K>,
        keep: &BTreeSet<String>,
    ) -> Result<(), Error> {
        for (name, object) in observed {
            let ours = controller(object.as_ref()).is_some_and(|owner| owner.uid == self.owner_uid);
            let going = object.meta().deletion_timestamp.is_some();
            if ours && !going && !keep.contains(name) {
                self.delete::<K>(name, object.uid()).await?;
            }
        }
        Ok(())
    }

    async fn delete<K: Child>(&mut self, name: &str, uid: Option<String>) -> Result<(), Error> {
        let preconditions = Preconditions { uid, resource_version: None };
        let params = DeleteParams { preconditions: Some(preconditions), ..DeleteParams::background() };
        match self.api::<K>().delete(name, &params).await {
            Ok(_) => self.writes += 1,
            Err(kube::Error::Api(status)) if status.is_not_found() || status.is_conflict() => {}
            Err(error) => return Err(Error::api("delete", described::<K>(name))(error)),
        }
        Ok(())
    }
}

/// Whether every pod is of the newest template and ready.
pub(crate) fn is_rolled_out(deployment: &Deployment) -> bool {
    let wanted = deployment.spec.as_ref().and_then(|spec| spec.replicas).unwrap_or(1);
    deployment.status.as_ref().is_some_and(|status| {
        status.observed_generation >= deployment.metadata.generation
            && status.updated_replicas.unwrap_or(0) >= wanted
            && status.available_replicas.unwrap_or(0) >= wanted
            && status.replicas.unwrap_or(0) <= wanted
    })
}

fn names<'o, K: Child + 'o>(objects: impl IntoIterator<Item = &'o K>) -> BTreeSet<String> {
    objects.into_iter().map(ResourceExt::name_any).collect()
}
