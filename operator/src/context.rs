//! What every reconcile may use: the client, the caches, the keys, the fleet, the clock.

use std::{net::IpAddr, sync::Arc};

use jiff::Timestamp;
use k8s_openapi::api::{
    apps::v1::Deployment,
    core::v1::{ConfigMap, Namespace, Pod, Secret, Service, ServiceAccount},
    networking::v1::NetworkPolicy,
    policy::v1::PodDisruptionBudget,
};
use kube::{
    Client,
    core::PartialObjectMeta,
    runtime::reflector::{ObjectRef, store::Writer},
};

use self::cache::Cache;
use crate::{
    access::Departures,
    acme::orders::Orders,
    api::{LlmProxy, ProxyToken},
    cert_manager::Certificate,
    events::Events,
    fleet::book::FleetBook,
    keys::cluster_issuer::ClusterIssuer,
    metrics::Metrics,
    runtime::triggers::TriggerSet,
};

pub mod cache;

/// Handed to every reconcile.
pub struct Context {
    /// For reads and writes. Bounded in time, never retried by itself.
    pub client: Client,
    /// What was set when the process started.
    pub settings: Settings,
    /// What the watches have seen.
    pub stores: Stores,
    /// What the proxy pods report, and what they should.
    pub fleet: Arc<FleetBook>,
    /// What is wanted of ACME servers.
    pub acme: Arc<Orders>,
    /// The issuer of the cluster's service accounts.
    pub cluster_issuer: Arc<ClusterIssuer>,
    /// Deletions of ProxyTokens that were seen.
    pub departures: Departures,
    /// Events on transitions.
    pub events: Events,
    /// Counters and gauges.
    pub metrics: Arc<Metrics>,
    /// Asks for reconciles.
    pub triggers: Triggers,
    /// Tells the time.
    pub clock: Clock,
}

impl Context {
    /// The time now.
    pub fn now(&self) -> Timestamp {
        (self.clock)()
    }
}

/// Tells the time; tests pass their own.
pub type Clock = Arc<dyn Fn() -> Timestamp + Send + Sync>;

/// What was set when the process started.
#[derive(Debug, Clone)]
pub struct Settings {
    /// Where the lease, the signing keys and the fleet CA live.
    pub operator_namespace: String,
    /// Image of the proxies.
    pub server_image: String,
    /// How long clients may take to see a changed Secret.
    pub tls_switch_wait: std::time::Duration,
    /// Address of the API server, where it is known: no user's URL may lead there.
    pub api_server: Option<IpAddr>,
    /// Namespaces to serve; empty for all.
    pub watch_namespaces: Vec<String>,
}

/// The caches. Standbys keep them warm too. Children are those that carry our `managed-by` label.
#[derive(Clone)]
pub struct Stores {
    /// Every LlmProxy that fits its type.
    pub proxies: Cache<LlmProxy>,
    /// Every ProxyToken that fits its type.
    pub tokens: Cache<ProxyToken>,
    /// Names and labels of namespaces.
    pub namespaces: Cache<PartialObjectMeta<Namespace>>,
    /// Proxy pods, without their containers.
    pub pods: Cache<Pod>,
    /// Children.
    pub config_maps: Cache<ConfigMap>,
    /// Children, and the Secrets of ProxyTokens.
    pub secrets: Cache<Secret>,
    /// Children.
    pub service_accounts: Cache<ServiceAccount>,
    /// Children.
    pub deployments: Cache<Deployment>,
    /// Children.
    pub services: Cache<Service>,
    /// Children.
    pub disruption_budgets: Cache<PodDisruptionBudget>,
    /// Children.
    pub network_policies: Cache<NetworkPolicy>,
    /// Children, where cert-manager is installed.
    pub certificates: Cache<Certificate>,
    /// Our own Secrets in the operator's namespace: signing keys, fleet CA.
    pub own_secrets: Cache<Secret>,
}

/// The writing ends of the caches, for the watches.
#[expect(missing_docs, reason = "each belongs to the cache of the same name")]
pub struct Writers {
    pub proxies: Writer<LlmProxy>,
    pub tokens: Writer<ProxyToken>,
    pub namespaces: Writer<PartialObjectMeta<Namespace>>,
    pub pods: Writer<Pod>,
    pub config_maps: Writer<ConfigMap>,
    pub secrets: Writer<Secret>,
    pub service_accounts: Writer<ServiceAccount>,
    pub deployments: Writer<Deployment>,
    pub services: Writer<Service>,
    pub disruption_budgets: Writer<PodDisruptionBudget>,
    pub network_policies: Writer<NetworkPolicy>,
    pub certificates: Writer<Certificate>,
    pub own_secrets: Writer<Secret>,
}

impl Stores {
    /// Empty caches, and what fills them.
    pub fn new() -> (Self, Writers) {
        let (proxies, proxies_writer) = Cache::new();
        let (tokens, tokens_writer) = Cache::new();
        let (namespaces, namespaces_writer) = Cache::new();
        let (pods, pods_writer) = Cache::new();
        let (config_maps, config_maps_writer) = Cache::new();
        let (secrets, secrets_writer) = Cache::new();
        let (service_accounts, service_accounts_writer) = Cache::new();
        let (deployments, deployments_writer) = Cache::new();
        let (services, services_writer) = Cache::new();
        let (disruption_budgets, disruption_budgets_writer) = Cache::new();
        let (network_policies, network_policies_writer) = Cache::new();
        let (certificates, certificates_writer) = Cache::new();
        let (own_secrets, own_secrets_writer) = Cache::new();
        let stores = Self {
            proxies,
            tokens,
            namespaces,
            pods,
            config_maps,
            secrets,
            service_accounts,
            deployments,
            services,
            disruption_budgets,
            network_policies,
            certificates,
            own_secrets,
        };
        let writers = Writers {
            proxies: proxies_writer,
            tokens: tokens_writer,
            namespaces: namespaces_writer,
            pods: pods_writer,
            config_maps: config_maps_writer,
            secrets: secrets_writer,
            service_accounts: service_accounts_writer,
            deployments: deployments_writer,
            services: services_writer,
            disruption_budgets: disruption_budgets_writer,
            network_policies: network_policies_writer,
            certificates: certificates_writer,
            own_secrets: own_secrets_writer,
        };
        (stores, writers)
    }

    /// Ready when every cache is complete; false when a watch has ended instead.
    pub async fn ready(&self) -> bool {
        let Self {
            proxies,
            tokens,
            namespaces,
            pods,
            config_maps,
            secrets,
            service_accounts,
            deployments,
            services,
            disruption_budgets,
            network_policies,
            // Optional: nobody waits for an API that may never be there.
            certificates: _,
            own_secrets,
        } = self;
        proxies.ready().await
            && tokens.ready().await
            && namespaces.ready().await
            && pods.ready().await
            && config_maps.ready().await
            && secrets.ready().await
            && service_accounts.ready().await
            && deployments.ready().await
            && services.ready().await
            && disruption_budgets.ready().await
            && network_policies.ready().await
            && own_secrets.ready().await
    }
}

/// Asks for reconciles. Firing twice is one reconcile.
#[derive(Clone, Default)]
pub struct Triggers {
    /// LlmProxies to reconcile.
    pub proxies: Arc<TriggerSet<LlmProxy>>,
    /// ProxyTokens to reconcile.
    pub tokens: Arc<TriggerSet<ProxyToken>>,
}

impl Triggers {
    /// Reconcile this LlmProxy.
    pub fn proxy(&self, namespace: &str, name: &str) {
        self.proxies.fire(ObjectRef::new(name).within(namespace));
    }

    /// Reconcile this ProxyToken.
    pub fn token(&self, namespace: &str, name: &str) {
        self.tokens.fire(ObjectRef::new(name).within(namespace));
    }
}
