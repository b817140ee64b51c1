//! How the endpoint is secured: one field, one choice.

use kube::KubeSchema;
use serde::{Deserialize, Serialize};

use crate::api::reference::{NotAvailableYet, SecretName};

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
    /// Not available yet.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub self_signed: Option<NotAvailableYet>,
    /// A certificate authority of this proxy's own, made and kept by the operator. The default.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub private_ca: Option<PrivateCa>,
    /// Not available yet.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cert_manager: Option<NotAvailableYet>,
    /// Not available yet.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub acme: Option<NotAvailableYet>,
    /// A Secret with tls.crt and tls.key; ca.crt, if there, is passed on to the clients.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub secret: Option<SecretName>,
}

impl Tls {
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
pub struct PrivateCa {}
