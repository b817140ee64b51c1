//! Who may be given access, at most how much, and the keys that sign it.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::LabelSelector;
use kube::KubeSchema;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::api::{duration::Duration, limits::Limits};

/// Rules for the ProxyTokens of a proxy.
#[derive(Clone, Debug, Default, Deserialize, KubeSchema, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Access {
    /// Namespaces whose ProxyTokens may name this proxy.
    #[serde(default)]
    pub allowed_namespaces: AllowedNamespaces,
    /// No ProxyToken gets more than this, whatever it asks for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ceilings: Option<Ceilings>,
    /// The keys that sign tokens.
    #[serde(default)]
    pub keys: SigningKeys,
}

/// Which namespaces.
#[derive(Clone, Debug, Default, Deserialize, KubeSchema, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
#[x_kube(validation = (
    "(self.from == 'Selector') == has(self.selector)",
    "allowedNamespaces.selector is needed with from: Selector, and only then"
))]
pub struct AllowedNamespaces {
    /// Same: the proxy's own. All: every one. Selector: those whose labels match.
    #[serde(default)]
    pub from: FromNamespaces,
    /// Labels of the namespaces.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub selector: Option<LabelSelector>,
}

/// Where ProxyTokens may live.
#[derive(Clone, Copy, Debug, Default, Deserialize, Eq, JsonSchema, PartialEq, Serialize)]
pub enum FromNamespaces {
    #[default]
    #[expect(missing_docs, reason = "a doc comment on a variant turns the enum into a oneOf in the schema")]
    Same,
    #[expect(missing_docs, reason = "as above")]
    All,
    #[expect(missing_docs, reason = "as above")]
    Selector,
}

/// The most that a ProxyToken can get.
#[derive(Clone, Debug, Default, Deserialize, KubeSchema, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Ceilings {
    /// Longest life of a token.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[x_kube(validation = ("duration(self) >= duration('1m') && duration(self) <= duration('87600h')", "ceilings.ttl must be between 1m and 87600h"))]
    pub ttl: Option<Duration>,
    /// Models that may be called at all, by name or alias. Left out: all of the proxy.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 64), inner(length(min = 1, max = 128)))]
    pub models: Option<Vec<String>>,
    /// Limits of each token, and of all tokens of one namespace together. Counted by each replica.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub limits: Option<Limits>,
}

/// The keys that sign tokens.
#[derive(Clone, Debug, Deserialize, KubeSchema, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct SigningKeys {
    /// How tokens are signed.
    #[serde(default)]
    pub algorithm: SigningAlgorithm,
    /// Age at which a key is replaced.
    #[serde(default = "default_rotate_every")]
    #[x_kube(validation = ("duration(self) >= duration('1h') && duration(self) <= duration('87600h')", "keys.rotateEvery must be between 1h and 87600h"))]
    pub rotate_every: Duration,
}

impl Default for SigningKeys {
    fn default() -> Self {
        Self { algorithm: SigningAlgorithm::default(), rotate_every: default_rotate_every() }
    }
}

/// Signature algorithms.
#[derive(Clone, Copy, Debug, Default, Deserialize, Eq, JsonSchema, PartialEq, Serialize)]
pub enum SigningAlgorithm {
    #[default]
    #[serde(rename = "ES256")]
    #[expect(missing_docs, reason = "a doc comment on a variant turns the enum into a oneOf in the schema")]
    Es256,
    #[serde(rename = "EdDSA")]
    #[expect(missing_docs, reason = "as above")]
    EdDsa,
    #[serde(rename = "RS256")]
    #[expect(missing_docs, reason = "as above")]
    Rs256,
}

fn default_rotate_every() -> Duration {
    Duration::from_hours(720)
}
