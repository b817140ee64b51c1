//! From a valid proxy to the objects that make it run. Pure: the same input gives the same bytes.

mod access;
mod acme;
mod authority;
mod certificate;
mod config;
mod deployment;
mod network_policy;
mod object;
mod pod;
mod revisions;
mod service;
mod volumes;

use std::{collections::BTreeMap, marker::PhantomData};

use k8s_openapi::{
    ByteString,
    api::{
        apps::v1::Deployment,
        core::v1::{ConfigMap, Secret, Service, ServiceAccount},
        networking::v1::NetworkPolicy,
        policy::v1::PodDisruptionBudget,
    },
};
use vibectl_config::mount::{RevisionKey, SHARDS};

use crate::{
    cert_manager::Certificate,
    error::Error,
    llm_proxy::{
        authority::Authority,
        validate::{TlsMode, ValidatedProxy},
    },
};

pub use self::{acme::Ordered, deployment::TLS_OFF, revisions::Revisions};

/// What building needs beside the proxy itself.
pub struct Inputs {
    /// Image of the server.
    pub server_image: String,
    /// Namespace of the operator: the fleet port is open to it alone.
    pub operator_namespace: String,
    /// Public keys of tokens.
    pub jwks: String,
    /// The other issuers whose tokens are judged, as a file.
    pub issuers: Option<String>,
    /// The access table.
    pub access_shards: [Vec<u8>; SHARDS],
    /// Content of the fleet Secret: identity of the fleet port and revision key.
    pub fleet_identity: BTreeMap<String, ByteString>,
    /// Keys the revisions.
    pub revision_key: RevisionKey,
    /// With `tls.privateCa` or `tls.selfSigned`: what clients trust.
    pub authority: Option<Authority>,
    /// With `tls.acme`: what was got from the ACME server so far.
    pub acme: Option<Ordered>,
}

/// Nothing was written yet.
#[derive(Clone, Debug)]
pub enum Prepared {}

/// The objects are in the cluster; the workload is as the cluster returned it.
#[derive(Clone, Debug)]
pub enum Applied {}

/// All objects of one LlmProxy.
#[derive(Clone, Debug)]
pub struct Resources<Stage> {
    /// Identity of the pods, without any right.
    pub service_account: ServiceAccount,
    /// The config for pods of the current template.
    pub config: ConfigMap,
    /// What clients trust.
    pub ca_bundle: Option<ConfigMap>,
    /// Its name where it stays as it is: the pair cannot be used, and pods go on with the one before.
    pub keeps_bundle: Option<String>,
    /// Public keys of tokens.
    pub jwks: ConfigMap,
    /// The access table.
    pub access: Vec<Secret>,
    /// With `tls.acme`: the answers to pending challenges.
    pub answers: Option<ConfigMap>,
    /// And where an ACME server asks for them.
    pub challenge_service: Option<Service>,
    /// What cert-manager is asked for.
    pub certificate: Option<Certificate>,
    /// Secrets with keys that were drawn at random: created, and updated only from the version that was read.
    pub generated: Vec<Secret>,
    /// The address of the endpoint.
    pub service: Service,
    /// Who may reach which port.
    pub network_policy: NetworkPolicy,
    /// Keeps one pod during evictions.
    pub disruption_budget: Option<PodDisruptionBudget>,
    /// The pods.
    pub deployment: Deployment,
    /// What the pods will report when all of this is in force.
    pub revisions: Revisions,
    stage: PhantomData<Stage>,
}

impl Resources<Prepared> {
    /// The same, once it is in the cluster.
    pub fn into_applied(self, deployment: Deployment) -> Resources<Applied> {
        let Self {
            service_account,
            config,
            ca_bundle,
            keeps_bundle,
            jwks,
            access,
            answers,
            challenge_service,
            certificate,
            generated,
            service,
            network_policy,
            disruption_budget,
            deployment: _,
            revisions,
            stage: _,
        } = self;
        Resources {
            service_account,
            config,
            ca_bundle,
            keeps_bundle,
            jwks,
            access,
            answers,
            challenge_service,
            certificate,
            generated,
            service,
            network_policy,
            disruption_budget,
            deployment,
            revisions,
            stage: PhantomData,
        }
    }
}

/// Builds every object.
pub fn build(proxy: &ValidatedProxy, inputs: &Inputs) -> Result<Resources<Prepared>, Error> {
    let (template, template_hash) = pod::template(proxy, &inputs.server_image)?;
    let config = config::config_map(proxy, &template_hash)?;
    let answers = acme::answers(proxy, inputs)?;
    let revisions = revisions::revisions(proxy, inputs, &config, answers.as_ref());
    Ok(Resources {
        service_account: access::service_account(proxy),
        ca_bundle: authority::bundle(proxy, inputs.authority.as_ref()),
        keeps_bundle: kept_bundle(proxy),
        jwks: access::jwks(proxy, inputs),
        access: access::shards(proxy, &inputs.access_shards),
        answers,
        challenge_service: acme::challenge_service(proxy, &template_hash),
        certificate: certificate::certificate(proxy),
        generated: authority::generated(proxy, inputs),
        service: service::service(proxy),
        network_policy: network_policy::network_policy(proxy, &inputs.operator_namespace),
        disruption_budget: deployment::disruption_budget(proxy),
        deployment: deployment::deployment(proxy, template),
        config,
        revisions,
        stage: PhantomData,
    })
}

/// Not with `tls.acme`, whose certificates a public CA vouches for, and whose pods answer challenges before they have one.
fn kept_bundle(proxy: &ValidatedProxy) -> Option<String> {
    if matches!(proxy.tls, TlsMode::Acme(..)) {
        return None;
    }
    proxy.tls.kept().filter(|kept| kept.pair.is_err()).map(|_| proxy.names.ca_bundle())
}

#[cfg(test)]
mod tests;
