//! Who may be given access, at most how much, and the keys that sign it.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::{LabelSelector, Time};
use kube::KubeSchema;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::api::{duration::Duration, limits::Limits, reference::SecretKey};

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
    /// OpenID Connect providers whose tokens can tell who calls; a ProxyToken with identity.oidc says what that caller may do.
    /// The cluster's own service accounts need no entry.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 7))]
    #[x_kube(merge_strategy = ListMerge::Map(vec!["name".into()]))]
    pub issuers: Vec<OidcIssuer>,
    /// For a time, tokens of a former server are accepted, which a shared secret (HS256) signed: those of the Python original.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub migration: Option<Migration>,
}

/// Until when tokens of a former server are accepted, and of whom.
#[derive(Clone, Debug, Deserialize, KubeSchema, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Migration {
    /// The shared secret of the former server; at least 32 bytes. It verifies, and signs nothing.
    pub secret: SecretKey,
    /// The exact iss of its tokens.
    #[serde(default = "default_issuer")]
    #[schemars(length(min = 1, max = 512))]
    pub issuer: String,
    /// Whose tokens are accepted. A subject that is not listed is refused.
    #[schemars(length(min = 1, max = 256))]
    #[x_kube(merge_strategy = ListMerge::Map(vec!["subject".into()]))]
    pub subjects: Vec<MigrationSubject>,
    /// From this moment on none is accepted, whatever its own end.
    pub until: Time,
}

/// Somebody whom a former server knows.
#[derive(Clone, Debug, Default, Deserialize, KubeSchema, PartialEq, Serialize)]
pub struct MigrationSubject {
    /// The sub of its tokens.
    #[schemars(length(min = 1, max = 256))]
    pub subject: String,
    /// Name of the ProxyToken, in the namespace of the proxy, that says what it may do.
    #[schemars(length(min = 1, max = 253), regex(pattern = r"^[a-z0-9]([-a-z0-9.]*[a-z0-9])?$"))]
    pub token: String,
}

/// An OpenID Connect provider.
#[derive(Clone, Debug, Default, Deserialize, KubeSchema, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
#[x_kube(validation = ("self.name != 'kubernetes'", "issuers[].name must not be kubernetes: that is the cluster's own issuer"))]
#[x_kube(validation = ("isURL(self.issuer) && url(self.issuer).getScheme() == 'https'", "issuers[].issuer must be an https URL"))]
#[x_kube(validation = ("!has(self.jwksUrl) || (isURL(self.jwksUrl) && url(self.jwksUrl).getScheme() == 'https')", "issuers[].jwksUrl must be an https URL"))]
#[x_kube(validation = ("!has(self.jwks) || (!has(self.jwksUrl) && !has(self.caBundle))", "issuers[].jwks excludes jwksUrl and caBundle: nothing is fetched"))]
pub struct OidcIssuer {
    /// What ProxyTokens call it.
    #[schemars(length(min = 1, max = 63), regex(pattern = r"^[a-z0-9]([-a-z0-9]*[a-z0-9])?$"))]
    pub name: String,
    /// The exact iss of its tokens. Its discovery document is fetched from there, unless jwksUrl is given.
    #[schemars(length(min = 1, max = 512))]
    pub issuer: String,
    /// A token must be for one of these.
    #[schemars(length(min = 1, max = 8), inner(length(min = 1, max = 256)))]
    #[x_kube(merge_strategy = ListMerge::Set)]
    pub audiences: Vec<String>,
    /// Where its public keys are. Left out: where its discovery document says.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 512))]
    pub jwks_url: Option<String>,
    /// Its key set itself (RFC 7517), for an issuer that the pods cannot reach. A new key of the issuer has to be put here before it
    /// signs.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 65536))]
    pub jwks: Option<String>,
    /// PEM certificates of the CA of its server. Left out: the public CAs.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 65536))]
    pub ca_bundle: Option<String>,
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
#[derive(Clone, Debug, Deserialize, KubeSchema, PartialEq, Serialize)]
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
    /// What a token may be for. admin has to be allowed here.
    #[serde(default = "default_scopes")]
    #[schemars(length(min = 1, max = 3))]
    #[x_kube(merge_strategy = ListMerge::Set)]
    pub scopes: Vec<Scope>,
}

impl Default for Ceilings {
    fn default() -> Self {
        Self { ttl: None, models: None, limits: None, scopes: default_scopes() }
    }
}

/// A kind of thing that a caller may do.
#[derive(Clone, Copy, Debug, Deserialize, Eq, JsonSchema, Ord, PartialEq, PartialOrd, Serialize)]
#[serde(rename_all = "camelCase")]
pub enum Scope {
    #[expect(missing_docs, reason = "a doc comment on a variant turns the enum into a oneOf in the schema")]
    Execute,
    #[expect(missing_docs, reason = "as above")]
    Models,
    #[expect(missing_docs, reason = "as above")]
    Admin,
}

/// What a token is for unless somebody says otherwise.
pub fn default_scopes() -> Vec<Scope> {
    vec![Scope::Execute, Scope::Models]
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

fn default_issuer() -> String {
    vibectl_config::Jwt::default().issuer
}

fn default_rotate_every() -> Duration {
    Duration::from_hours(720)
}
