//! The identity of one proxy's fleet port: content of the Secret `NAME-fleet` in the proxy's namespace.

use std::{collections::BTreeMap, fmt};

use aws_lc_rs::rand;
use jiff::Timestamp;
use k8s_openapi::{ByteString, api::core::v1::Secret};
use kube::ResourceExt;
use vibectl_config::mount::{CA_FILE, CERTIFICATE_FILE, KEY_FILE, REVISION_KEY_FILE, RevisionKey};
use vibectl_pki::{IssueRequest, Leaf, Usage};

use super::{
    KeysError,
    fleet_ca::{FleetAuthority, LEAF_VALIDITY, parsed},
};
use crate::{
    api::LlmProxy,
    context::Context,
    names::{ProxyNames, fleet_host},
};

/// What the Secret should hold.
pub struct FleetIdentity {
    /// `tls.crt`, `tls.key`, `ca.crt`, `revision.key`.
    pub data: BTreeMap<String, ByteString>,
    /// The key of this proxy's revisions.
    pub revision_key: RevisionKey,
    /// When the certificate is renewed.
    pub renew_at: Timestamp,
}

impl fmt::Debug for FleetIdentity {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("FleetIdentity").field("renew_at", &self.renew_at).finish_non_exhaustive()
    }
}

/// The identity that the Secret holds, as long as it is good; what is missing, wrong or due is made anew.
pub(super) fn of(
    context: &Context,
    proxy: &LlmProxy,
    uid: &str,
    authority: &FleetAuthority,
) -> Result<FleetIdentity, KeysError> {
    let namespace = proxy.namespace().ok_or(KeysError::NoIdentity)?;
    let name = ProxyNames::of(&proxy.name_any()).fleet();
    let present = context.stores.secrets.get(&namespace, &name).filter(|secret| is_owned(secret, uid));
    identity(present.as_deref(), uid, authority, context.now())
}

fn identity(
    present: Option<&Secret>,
    uid: &str,
    authority: &FleetAuthority,
    now: Timestamp,
) -> Result<FleetIdentity, KeysError> {
    let data = present.and_then(|secret| secret.data.as_ref());
    let bytes = |key: &str| data.and_then(|data| data.get(key)).map(|bytes| bytes.0.as_slice());
    let revision_key = match bytes(REVISION_KEY_FILE).and_then(|bytes| RevisionKey::try_from(bytes).ok()) {
        Some(key) => key,
        None => random_key()?,
    };
    let text = |key: &str| bytes(key).and_then(|bytes| std::str::from_utf8(bytes).ok());
    let pair = text(CERTIFICATE_FILE).zip(text(KEY_FILE));
    let host = fleet_host(uid);
    let good = pair.and_then(|(chain, key)| Leaf::from_pem(chain, key).ok()).filter(|leaf| {
        let facts = leaf.facts();
        facts.lifetime.renew_at() > now
            && facts.names == [host.clone()]
            && facts.issuer_key_id == authority.ca.facts().subject_key_id
    });
    let leaf = if let Some(leaf) = good {
        leaf
    } else {
        let names = parsed(&host)?;
        let request = IssueRequest { names: &names, usage: Usage::Server, validity: LEAF_VALIDITY, now };
        authority.ca.issue(&request)?
    };
    let renew_at = leaf.facts().lifetime.renew_at();
    let entries = [
        (CERTIFICATE_FILE, leaf.chain_pem().into_bytes()),
        (KEY_FILE, leaf.key_pem().as_bytes().to_vec()),
        (CA_FILE, authority.identity.trust.to_pem().into_bytes()),
        (REVISION_KEY_FILE, revision_key.as_bytes().to_vec()),
    ];
    let data = entries.map(|(name, bytes)| (name.to_owned(), ByteString(bytes)));
    Ok(FleetIdentity { data: BTreeMap::from(data), revision_key, renew_at })
}

/// A Secret that somebody else put there is not believed: whoever knows the revision key could probe contents.
fn is_owned(secret: &Secret, uid: &str) -> bool {
    secret.owner_references().iter().any(|owner| owner.controller == Some(true) && owner.uid == uid)
}

fn random_key() -> Result<RevisionKey, KeysError> {
    let mut bytes = [0; RevisionKey::LENGTH];
    rand::fill(&mut bytes).map_err(|_| KeysError::Random)?;
    Ok(RevisionKey::new(bytes))
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use vibectl_pki::{Ca, Names, TrustBundle};

    use super::*;
    use crate::keys::fleet_ca::OperatorIdentity;

    fn authority(now: Timestamp) -> FleetAuthority {
        let validity = Duration::from_secs(10 * 365 * 86_400);
        let ca =
            Ca::constrained("fleet", &Names::parse(["fleet.vibectl.dev"]).unwrap(), validity, now).unwrap();
        let names = Names::parse(["operator.fleet.vibectl.dev"]).unwrap();
        let leaf = ca
            .issue(&IssueRequest { names: &names, usage: Usage::Client, validity: LEAF_VALIDITY, now })
            .unwrap();
        let trust = TrustBundle::from_pem(&ca.chain_pem()).unwrap();
        FleetAuthority { ca, identity: OperatorIdentity { leaf, trust } }
    }

    fn secret(identity: &FleetIdentity) -> Secret {
        Secret { data: Some(identity.data.clone()), ..Secret::default() }
    }

    #[test]
    fn a_good_identity_is_kept_and_one_that_is_due_is_renewed_with_the_same_revision_key() {
        let start = Timestamp::from_second(1_800_000_000).unwrap();
        let authority = authority(start);
        let first = identity(None, "uid-1", &authority, start).unwrap();

        let same = identity(Some(&secret(&first)), "uid-1", &authority, start).unwrap();
        let renewed = identity(Some(&secret(&first)), "uid-1", &authority, first.renew_at).unwrap();

        assert_eq!(same.data, first.data);
        assert_ne!(renewed.data["tls.crt"], first.data["tls.crt"]);
        assert_eq!(renewed.data["revision.key"], first.data["revision.key"]);
        assert!(renewed.renew_at > first.renew_at);
    }

    #[test]
    fn an_identity_of_another_proxy_or_another_ca_is_replaced() {
        let start = Timestamp::from_second(1_800_000_000).unwrap();
        let (old, new) = (authority(start), authority(start));
        let first = identity(None, "uid-1", &old, start).unwrap();

        let other_proxy = identity(Some(&secret(&first)), "uid-2", &old, start).unwrap();
        let other_ca = identity(Some(&secret(&first)), "uid-1", &new, start).unwrap();

        assert_ne!(other_proxy.data["tls.crt"], first.data["tls.crt"]);
        assert_ne!(other_ca.data["tls.crt"], first.data["tls.crt"]);
        assert_ne!(other_ca.data["ca.crt"], first.data["ca.crt"]);
    }
}
