//! Every name that the operator gives: labels, annotations, field managers, objects, ports.

use std::collections::BTreeMap;

use aws_lc_rs::digest::{SHA256, digest};

/// Field manager of the objects we make.
pub const FIELD_MANAGER: &str = "vibectl-operator";
/// Field manager of status.
pub const STATUS_FIELD_MANAGER: &str = "vibectl-operator-status";

/// Names the LlmProxy that an object belongs to.
pub const PROXY_LABEL: &str = "vibectl.dev/proxy";
/// UID of the LlmProxy that an object without an owner belongs to: what is in the operator's namespace, and what others make
/// at our request.
pub const PROXY_UID_LABEL: &str = "vibectl.dev/proxy-uid";
/// UID of the ProxyToken that a Secret belongs to.
pub const TOKEN_UID_LABEL: &str = "vibectl.dev/token-uid";
/// Hash of the pod template that a pod or a config belongs to.
pub const TEMPLATE_LABEL: &str = "vibectl.dev/template";
/// On a pod: revision and attempt, so that the kubelet refreshes what is mounted.
pub const REVISION_ANNOTATION: &str = "vibectl.dev/revision";
/// On what we apply: digest of what we applied last, so that fields we no longer want are seen.
pub const APPLIED_ANNOTATION: &str = "vibectl.dev/applied";
/// On an LlmProxy: "true" lets an access table go that lost more than half of its rows.
pub const ALLOW_SHRINK_ANNOTATION: &str = "vibectl.dev/allow-access-table-shrink";

/// On the Deployment of a proxy: how its pods are secured.
pub const TLS_ANNOTATION: &str = "vibectl.dev/tls";
/// On the ConfigMap with the bundle: since when clients can read just this.
pub const PUBLISHED_ANNOTATION: &str = "vibectl.dev/published";
/// On an LlmProxy: the fingerprint of a CA that must not be trusted any longer. It goes at once, without overlap.
pub const DISTRUST_CA_ANNOTATION: &str = "vibectl.dev/distrust-ca";
/// On a ProxyToken: a moment (RFC 3339); credentials issued before it are refused, as with `spec.revokedBefore`.
pub const REVOKED_BEFORE_ANNOTATION: &str = "vibectl.dev/revoked-before";
/// On an LlmProxy: the kid of a signing key that is trusted no more. Every token that it signed is refused.
pub const REVOKE_KEY_ANNOTATION: &str = "vibectl.dev/revoke-key";

/// What the list of issuers calls the cluster's own, which issues the tokens of service accounts.
pub const CLUSTER_ISSUER: &str = "kubernetes";

/// The audience that tokens of service accounts must be for. Readable, so that it can be written into a pod before the
/// proxy exists; no other proxy has the same, and no API server accepts it.
pub fn audience_for_service_accounts(namespace: &str, proxy: &str) -> String {
    format!("vibectl.dev/{namespace}/{proxy}")
}

/// On Secrets in the operator's namespace: `namespace/name` of the LlmProxy.
pub const PROXY_ANNOTATION: &str = "vibectl.dev/proxy";

/// Says that an object is ours, with the value [`MANAGED_BY`].
pub const MANAGED_BY_LABEL: &str = "app.kubernetes.io/managed-by";
/// Value of `app.kubernetes.io/name` on everything of a proxy.
pub const APP_NAME: &str = "vibectl-server";
/// Value of `app.kubernetes.io/managed-by`.
pub const MANAGED_BY: &str = "vibectl-operator";
/// Labels that find the objects of any proxy.
pub const MANAGED_SELECTOR: &str = "app.kubernetes.io/managed-by=vibectl-operator";

/// Port of the service, in the pod.
pub const SERVICE_PORT: i32 = 50051;
/// Port of health and metrics.
pub const ADMIN_PORT: i32 = 9095;
/// Port of the fleet service.
pub const FLEET_PORT: i32 = 9443;
/// Port of the answers to http-01 challenges.
pub const CHALLENGE_PORT: i32 = 8080;

/// Longest name of a Service, and of anything whose name becomes a label value.
pub const MAX_NAME: usize = 63;

/// Names of the objects of one LlmProxy.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct ProxyNames {
    proxy: String,
}

impl ProxyNames {
    /// Names for the LlmProxy called so.
    pub fn of(proxy: &str) -> Self {
        Self { proxy: proxy.to_owned() }
    }

    /// Name of the LlmProxy itself, and of ServiceAccount, Deployment, Service, PodDisruptionBudget and NetworkPolicy.
    pub fn base(&self) -> String {
        fitting(&self.proxy, "")
    }

    /// ConfigMap with the config for pods of one template.
    pub fn config(&self, template_hash: &str) -> String {
        fitting(&self.proxy, &format!("-config-{template_hash}"))
    }

    /// ConfigMap with the public CA bundle.
    pub fn ca_bundle(&self) -> String {
        fitting(&self.proxy, "-ca")
    }

    /// Secret with the CA's private key.
    pub fn ca_key(&self) -> String {
        fitting(&self.proxy, "-ca-key")
    }

    /// Secret with the self-signed certificate and its key.
    pub fn self_signed(&self) -> String {
        fitting(&self.proxy, "-self-signed")
    }

    /// cert-manager's Certificate, and the Secret that it fills.
    pub fn serving(&self) -> String {
        fitting(&self.proxy, "-serving")
    }

    /// Secret with the certificate that the operator got from an ACME server, ConfigMap with the answers to its challenges, and
    /// the Service by which it asks for them.
    pub fn acme(&self) -> String {
        fitting(&self.proxy, "-acme")
    }

    /// ConfigMap with the public keys of tokens.
    pub fn jwks(&self) -> String {
        fitting(&self.proxy, "-jwks")
    }

    /// Secret with one shard of the access table.
    pub fn access_shard(&self, shard: usize) -> String {
        fitting(&self.proxy, &format!("-access-{shard}"))
    }

    /// Secret with the identity of the fleet port and the revision key.
    pub fn fleet(&self) -> String {
        fitting(&self.proxy, "-fleet")
    }

    /// Labels of every object of the proxy.
    pub fn labels(&self) -> BTreeMap<String, String> {
        let mut labels = self.selector();
        labels.insert(MANAGED_BY_LABEL.into(), MANAGED_BY.into());
        labels.insert(PROXY_LABEL.into(), self.base());
        labels
    }

    /// Labels that select the pods; never changed, since a Deployment's selector cannot be.
    pub fn selector(&self) -> BTreeMap<String, String> {
        BTreeMap::from([
            ("app.kubernetes.io/name".into(), APP_NAME.into()),
            ("app.kubernetes.io/instance".into(), self.base()),
        ])
    }

    /// Label query for everything of this proxy.
    pub fn label_query(&self) -> String {
        format!("{MANAGED_SELECTOR},{PROXY_LABEL}={}", self.base())
    }
}

/// Secret with the signing keys of an LlmProxy, in the operator's namespace.
pub fn signing_secret(proxy_uid: &str) -> String {
    format!("signing-{proxy_uid}")
}

/// Secret with the account at this ACME server, the order and the certificate of an LlmProxy, in the operator's namespace.
pub fn acme_secret(proxy_uid: &str, directory_url: &str) -> String {
    format!("{ACME_SECRETS}{proxy_uid}-{}", short_hash(directory_url.as_bytes()))
}

/// How the names of all these begin.
pub const ACME_SECRETS: &str = "acme-";

/// Secret with the fleet CA and the operator's own identity, in the operator's namespace.
pub const FLEET_CA_SECRET: &str = "vibectl-fleet-ca";
/// Lease of the leader, in the operator's namespace.
pub const LEASE: &str = "vibectl-operator";

/// Name that the fleet certificate of a proxy is verified by.
pub fn fleet_host(proxy_uid: &str) -> String {
    format!("{proxy_uid}.fleet.vibectl.dev")
}

/// `stem` and `suffix` together, the stem cut and told apart by a hash where both do not fit.
fn fitting(stem: &str, suffix: &str) -> String {
    if stem.len() + suffix.len() <= MAX_NAME {
        return format!("{stem}{suffix}");
    }
    let hash = short_hash(stem.as_bytes());
    let room = MAX_NAME.saturating_sub(suffix.len() + hash.len() + 1);
    let kept: String = stem.chars().take(room).collect();
    format!("{}-{hash}{suffix}", kept.trim_end_matches(['-', '.']))
}

/// The first bytes of the SHA-256 in hex.
pub(crate) fn short_digest(bytes: &[u8], length: usize) -> String {
    let digest = digest(&SHA256, bytes);
    let nibbles = digest.as_ref().iter().take(length).flat_map(|byte| [byte >> 4, byte & 0xf]);
    nibbles.filter_map(|nibble| char::from_digit(u32::from(nibble), 16)).collect()
}

/// The first eight hex digits of the SHA-256: enough to tell names apart, no use for anything else.
pub fn short_hash(bytes: &[u8]) -> String {
    short_digest(bytes, 4)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn short_names_stay_readable() {
        let names = ProxyNames::of("team");

        assert_eq!(names.base(), "team");
        assert_eq!(names.config("0123abcd"), "team-config-0123abcd");
        assert_eq!(names.access_shard(3), "team-access-3");
    }

    #[test]
    fn long_names_fit_and_stay_apart() {
        let [one, other] = ["a", "b"].map(|end| ProxyNames::of(&format!("{}{end}", "x".repeat(62))));

        for name in [one.base(), one.config("0123abcd"), one.access_shard(0), one.fleet(), one.ca_key()] {
            assert!(name.len() <= MAX_NAME, "{name}");
        }
        assert_ne!(one.fleet(), other.fleet());
        assert!(one.fleet().ends_with("-fleet"));
    }
}
