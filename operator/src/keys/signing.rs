//! The keys that sign the tokens of one LlmProxy, in the Secret `signing-UID`.
//!
//! Data: `ring.json` says where each key is in its life, `KID.pem` holds the key itself.

use std::collections::{BTreeMap, BTreeSet};

use k8s_openapi::{ByteString, api::core::v1::Secret};
use kube::ResourceExt;
use vibectl_token::{
    Algorithm, KeySet, SigningKey,
    rotation::{Observed, Policy, Ring, Step},
};

use super::{
    KeysError,
    own_secret::{self, Data},
};
use crate::{
    access::Lives,
    api::{LlmProxy, access::SigningAlgorithm},
    context::Context,
    fleet::pods,
    names::{PROXY_ANNOTATION, PROXY_UID_LABEL, REVOKE_KEY_ANNOTATION, signing_secret},
};

const RING: &str = "ring.json";
/// No ring needs more steps than this to come to rest.
const MAX_STEPS: usize = 8;

/// The keys of one LlmProxy.
#[derive(Debug)]
pub struct Signing {
    /// Where each key is in its life.
    pub ring: Ring,
    /// What verifiers are given (RFC 7517).
    pub jwks: String,
    /// When time alone makes the next step; seconds since 1970.
    pub next_step: Option<i64>,
    keys: BTreeMap<String, SigningKey>,
}

impl Signing {
    /// The key that signs now, and the longest life that its tokens may have, in seconds.
    pub fn active(&self) -> Option<(&SigningKey, i64)> {
        let active = self.ring.active()?;
        Some((self.keys.get(&active.kid)?, active.longest_ttl))
    }

    /// Names of the keys that verifiers are given.
    pub fn published(&self) -> BTreeSet<String> {
        self.ring.published().map(str::to_owned).collect()
    }

    /// Reads the Secret.
    pub fn from_secret(secret: &Secret) -> Result<Self, KeysError> {
        let unreadable = |problem: String| KeysError::Unreadable { name: secret.name_any(), problem };
        let ring: Ring = serde_json::from_str(own_secret::text(secret, RING)?)
            .map_err(|error| unreadable(format!("{RING} at line {}", error.line())))?;
        let mut keys = BTreeMap::new();
        for key in ring.keys() {
            let signing = SigningKey::from_pkcs8_pem(own_secret::text(secret, &entry(&key.kid))?)?;
            if signing.kid() != key.kid {
                return Err(unreadable(format!("the key {} is another one", key.kid)));
            }
            keys.insert(key.kid.clone(), signing);
        }
        let public = ring.published().filter_map(|kid| keys.get(kid)).map(|key| key.public_jwk().clone());
        let set = KeySet::from_keys(public).map_err(|error| unreadable(error.to_string()))?;
        Ok(Self { jwks: set.render(), ring, keys, next_step: None })
    }
}

/// The signing keys as the cache has them, for issuing; `None` before the LlmProxy was first reconciled.
pub fn cached(context: &Context, proxy_uid: &str) -> Result<Option<Signing>, KeysError> {
    let name = signing_secret(proxy_uid);
    let secret = context.stores.own_secrets.get(&context.settings.operator_namespace, &name);
    secret.map(|secret| Signing::from_secret(&secret)).transpose()
}

/// Makes every step that is due. The ring is written down after each, before the next.
pub(super) async fn advance(
    context: &Context,
    proxy: &LlmProxy,
    uid: &str,
    lives: &Lives,
) -> Result<Signing, KeysError> {
    let policy = policy(proxy, lives);
    let mut secret = match own_secret::read(context, &signing_secret(uid)).await? {
        Some(secret) => secret.as_ref().clone(),
        None => create(context, proxy, uid, &policy).await?,
    };
    let mut signing = Signing::from_secret(&secret)?;
    if let Some(ring) = without_revoked(proxy, &signing.ring) {
        secret = own_secret::replace(context, &secret, rewritten(&secret, &ring, None)?).await?;
        signing = Signing::from_secret(&secret)?;
        tracing::warn!(proxy_uid = uid, "a signing key was revoked: every token that it signed is refused");
    }
    for _ in 0..MAX_STEPS {
        let now = context.now().as_second();
        let observed = Observed {
            now,
            covered_until: lives.covered_until(now),
            acknowledged: acknowledged(context, proxy, uid, &signing),
        };
        let data = match signing.ring.advance(&policy, observed) {
            Step::Wait { until } => {
                signing.next_step = until;
                break;
            }
            Step::Write(ring) => rewritten(&secret, &ring, None)?,
            Step::Generate(algorithm) => {
                let key = SigningKey::generate(algorithm)?;
                rewritten(&secret, &signing.ring.prepare(key.kid(), algorithm), Some(&key))?
            }
        };
        secret = own_secret::replace(context, &secret, data).await?;
        signing = Signing::from_secret(&secret)?;
        tracing::info!(proxy_uid = uid, keys = signing.ring.keys().len(), "signing keys moved on");
    }
    Ok(signing)
}

/// The ring without the key that the owner of the proxy trusts no more, if it is still there.
fn without_revoked(proxy: &LlmProxy, ring: &Ring) -> Option<Ring> {
    let kid = proxy.annotations().get(REVOKE_KEY_ANNOTATION)?;
    ring.keys().iter().any(|key| key.kid == *kid).then(|| ring.revoke(kid))
}

async fn create(
    context: &Context,
    proxy: &LlmProxy,
    uid: &str,
    policy: &Policy,
) -> Result<Secret, KeysError> {
    let key = SigningKey::generate(policy.algorithm)?;
    let ring = Ring::default().prepare(key.kid(), policy.algorithm);
    let data = rewritten(&Secret::default(), &ring, Some(&key))?;
    let labels = BTreeMap::from([(PROXY_UID_LABEL.to_owned(), uid.to_owned())]);
    let place = format!("{}/{}", proxy.namespace().unwrap_or_default(), proxy.name_any());
    let annotations = BTreeMap::from([(PROXY_ANNOTATION.to_owned(), place)]);
    own_secret::create(context, &signing_secret(uid), labels, annotations, data).await
}

/// The Secret's data with this ring, the keys that it names, and a new one.
fn rewritten(secret: &Secret, ring: &Ring, new: Option<&SigningKey>) -> Result<Data, KeysError> {
    let kept: BTreeSet<_> = ring.keys().iter().map(|key| entry(&key.kid)).collect();
    let mut data = secret.data.clone().unwrap_or_default();
    data.retain(|name, _| kept.contains(name));
    if let Some(key) = new {
        data.insert(entry(key.kid()), ByteString(key.to_pkcs8_pem()?.as_bytes().to_vec()));
    }
    let ring = serde_json::to_vec(ring)
        .map_err(|error| KeysError::Unreadable { name: secret.name_any(), problem: error.to_string() })?;
    data.insert(RING.to_owned(), ByteString(ring));
    Ok(data)
}

/// Whether every pod that serves has exactly the published keys.
fn acknowledged(context: &Context, proxy: &LlmProxy, uid: &str, signing: &Signing) -> bool {
    let pods = pods::of(&context.stores, proxy);
    let serving: Vec<_> = pods::serving(&pods).collect();
    let published = signing.published();
    context.fleet.grants(uid, &serving, |grants| grants.keys == published)
}

fn policy(proxy: &LlmProxy, lives: &Lives) -> Policy {
    let keys = &proxy.spec.access.keys;
    Policy {
        algorithm: match keys.algorithm {
            SigningAlgorithm::Es256 => Algorithm::Es256,
            SigningAlgorithm::EdDsa => Algorithm::EdDsa,
            SigningAlgorithm::Rs256 => Algorithm::Rs256,
        },
        rotate_every: i64::try_from(keys.rotate_every.as_secs_ceil()).unwrap_or(i64::MAX),
        longest_ttl: lives.longest,
    }
}

fn entry(kid: &str) -> String {
    format!("{kid}.pem")
}

#[cfg(test)]
pub(crate) mod tests {
    use vibectl_token::rotation::Stage;

    use super::*;

    /// Keys of which one signs, for tokens that live so many seconds.
    pub(crate) fn signing(longest_ttl: i64) -> Signing {
        Signing::from_secret(&secret(longest_ttl)).unwrap()
    }

    /// The Secret that holds them.
    pub(crate) fn secret(longest_ttl: i64) -> Secret {
        let key = SigningKey::generate(Algorithm::Es256).unwrap();
        let policy = Policy { algorithm: Algorithm::Es256, rotate_every: 86_400, longest_ttl };
        let mut ring = Ring::default().prepare(key.kid(), Algorithm::Es256);
        let observed = Observed { now: 0, acknowledged: true, covered_until: None };
        while let Step::Write(next) = ring.advance(&policy, observed) {
            ring = next;
        }
        assert!(matches!(ring.keys()[0].stage, Stage::Active { .. }));
        let data = rewritten(&Secret::default(), &ring, Some(&key)).unwrap();
        Secret { data: Some(data), ..Secret::default() }
    }

    #[test]
    fn keys_are_read_back_and_none_can_be_printed() {
        let signing = signing(60);

        assert_eq!(signing.published().len(), 1);
        assert_eq!(signing.active().map(|(_, ttl)| ttl), Some(60));
        assert!(!format!("{signing:?}").contains("PRIVATE"));
    }

    #[test]
    fn a_key_under_the_name_of_another_is_not_used() {
        let (mut one, other) = (secret(60), secret(60));
        let name = one.data.as_ref().unwrap().keys().find(|name| *name != RING).cloned().unwrap();
        let foreign = other.data.unwrap().into_iter().find(|(name, _)| name != RING).unwrap().1;
        one.data.as_mut().unwrap().insert(name, foreign);

        assert!(matches!(Signing::from_secret(&one), Err(KeysError::Unreadable { .. })));
    }

    #[test]
    fn keys_that_left_the_ring_leave_the_secret() {
        let secret = secret(60);

        let data = rewritten(&secret, &Ring::default(), None).unwrap();

        assert_eq!(data.keys().collect::<Vec<_>>(), [RING]);
    }
}
