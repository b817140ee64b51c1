//! How the endpoint is secured: one field, one choice.

use kube::KubeSchema;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::api::{
    duration::Duration,
    reference::{SecretKey, SecretName},
};

/// The certificate mode. No mode ever falls back to a weaker one.
#[derive(Clone, Debug, Default, Deserialize, KubeSchema, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
#[x_kube(validation = (
    "[has(self.plaintext), has(self.selfSigned), has(self.privateCa), has(self.certManager), has(self.acme), has(self.secret)].filter(x, x).size() == 1",
    "tls needs exactly one of plaintext, selfSigned, privateCa, certManager, acme, secret"
))]
pub struct Tls {
    /// No TLS: tokens and prompts travel readable. For meshes and for trying out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub plaintext: Option<Plaintext>,
    /// One self-signed certificate for all replicas, made and kept by the operator, which clients trust as it is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub self_signed: Option<SelfSigned>,
    /// A certificate authority of this proxy's own, made and kept by the operator or taken from a Secret. The default.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub private_ca: Option<PrivateCa>,
    /// A certificate that cert-manager issues and renews.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cert_manager: Option<CertManager>,
    /// A certificate that the operator orders from an ACME server such as Let's Encrypt, one for all replicas, for spec.hosts.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub acme: Option<Acme>,
    /// A Secret with tls.crt and tls.key; ca.crt, if there, is passed on to the clients.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub secret: Option<SecretName>,
}

impl Tls {
    /// The Secret that is named, whatever for.
    pub fn named_secret(&self) -> Option<&str> {
        let ca = self.private_ca.as_ref().and_then(|chosen| chosen.secret.as_ref());
        self.secret.as_ref().or(ca).map(|secret| secret.name.as_str())
    }

    /// Whether the Service's names are in the certificate.
    pub fn has_service_names(&self) -> bool {
        let ordered = self.cert_manager.as_ref().and_then(|chosen| chosen.service_names).unwrap_or(true);
        self.acme.is_none() && ordered
    }

    /// Nothing is chosen, so it is `privateCa`. Not a default of the schema: the stored default would stay beside a later choice,
    /// since whoever applies that choice does not own the default, and two choices are refused.
    pub fn is_left_out(&self) -> bool {
        *self == Self::default()
    }
}

/// No TLS.
#[derive(Clone, Debug, Default, Deserialize, KubeSchema, PartialEq, Serialize)]
pub struct Plaintext {}

/// A certificate authority of the proxy's own.
#[derive(Clone, Debug, Default, Deserialize, KubeSchema, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
#[x_kube(
    validation = (
        "!has(self.secret) || !has(self.validity)",
        "privateCa.validity is of a CA that the operator makes: leave it out with privateCa.secret"
    ),
    validation = (OVERLAP_RULE, "privateCa.validity (8760h when left out) must be at least five times privateCa.clientRefresh (24h when left out)")
)]
pub struct PrivateCa {
    /// A CA of your own: a Secret with tls.crt and tls.key, and ca.crt with the CAs above it where there are any. Its key reaches the
    /// init container of the pods only. Left out: the operator makes a CA that can issue for this proxy's names alone.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub secret: Option<SecretName>,
    /// How long the CA lives, which is replaced at two thirds of that. Left out: 8760h.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[x_kube(validation = ("duration(self) >= duration('1h') && duration(self) <= duration('87600h')", "privateCa.validity must be between 1h and 87600h"))]
    pub validity: Option<Duration>,
    /// The longest time that a client takes to read ca.crt again. A new CA is published so long before it issues, and the old one so
    /// long after. Left out: 24h.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[x_kube(validation = (REFRESH_RULE, "privateCa.clientRefresh must be between 1s and 720h"))]
    pub client_refresh: Option<Duration>,
}

/// A self-signed certificate.
#[derive(Clone, Copy, Debug, Default, Deserialize, KubeSchema, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
#[x_kube(validation = (OVERLAP_RULE, "selfSigned.validity (8760h when left out) must be at least five times selfSigned.clientRefresh (24h when left out)"))]
pub struct SelfSigned {
    /// How long a certificate lives, which is replaced at two thirds of that. Left out: 8760h.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[x_kube(validation = ("duration(self) >= duration('1h') && duration(self) <= duration('87600h')", "selfSigned.validity must be between 1h and 87600h"))]
    pub validity: Option<Duration>,
    /// The longest time that a client takes to read ca.crt again. A new certificate is published so long before it is served, and the
    /// old one so long after. Left out: 24h.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[x_kube(validation = (REFRESH_RULE, "selfSigned.clientRefresh must be between 1s and 720h"))]
    pub client_refresh: Option<Duration>,
    /// The key of the certificate.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub private_key: Option<PrivateKey>,
}

const REFRESH_RULE: &str = "duration(self) >= duration('1s') && duration(self) <= duration('720h')";
/// Two thirds pass before the successor is made, and it must be known before nine tenths have.
const OVERLAP_RULE: &str = "(has(self.validity) ? duration(self.validity) : duration('8760h')) >= (has(self.clientRefresh) ? duration(self.clientRefresh) + duration(self.clientRefresh) + duration(self.clientRefresh) + duration(self.clientRefresh) + duration(self.clientRefresh) : duration('120h'))";

/// A `Certificate` of cert-manager, which the operator writes and keeps.
///
/// Without defaults in the schema, as everything that is one of several choices: a stored default would stay behind when a
/// server-side apply chooses another.
#[derive(Clone, Debug, Deserialize, KubeSchema, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
#[x_kube(validation = (
    "!has(self.renewBefore) || duration(self.renewBefore) < (has(self.duration) ? duration(self.duration) : duration('2160h'))",
    "certManager.renewBefore must be shorter than certManager.duration (2160h when left out)"
))]
pub struct CertManager {
    /// Who signs.
    pub issuer_ref: IssuerRef,
    /// How long each certificate is valid, if the issuer agrees. Left out: cert-manager's 2160h.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[x_kube(validation = ("duration(self) >= duration('1h') && duration(self) <= duration('87600h')", "certManager.duration must be between 1h and 87600h"))]
    pub duration: Option<Duration>,
    /// How long before its end a certificate is renewed. Left out: cert-manager's third of the lifetime.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[x_kube(validation = ("duration(self) >= duration('5m') && duration(self) <= duration('87600h')", "certManager.renewBefore must be between 5m and 87600h"))]
    pub renew_before: Option<Duration>,
    /// The key of the certificate.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub private_key: Option<PrivateKey>,
    /// Whether the Service's names are in the certificate; left out: they are. A public CA issues for none of them: set it to
    /// false and name spec.hosts; clients are then told the first of these.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub service_names: Option<bool>,
}

/// An issuer of cert-manager.
#[derive(Clone, Debug, Deserialize, KubeSchema, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct IssuerRef {
    /// Name of the issuer.
    #[schemars(length(min = 1, max = 253), regex(pattern = r"^[a-z0-9]([-a-z0-9.]*[a-z0-9])?$"))]
    pub name: String,
    /// Issuer (when left out), which is looked for in the proxy's namespace; `ClusterIssuer`; or a kind of the group.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 63), regex(pattern = r"^[A-Z][A-Za-z0-9]*$"))]
    pub kind: Option<String>,
    /// API group of the kind. Left out: cert-manager.io.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 253), regex(pattern = r"^[a-z0-9]([-a-z0-9.]*[a-z0-9])?$"))]
    pub group: Option<String>,
}

/// An order with an ACME server (RFC 8555).
///
/// Without defaults in the schema, for the reason that `CertManager` has.
#[derive(Clone, Debug, Default, Deserialize, KubeSchema, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Acme {
    /// Contact of the account, for notices of the ACME server.
    #[schemars(length(min = 3, max = 254), regex(pattern = r"^[^\s@,<>?]+@[^\s@,<>?]+$"))]
    pub email: String,
    /// Whether you accept the terms of service of the ACME server. Needed.
    #[x_kube(validation = ("self", "acme.termsOfServiceAgreed must be true: accept the terms of service of the ACME server (Let's Encrypt: https://letsencrypt.org/repository/)"))]
    pub terms_of_service_agreed: bool,
    /// The ACME server. Left out: `https://acme-v02.api.letsencrypt.org/directory`. For trying out:
    /// `https://acme-staging-v02.api.letsencrypt.org/directory`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 9, max = 2048), regex(pattern = r"^https://[^\s/@?#]+(/\S*)?$"))]
    pub directory_url: Option<String>,
    /// The CA of the ACME server's own address, PEM, in place of the well-known ones.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ca_bundle: Option<SecretKey>,
    /// How the hosts are proven: http-01 (when left out) on port 80, or tls-alpn-01 on port 443.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub challenge: Option<Challenge>,
    /// Binds the account to one that you have with the owner of the ACME server, where that is wanted.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub external_account: Option<ExternalAccount>,
}

impl Acme {
    /// The Secrets that are named.
    pub fn named_keys(&self) -> impl Iterator<Item = &SecretKey> {
        self.ca_bundle.iter().chain(self.external_account.as_ref().map(|account| &account.key))
    }
}

/// How hosts are proven.
#[derive(Clone, Copy, Debug, Default, Deserialize, Eq, JsonSchema, PartialEq, Serialize)]
pub enum Challenge {
    #[default]
    #[serde(rename = "http-01")]
    #[expect(missing_docs, reason = "a doc comment on a variant turns the enum into a oneOf in the schema")]
    Http01,
    #[serde(rename = "tls-alpn-01")]
    #[expect(missing_docs, reason = "as above")]
    TlsAlpn01,
}

/// An external account (RFC 8555, 7.3.4).
#[derive(Clone, Debug, Deserialize, KubeSchema, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct ExternalAccount {
    /// Name of the key that the owner of the ACME server handed out.
    #[schemars(length(min = 1, max = 512))]
    pub key_id: String,
    /// That key, in base64url as it is handed out.
    pub key: SecretKey,
}

/// What becomes of a key when its certificate is renewed.
#[derive(Clone, Copy, Debug, Default, Deserialize, Eq, KubeSchema, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct PrivateKey {
    /// Always (when left out): each renewal makes a new key. Never: the key stays, and so does the public-key pin in the status.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rotation_policy: Option<RotationPolicy>,
}

/// When a key is replaced.
#[derive(Clone, Copy, Debug, Default, Deserialize, Eq, JsonSchema, PartialEq, Serialize)]
pub enum RotationPolicy {
    #[default]
    #[expect(missing_docs, reason = "a doc comment on a variant turns the enum into a oneOf in the schema")]
    Always,
    #[expect(missing_docs, reason = "as above")]
    Never,
}
