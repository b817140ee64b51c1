//! The part of cert-manager's API that we write and read: its `Certificate`, v1. Its definition is cert-manager's own.

use std::collections::BTreeMap;

use jiff::Timestamp;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use kube::CustomResource;
use serde::{Deserialize, Serialize};

use crate::api::{
    duration::Duration,
    tls::{IssuerRef, PrivateKey, RotationPolicy},
};

/// On the Secrets that it writes: name of the Certificate.
pub const CERTIFICATE_NAME_ANNOTATION: &str = "cert-manager.io/certificate-name";

/// What is asked for.
#[derive(Clone, CustomResource, Debug, Default, Deserialize, PartialEq, Serialize)]
#[kube(
    group = "cert-manager.io",
    version = "v1",
    kind = "Certificate",
    plural = "certificates",
    namespaced,
    status = "CertificateStatus",
    schema = "disabled",
    derive = "PartialEq"
)]
#[serde(rename_all = "camelCase")]
pub struct CertificateSpec {
    /// Where key and certificate go.
    #[serde(default)]
    pub secret_name: String,
    /// Labels for that Secret.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub secret_template: Option<SecretTemplate>,
    /// Alternative names.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub dns_names: Vec<String>,
    /// Alternative names.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub ip_addresses: Vec<String>,
    /// Who signs.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub issuer_ref: Option<IssuerRef>,
    /// How long it is valid.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub duration: Option<Duration>,
    /// How long before its end it is renewed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub renew_before: Option<Duration>,
    /// Of which kind, and whether it stays.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub private_key: Option<CertificateKey>,
    /// What the key may be used for.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub usages: Vec<String>,
    /// How many old requests are kept.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub revision_history_limit: Option<i32>,
}

/// What cert-manager puts on the Secret.
#[derive(Clone, Debug, Default, Deserialize, PartialEq, Serialize)]
pub struct SecretTemplate {
    /// Labels.
    #[serde(default)]
    pub labels: BTreeMap<String, String>,
}

/// The key.
#[derive(Clone, Debug, Default, Deserialize, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct CertificateKey {
    /// `ECDSA`.
    #[serde(default)]
    pub algorithm: String,
    /// In bits.
    #[serde(default)]
    pub size: i32,
    /// Whether a renewal makes a new one.
    #[serde(default)]
    pub rotation_policy: RotationPolicy,
}

impl From<PrivateKey> for CertificateKey {
    fn from(PrivateKey { rotation_policy }: PrivateKey) -> Self {
        // Named in any case: the default was the other one before cert-manager 1.18.
        let rotation_policy = rotation_policy.unwrap_or_default();
        Self { algorithm: "ECDSA".to_owned(), size: 256, rotation_policy }
    }
}

/// How it is doing.
#[derive(Clone, Debug, Default, Deserialize, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct CertificateStatus {
    /// `Ready`, `Issuing`.
    #[serde(default)]
    pub conditions: Vec<CertificateCondition>,
    /// When the next renewal begins.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub renewal_time: Option<Time>,
}

/// Like any condition, but without a generation in old versions.
#[derive(Clone, Debug, Default, Deserialize, PartialEq, Serialize)]
pub struct CertificateCondition {
    /// What it speaks of.
    #[serde(default, rename = "type")]
    pub kind: String,
    /// `True`, `False` or `Unknown`.
    #[serde(default)]
    pub status: String,
    /// For programs.
    #[serde(default)]
    pub reason: String,
    /// For people.
    #[serde(default)]
    pub message: String,
}

/// What cert-manager says of a Certificate.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Progress {
    /// It holds.
    pub ready: bool,
    /// The last attempt to issue failed; cert-manager tries again.
    pub failed: bool,
    /// The same in cert-manager's words.
    pub message: String,
    /// When the next renewal begins.
    pub renewal: Option<Timestamp>,
}

impl Certificate {
    /// What cert-manager says of it.
    pub fn progress(&self) -> Progress {
        let Some(status) = &self.status else {
            let message = "cert-manager has not looked at it yet: is its controller running?".to_owned();
            return Progress { message, ..Progress::default() };
        };
        let find = |kind: &str| status.conditions.iter().find(|condition| condition.kind == kind);
        let (ready, issuing) = (find("Ready"), find("Issuing"));
        let messages = [ready, issuing].into_iter().flatten().map(|condition| condition.message.trim());
        let mut told: Vec<&str> = messages.filter(|message| !message.is_empty()).collect();
        told.dedup();
        Progress {
            ready: ready.is_some_and(|ready| ready.status == "True"),
            failed: issuing.is_some_and(|issuing| issuing.status == "False" && issuing.reason == "Failed"),
            message: told.join("; "),
            renewal: status.renewal_time.as_ref().map(|time| time.0),
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn certificate(status: &serde_json::Value) -> Certificate {
        serde_json::from_value(json!({
            "apiVersion": "cert-manager.io/v1", "kind": "Certificate", "metadata": {"name": "c"},
            "spec": {"secretName": "s", "issuerRef": {"name": "i"}, "somethingNew": {"a": 1}}, "status": status,
        }))
        .unwrap()
    }

    #[test]
    fn the_words_of_cert_manager_are_passed_on_once() {
        let waiting = "Issuing certificate as Secret does not exist";
        let progress = certificate(&json!({"conditions": [
            {"type": "Issuing", "status": "True", "reason": "DoesNotExist", "message": waiting},
            {"type": "Ready", "status": "False", "reason": "DoesNotExist", "message": waiting},
        ]}))
        .progress();

        assert_eq!(progress, Progress { message: waiting.to_owned(), ..Progress::default() });
    }

    #[test]
    fn a_failed_renewal_of_a_good_certificate_is_seen() {
        let progress = certificate(&json!({"renewalTime": "2030-01-01T00:00:00Z", "conditions": [
            {"type": "Ready", "status": "True", "reason": "Ready", "message": "Certificate is up to date"},
            {"type": "Issuing", "status": "False", "reason": "Failed", "message": "the issuer is away"},
        ]}))
        .progress();

        assert!(progress.ready && progress.failed);
        assert_eq!(progress.message, "Certificate is up to date; the issuer is away");
        assert!(progress.renewal.is_some());
    }

    #[test]
    fn a_certificate_that_nobody_looks_at_says_so() {
        assert!(certificate(&serde_json::Value::Null).progress().message.contains("controller running"));
    }
}
