//! Reads what the spec names, and the pair that cert-manager or we ourselves were asked for. Only Secrets of the proxy's own namespace, only these keys.

use std::collections::{BTreeMap, BTreeSet};

use futures::{StreamExt, TryStreamExt, stream};
use k8s_openapi::api::core::v1::Secret;
use kube::{Api, Client, ResourceExt};
use vibectl_config::mount::{CA_FILE, CERTIFICATE_FILE, KEY_FILE};
use zeroize::Zeroizing;

use crate::{
    api::{
        LlmProxy, LlmProxySpec,
        provider::Provider,
        reference::SecretKey,
        tls::{Acme, Tls},
    },
    cert_manager::CERTIFICATE_NAME_ANNOTATION,
    error::Error,
    names::{PROXY_UID_LABEL, ProxyNames},
};

/// How many Secrets are read at a time.
const CONCURRENT_READS: usize = 4;

/// One key of a Secret, as found.
#[derive(Clone, PartialEq)]
pub enum Lookup {
    /// Its value.
    Found(Zeroizing<Vec<u8>>),
    /// There is no such Secret.
    NoSecret,
    /// The Secret lacks the key.
    NoKey,
}

/// What the spec names, as found: every named key has an entry.
#[derive(Clone, Default)]
pub struct Referenced {
    keys: BTreeMap<SecretKey, Lookup>,
    stranger: bool,
}

impl Referenced {
    /// What was found under the key; a key that was not asked for counts as absent.
    pub fn lookup(&self, key: &SecretKey) -> &Lookup {
        self.keys.get(key).unwrap_or(&Lookup::NoSecret)
    }

    /// Where the ordered pair should be there is a Secret already, and not one that was written for this proxy.
    pub fn has_stranger(&self) -> bool {
        self.stranger
    }

    /// The same without this Secret.
    #[cfg(test)]
    pub(crate) fn without(mut self, secret: &str) -> Self {
        self.keys.retain(|key, _| key.name != secret);
        self
    }

    /// The same with a Secret of somebody else where the ordered pair should be.
    #[must_use]
    pub fn with_stranger(self, stranger: bool) -> Self {
        Self { stranger, ..self }
    }
}

impl FromIterator<(SecretKey, Lookup)> for Referenced {
    fn from_iter<I: IntoIterator<Item = (SecretKey, Lookup)>>(keys: I) -> Self {
        Self { keys: keys.into_iter().collect(), stranger: false }
    }
}

/// Reads what the proxy names. What is missing is an answer, not an error.
pub async fn dereference(client: &Client, proxy: &LlmProxy) -> Result<Referenced, Error> {
    let namespace = proxy.namespace().ok_or(Error::Incomplete("metadata.namespace"))?;
    let secrets = Api::<Secret>::namespaced(client.clone(), &namespace);
    let keys = named_keys(proxy);
    let names: BTreeSet<String> = keys.iter().map(|key| key.name.clone()).collect();
    let found: BTreeMap<String, Option<Secret>> = stream::iter(names)
        .map(|name| read(&secrets, name))
        .buffer_unordered(CONCURRENT_READS)
        .try_collect()
        .await?;
    let ordered = ordered_secret(proxy).and_then(|name| found.get(&name)?.as_ref());
    let stranger = ordered.is_some_and(|secret| !is_ordered_by(secret, proxy));
    let referenced: Referenced = keys
        .into_iter()
        .map(|key| (key.clone(), lookup(found.get(&key.name).and_then(Option::as_ref), &key.key)))
        .collect();
    Ok(referenced.with_stranger(stranger))
}

/// Every key of a Secret that is needed: those that the spec names, and those of the ordered pair.
pub fn named_keys(proxy: &LlmProxy) -> BTreeSet<SecretKey> {
    let LlmProxySpec { providers, tls, access, .. } = &proxy.spec;
    let providers = providers.iter().flat_map(Provider::secret_keys).cloned();
    let acme = tls.acme.iter().flat_map(Acme::named_keys).cloned();
    let pairs = tls.named_secret().map(str::to_owned).into_iter().chain(ordered_secret(proxy));
    let tls = pairs.flat_map(|name| {
        [CERTIFICATE_FILE, KEY_FILE, CA_FILE].map(|key| SecretKey { name: name.clone(), key: key.to_owned() })
    });
    let migration = access.migration.iter().map(|migration| migration.secret.clone());
    providers.chain(acme).chain(tls).chain(migration).collect()
}

/// The Secret with the pair that is ordered, from cert-manager or from an ACME server.
pub fn ordered_secret(proxy: &LlmProxy) -> Option<String> {
    let names = ProxyNames::of(&proxy.name_any());
    match &proxy.spec.tls {
        Tls { cert_manager: Some(_), .. } => Some(names.serving()),
        Tls { acme: Some(_), .. } => Some(names.acme()),
        _ => None,
    }
}

/// Ours by its owner. cert-manager's by our label, which it puts on it, or by its own annotation, which is there first.
fn is_ordered_by(secret: &Secret, proxy: &LlmProxy) -> bool {
    if proxy.spec.tls.acme.is_some() {
        let uid = proxy.metadata.uid.as_ref();
        let owners = secret.owner_references().iter();
        return owners.filter(|owner| owner.controller == Some(true)).any(|owner| Some(&owner.uid) == uid);
    }
    let certificate = ProxyNames::of(&proxy.name_any()).serving();
    let labelled = secret.labels().get(PROXY_UID_LABEL);
    proxy.metadata.uid.as_ref().is_some_and(|uid| labelled == Some(uid))
        || secret.annotations().get(CERTIFICATE_NAME_ANNOTATION) == Some(&certificate)
}

async fn read(secrets: &Api<Secret>, name: String) -> Result<(String, Option<Secret>), Error> {
    let secret = secrets.get_opt(&name).await.map_err(Error::api("read", format!("Secret {name}")))?;
    Ok((name, secret))
}

fn lookup(secret: Option<&Secret>, key: &str) -> Lookup {
    let Some(secret) = secret else { return Lookup::NoSecret };
    match secret.data.as_ref().and_then(|data| data.get(key)) {
        Some(value) => Lookup::Found(Zeroizing::new(value.0.clone())),
        None => Lookup::NoKey,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::llm_proxy::fixtures;

    #[test]
    fn only_what_is_named_is_read() {
        let proxy = fixtures::proxy("providers");

        let names: Vec<String> =
            named_keys(&proxy).into_iter().map(|key| format!("{}/{}", key.name, key.key)).collect();

        assert_eq!(names, ["llama-key/api-key", "openai/ca.crt", "openai/key"]);
    }
}
