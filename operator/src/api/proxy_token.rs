//! `ProxyToken`: who may call an `LlmProxy`, which models, how much.

use std::collections::BTreeMap;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::{Condition, Time};
use kube::{CustomResource, KubeSchema};
use serde::{Deserialize, Serialize};

use crate::api::{
    access::{Scope, default_scopes},
    dollars::Dollars,
    duration::Duration,
    limits::Limits,
};

/// Access to an LlmProxy. The operator turns it into a Secret with a signed credential and renews that before it expires.
#[derive(Clone, CustomResource, Debug, Deserialize, KubeSchema, PartialEq, Serialize)]
#[kube(
    group = "vibectl.dev",
    version = "v1alpha1",
    kind = "ProxyToken",
    plural = "proxytokens",
    shortname = "ptok",
    category = "llm",
    namespaced,
    status = "ProxyTokenStatus",
    derive = "PartialEq",
    doc = "Access to an LlmProxy. The operator turns it into a Secret with a signed credential and renews that before it expires.",
    printcolumn(name = "Proxy", type_ = "string", json_path = ".spec.proxyRef.name"),
    printcolumn(name = "Ready", type_ = "string", json_path = ".status.conditions[?(@.type==\"Ready\")].status"),
    printcolumn(name = "Reason", type_ = "string", json_path = ".status.conditions[?(@.type==\"Ready\")].reason"),
    printcolumn(name = "Secret", type_ = "string", json_path = ".status.secretName", priority = 1),
    // A string, since kubectl prints a date that lies ahead as <invalid>.
    printcolumn(name = "Expires", type_ = "string", json_path = ".status.expiresAt"),
    printcolumn(name = "Requests", type_ = "integer", json_path = ".status.usage.requests"),
    printcolumn(name = "Tokens", type_ = "integer", json_path = ".status.usage.tokens"),
    printcolumn(name = "Last Used", type_ = "date", json_path = ".status.usage.lastUsed"),
    printcolumn(name = "Age", type_ = "date", json_path = ".metadata.creationTimestamp"),
    selectable = ".spec.proxyRef.name",
    validation = Rule::new("self.spec.proxyRef == oldSelf.spec.proxyRef").message("spec.proxyRef is immutable: make another ProxyToken").field_path(".spec.proxyRef")
)]
#[serde(rename_all = "camelCase")]
pub struct ProxyTokenSpec {
    /// The proxy to call. Cannot be changed.
    pub proxy_ref: ProxyRef,
    /// Models that may be called, by name or alias. Left out: all that the proxy allows.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 64), inner(length(min = 1, max = 128)))]
    #[x_kube(merge_strategy = ListMerge::Set)]
    pub models: Option<Vec<String>>,
    /// Life of each credential; a new one is written when two thirds have passed.
    #[serde(default = "default_ttl")]
    #[x_kube(validation = ("duration(self) >= duration('1m') && duration(self) <= duration('87600h')", "ttl must be between 1m and 87600h"))]
    pub ttl: Duration,
    /// Limits of this token. The proxy's own still hold. Counted by each replica.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub limits: Option<Limits>,
    /// True: every call is refused until this is false again.
    #[serde(default)]
    pub suspended: bool,
    /// Credentials issued before this moment are refused, and a new one is written.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub revoked_before: Option<Time>,
    /// Name of the Secret to write. Left out: the name of this object.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 253), regex(pattern = r"^[a-z0-9]([-a-z0-9.]*[a-z0-9])?$"))]
    pub secret_name: Option<String>,
    /// Labels and annotations for the Secret, for tools that act on them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub secret_template: Option<SecretTemplate>,
    /// What the token is for: execute to ask models, models to list them, admin to see the state of the proxy. The proxy's
    /// access.ceilings.scopes hold.
    #[serde(default = "default_scopes")]
    #[schemars(length(min = 1, max = 3))]
    #[x_kube(merge_strategy = ListMerge::Set)]
    pub scopes: Vec<Scope>,
    /// Who calls. Left out: whoever holds the issued credential.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub identity: Option<Identity>,
}

/// What is added to the Secret of a ProxyToken.
#[derive(Clone, Debug, Default, Deserialize, KubeSchema, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
#[x_kube(validation = (
    "(has(self.labels) ? self.labels.all(k, !k.startsWith('vibectl.dev/') && !k.startsWith('app.kubernetes.io/')) : true) && (has(self.annotations) ? self.annotations.all(k, !k.startsWith('vibectl.dev/')) : true)",
    "secretTemplate must not set keys of vibectl.dev/ or labels of app.kubernetes.io/"
))]
pub struct SecretTemplate {
    /// Labels, beside those of the operator.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    #[schemars(extend("maxProperties" = 32, "additionalProperties" = template_value()))]
    pub labels: BTreeMap<String, String>,
    /// Annotations.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    #[schemars(extend("maxProperties" = 32, "additionalProperties" = template_value()))]
    pub annotations: BTreeMap<String, String>,
}

/// Names an LlmProxy.
#[derive(Clone, Debug, Default, Deserialize, KubeSchema, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct ProxyRef {
    /// Name of the LlmProxy.
    #[schemars(length(min = 1, max = 63), regex(pattern = r"^[a-z0-9]([-a-z0-9]*[a-z0-9])?$"))]
    pub name: String,
    /// Its namespace, when that is another one; the proxy must allow this one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 63), regex(pattern = r"^[a-z0-9]([-a-z0-9]*[a-z0-9])?$"))]
    pub namespace: Option<String>,
}

/// The kind of caller.
#[derive(Clone, Debug, Default, Deserialize, KubeSchema, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
#[x_kube(validation = (
    "[has(self.issued), has(self.serviceAccount), has(self.oidc)].filter(x, x).size() == 1",
    "identity needs exactly one of issued, serviceAccount, oidc"
))]
pub struct Identity {
    /// A credential that the operator issues, in a Secret.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub issued: Option<Issued>,
    /// A service account of this namespace, by the tokens that the kubelet projects into its pods. There is no Secret.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub service_account: Option<ServiceAccountIdentity>,
    /// Somebody whom an OpenID Connect provider of the proxy's access.issuers knows. There is no Secret.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub oidc: Option<OidcIdentity>,
}

/// A service account of this namespace.
#[derive(Clone, Debug, Default, Deserialize, KubeSchema, PartialEq, Serialize)]
pub struct ServiceAccountIdentity {
    /// Name of the ServiceAccount.
    #[schemars(length(min = 1, max = 253), regex(pattern = r"^[a-z0-9]([-a-z0-9.]*[a-z0-9])?$"))]
    pub name: String,
}

/// Somebody whom an OpenID Connect provider knows.
#[derive(Clone, Debug, Default, Deserialize, KubeSchema, PartialEq, Serialize)]
pub struct OidcIdentity {
    /// Name of an entry of the proxy's access.issuers.
    #[schemars(length(min = 1, max = 63), regex(pattern = r"^[a-z0-9]([-a-z0-9]*[a-z0-9])?$"))]
    pub issuer: String,
    /// The claim that tells who it is; sub stands before all others.
    #[serde(default = "subject")]
    #[schemars(length(min = 1, max = 128))]
    pub claim: String,
    /// Its value; of a claim that is a list, one of its items.
    #[schemars(length(min = 1, max = 512))]
    pub value: String,
}

/// A credential that the operator issues.
#[derive(Clone, Debug, Default, Deserialize, KubeSchema, PartialEq, Serialize)]
pub struct Issued {}

/// What the operator has seen.
#[derive(Clone, Debug, Default, Deserialize, KubeSchema, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct ProxyTokenStatus {
    /// The generation of the spec that this status speaks of.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub observed_generation: Option<i64>,
    /// Ready, Accepted.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[x_kube(merge_strategy = ListMerge::Map(vec!["type".into()]))]
    pub conditions: Vec<Condition>,
    /// With identity.serviceAccount: the audience that its tokens must be for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub audience: Option<String>,
    /// The Secret with the credential.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub secret_name: Option<String>,
    /// The key that signed it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub key_id: Option<String>,
    /// When it was issued.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub issued_at: Option<Time>,
    /// When it ends.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expires_at: Option<Time>,
    /// Until when an earlier one is good, where that is later: its life was longer.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub earlier_until: Option<Time>,
    /// An earlier one that callers used late in its life, although there is a newer one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub stale_credential: Option<StaleCredential>,
    /// When the next one is written.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub renews_at: Option<Time>,
    /// What was used.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub usage: Option<Usage>,
}

/// A credential that somebody does not replace. Calls with it fail when it ends.
#[derive(Clone, Debug, Deserialize, Eq, KubeSchema, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct StaleCredential {
    /// When it was issued.
    pub issued_at: Time,
    /// When it ends.
    pub expires_at: Time,
}

/// Totals since the ProxyToken was made, over all replicas.
#[derive(Clone, Debug, Default, Deserialize, KubeSchema, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Usage {
    /// Calls admitted.
    #[serde(default)]
    pub requests: i64,
    /// Calls refused by a limit.
    #[serde(default)]
    pub limited: i64,
    /// Language-model tokens of prompts and answers together.
    #[serde(default)]
    pub tokens: i64,
    /// Of prompts.
    #[serde(default)]
    pub input_tokens: i64,
    /// Of answers.
    #[serde(default)]
    pub output_tokens: i64,
    /// In dollars, of those calls whose route has a price. Left out when there was none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cost_usd: Option<Dollars>,
    /// The last admitted call.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_used: Option<Time>,
    /// Counters last seen of each running server process, written together with the totals so that nothing counts twice.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 256))]
    #[x_kube(merge_strategy = ListMerge::Map(vec!["id".into()]))]
    pub instances: Vec<InstanceUsage>,
}

/// Cumulative counters of one server process.
#[derive(Clone, Debug, Default, Deserialize, KubeSchema, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct InstanceUsage {
    /// Made by the process when it starts.
    #[schemars(length(max = 64))]
    pub id: String,
    /// Calls admitted.
    #[serde(default)]
    pub requests: i64,
    /// Calls refused by a limit.
    #[serde(default)]
    pub limited: i64,
    /// Tokens of prompts.
    #[serde(default)]
    pub input_tokens: i64,
    /// Tokens of answers.
    #[serde(default)]
    pub output_tokens: i64,
    /// In dollars.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cost_usd: Option<Dollars>,
}

fn template_value() -> serde_json::Value {
    serde_json::json!({"type": "string", "maxLength": 1024})
}

fn subject() -> String {
    vibectl_token::foreign::SUBJECT.to_owned()
}

fn default_ttl() -> Duration {
    Duration::from_hours(720)
}
