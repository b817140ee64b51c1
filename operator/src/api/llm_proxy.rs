//! `LlmProxy`: which providers and models, how secured, what it may cost.

use std::collections::BTreeMap;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::{Condition, Time};
use kube::{CustomResource, KubeSchema};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::api::{access::Access, limits::Limits, provider::Provider, tls::Tls};

/// A shared endpoint for language models. The operator turns it into a running, TLS-secured, metered server and keeps it so.
#[derive(Clone, CustomResource, Debug, Default, Deserialize, KubeSchema, PartialEq, Serialize)]
#[kube(
    group = "vibectl.dev",
    version = "v1alpha1",
    kind = "LlmProxy",
    plural = "llmproxies",
    shortname = "llmp",
    category = "llm",
    namespaced,
    status = "LlmProxyStatus",
    derive = "PartialEq",
    doc = "A shared endpoint for language models. The operator turns it into a running, TLS-secured, metered server and keeps it so.",
    scale(
        spec_replicas_path = ".spec.replicas",
        status_replicas_path = ".status.replicas",
        label_selector_path = ".status.selector"
    ),
    printcolumn(name = "Ready", type_ = "string", json_path = ".status.conditions[?(@.type==\"Ready\")].status"),
    printcolumn(name = "Reason", type_ = "string", json_path = ".status.conditions[?(@.type==\"Ready\")].reason"),
    printcolumn(name = "Replicas", type_ = "integer", json_path = ".status.readyReplicas"),
    printcolumn(name = "Models", type_ = "integer", json_path = ".status.models"),
    printcolumn(name = "ProxyTokens", type_ = "integer", json_path = ".status.tokens"),
    printcolumn(name = "Endpoint", type_ = "string", json_path = ".status.endpoint"),
    printcolumn(name = "Certificate Until", type_ = "string", json_path = ".status.certificate.notAfter", priority = 1),
    printcolumn(name = "Age", type_ = "date", json_path = ".metadata.creationTimestamp"),
    validation = Rule::new("self.metadata.name.size() <= 63 && !self.metadata.name.contains('.')")
        .message("metadata.name must be a DNS label: it becomes the name of a Service"),
    validation = Rule::new("!has(self.spec.models) || self.spec.models.all(m, m.routes.all(r, has(self.spec.providers) && self.spec.providers.exists(p, p.name == r.provider)))")
        .message("spec.models[].routes[].provider must name one of spec.providers")
        .field_path(".spec.models"),
    validation = Rule::new("!has(self.spec.defaultModel) || (has(self.spec.models) && self.spec.models.exists(m, m.name == self.spec.defaultModel || (has(m.aliases) && self.spec.defaultModel in m.aliases)))")
        .message("spec.defaultModel must be the name or an alias of one of spec.models")
        .field_path(".spec.defaultModel"),
    validation = Rule::new("!has(self.spec.tls) || !has(self.spec.tls.certManager) || !has(self.spec.tls.certManager.serviceNames) || self.spec.tls.certManager.serviceNames || (has(self.spec.hosts) && self.spec.hosts.exists(h, !h.startsWith('*.')))")
        .message("spec.hosts needs a name that is no wildcard with tls.certManager.serviceNames: false")
        .field_path(".spec.hosts"),
    validation = Rule::new("!has(self.spec.tls) || !has(self.spec.tls.acme) || (has(self.spec.hosts) && self.spec.hosts.size() > 0 && self.spec.hosts.all(h, !h.startsWith('*.') && !h.contains(':') && !h.matches('^[0-9.]+$')))")
        .message("spec.hosts needs at least one DNS name with tls.acme, and nothing else: no wildcards, no addresses")
        .field_path(".spec.hosts"),
    validation = Rule::new("(has(self.spec.service) && has(self.spec.service.headless) && self.spec.service.headless) == (has(oldSelf.spec.service) && has(oldSelf.spec.service.headless) && oldSelf.spec.service.headless)")
        .message("spec.service.headless is immutable: the address of a Service cannot change; make another LlmProxy")
        .field_path(".spec.service"),
    validation = Rule::new("has(self.spec.providers) == has(self.spec.models)")
        .message("spec.providers and spec.models belong together: give both, or neither for the embedded echo provider")
        .field_path(".spec.providers")
)]
#[serde(rename_all = "camelCase")]
pub struct LlmProxySpec {
    /// Number of server pods. An autoscaler may set it through the scale subresource.
    #[serde(default = "default_replicas")]
    #[schemars(range(min = 0, max = 64))]
    pub replicas: i32,
    /// Further DNS names and IP addresses of the certificate. The Service's names are always in it, but for tls.acme, whose
    /// certificates are for these names alone, and tls.certManager with serviceNames: false.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(
        length(max = 24),
        inner(
            length(min = 1, max = 253),
            regex(pattern = r"^(\*\.)?[a-z0-9]([-a-z0-9.]*[a-z0-9])?$|^[0-9a-f:.]+$")
        )
    )]
    #[x_kube(merge_strategy = ListMerge::Set)]
    pub hosts: Vec<String>,
    /// How the endpoint is reached.
    #[serde(default)]
    pub service: Service,
    /// Where calls go. None: the embedded echo provider with the model "echo".
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(min = 1, max = 24))]
    #[x_kube(merge_strategy = ListMerge::Map(vec!["name".into()]))]
    pub providers: Vec<Provider>,
    /// What callers ask for.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(min = 1, max = 64))]
    #[x_kube(merge_strategy = ListMerge::Map(vec!["name".into()]))]
    pub models: Vec<Model>,
    /// The model of a call that names none, by name or alias.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 128))]
    pub default_model: Option<String>,
    /// How the endpoint is secured. Left out: privateCa.
    #[serde(default, skip_serializing_if = "Tls::is_left_out")]
    pub tls: Tls,
    /// Who may be given access.
    #[serde(default)]
    pub access: Access,
    /// Limits of the whole proxy, shared evenly among its replicas.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub limits: Option<Limits>,
}

/// A name that callers ask for, and where its calls go.
#[derive(Clone, Debug, Default, Deserialize, KubeSchema, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Model {
    /// Unique in the list.
    #[schemars(length(min = 1, max = 128), regex(pattern = r"^[A-Za-z0-9][A-Za-z0-9._:/@-]*$"))]
    pub name: String,
    /// Other names of the same model.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(
        length(max = 16),
        inner(length(min = 1, max = 128), regex(pattern = r"^[A-Za-z0-9][A-Za-z0-9._:/@-]*$"))
    )]
    #[x_kube(merge_strategy = ListMerge::Set)]
    pub aliases: Vec<String>,
    /// Where calls go: the lowest priority first, by weight among equals.
    #[schemars(length(min = 1, max = 8))]
    #[x_kube(merge_strategy = ListMerge::Atomic)]
    pub routes: Vec<Route>,
    /// Whether a whole answer that is not valid for the caller's schema gets one more chance: the model is told what is wrong, and both
    /// answers are paid. Left out: true.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub structured_repair: Option<bool>,
}

/// One way to a provider.
#[derive(Clone, Debug, Default, Deserialize, KubeSchema, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Route {
    /// Name of a provider.
    #[schemars(length(min = 1, max = 63))]
    pub provider: String,
    /// What the provider calls the model.
    #[schemars(length(min = 1, max = 256))]
    pub model: String,
    /// Lower comes first; the next is used when all of this one fail.
    #[serde(default)]
    #[schemars(range(min = 0, max = 1000))]
    pub priority: i32,
    /// Share of the calls among routes of the same priority.
    #[serde(default = "default_weight")]
    #[schemars(range(min = 1, max = 1000))]
    pub weight: i32,
    /// What the provider asks for it. Left out: not known, and nothing is told of what calls cost.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub price: Option<Price>,
}

/// Dollars for a million tokens of each kind.
#[derive(Clone, Debug, Default, Deserialize, KubeSchema, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Price {
    /// Tokens of prompts, as in "2.50".
    #[schemars(length(max = 13), regex(pattern = r"^[0-9]{1,6}(\.[0-9]{1,6})?$"))]
    pub input: String,
    /// Of these, those that the provider had seen before. Left out: as all others.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 13), regex(pattern = r"^[0-9]{1,6}(\.[0-9]{1,6})?$"))]
    pub cached_input: Option<String>,
    /// Tokens of answers.
    #[schemars(length(max = 13), regex(pattern = r"^[0-9]{1,6}(\.[0-9]{1,6})?$"))]
    pub output: String,
}

/// The Service in front of the pods.
#[derive(Clone, Debug, Deserialize, KubeSchema, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
#[x_kube(validation = (
    "!has(self.headless) || !self.headless || (self.type == 'ClusterIP' && self.port == 50051)",
    "service.headless needs type ClusterIP and port 50051: clients connect to the pods themselves"
))]
pub struct Service {
    /// As in a Service.
    #[serde(default, rename = "type")]
    pub kind: ServiceType,
    /// Port of the endpoint.
    #[serde(default = "default_port")]
    #[schemars(range(min = 1, max = 65535))]
    pub port: i32,
    /// Without an address of its own (`clusterIP: None`): its name resolves to the pods, so that clients which balance by
    /// themselves spread their calls. Cannot be changed.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub headless: bool,
    /// Whether gRPC callers may ask what the endpoint can be asked (server reflection), as grpcurl does. They need a token as for any
    /// call.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub reflection: bool,
    /// Copied to the Service, for load balancers.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    #[schemars(extend("maxProperties" = 32, "additionalProperties" = annotation_value()))]
    #[x_kube(validation = ("self.all(k, !k.startsWith('vibectl.dev/'))", "service.annotations must not begin with vibectl.dev/"))]
    pub annotations: BTreeMap<String, String>,
}

impl Default for Service {
    fn default() -> Self {
        Self {
            kind: ServiceType::default(),
            port: default_port(),
            headless: false,
            reflection: false,
            annotations: BTreeMap::new(),
        }
    }
}

/// Kinds of Service.
#[derive(Clone, Copy, Debug, Default, Deserialize, Eq, JsonSchema, PartialEq, Serialize)]
pub enum ServiceType {
    #[default]
    #[expect(missing_docs, reason = "a doc comment on a variant turns the enum into a oneOf in the schema")]
    ClusterIP,
    #[expect(missing_docs, reason = "as above")]
    NodePort,
    #[expect(missing_docs, reason = "as above")]
    LoadBalancer,
}

/// What the operator has seen.
#[derive(Clone, Debug, Default, Deserialize, KubeSchema, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct LlmProxyStatus {
    /// The generation of the spec that this status speaks of.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub observed_generation: Option<i64>,
    /// `Ready`, `Accepted`, `ResolvedRefs`, `CertificateReady`, `Progressing`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[x_kube(merge_strategy = ListMerge::Map(vec!["type".into()]))]
    pub conditions: Vec<Condition>,
    /// Address for clients inside the cluster.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub endpoint: Option<String>,
    /// Pods that exist.
    #[serde(default)]
    pub replicas: i32,
    /// Pods that answer.
    #[serde(default)]
    pub ready_replicas: i32,
    /// Label selector of the pods, for the scale subresource.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub selector: Option<String>,
    /// Models that can be called.
    #[serde(default)]
    pub models: i32,
    /// ProxyTokens that have access.
    #[serde(default)]
    pub tokens: i32,
    /// The certificate that clients meet.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub certificate: Option<CertificateStatus>,
    /// SHA-256 of the CA certificate, for comparing with what a client was given.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ca_fingerprint: Option<String>,
    /// Revision of everything mounted that should be in force.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub revision: Option<String>,
    /// One entry for each provider.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[x_kube(merge_strategy = ListMerge::Map(vec!["name".into()]))]
    pub providers: Vec<ProviderStatus>,
}

/// Facts of a certificate.
#[derive(Clone, Debug, Deserialize, KubeSchema, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct CertificateStatus {
    /// SHA-256 of the certificate, lower-case hex.
    pub fingerprint: String,
    /// SHA-256 of its public key, base64: for pinning.
    pub pin: String,
    /// End of its life.
    pub not_after: Time,
}

/// State of one provider.
#[derive(Clone, Debug, Default, Deserialize, KubeSchema, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct ProviderStatus {
    /// As in the spec.
    pub name: String,
    /// True when calls can be sent to it.
    pub available: bool,
    /// Why not.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
}

fn annotation_value() -> serde_json::Value {
    serde_json::json!({"type": "string", "maxLength": 1024})
}

fn default_replicas() -> i32 {
    1
}

fn default_weight() -> i32 {
    1
}

fn default_port() -> i32 {
    50051
}
