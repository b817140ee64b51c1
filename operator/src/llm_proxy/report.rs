//! From what was built and seen to status. Pure; the one write happens on a difference only.

mod certificate;
mod findings;
pub mod migration;

use std::collections::{BTreeMap, BTreeSet};

use jiff::Timestamp;
use kube::{
    Api, Client, Resource, ResourceExt,
    api::{Patch, PatchParams},
};
use serde_json::json;

use crate::{
    api::{
        LlmProxy, LlmProxyStatus,
        conditions::{self, ConditionType, Finding, Reason, State},
        llm_proxy::ProviderStatus,
        reference::SecretKey,
    },
    error::Error,
    llm_proxy::{
        authority::Trouble,
        build::{Applied, Resources},
        endpoint::Endpoint,
        gather::Order,
        switch::Hold,
        validate::{Provider, Refusal, Unresolved, ValidatedProxy},
    },
    names::{ProxyNames, STATUS_FIELD_MANAGER},
};

pub use self::certificate::{Served, has_trouble};

/// What is known beside the objects: what the pods tell, and what was decided on the way.
#[derive(Clone, Debug, Default)]
pub struct Seen {
    /// The certificate that pods serve with, as they report it.
    pub certificate: Option<Served>,
    /// With `tls.certManager` and `tls.acme`: how the order is doing.
    pub order: Option<Order>,
    /// Ready pods that do not show the newest revision yet.
    pub waiting: Vec<String>,
    /// Ready pods that cannot be asked, with the reason.
    pub unreachable: Vec<String>,
    /// Pods that refused the newest content, with what they say.
    pub rejected: Vec<String>,
    /// Providers that a ready pod does not use, with the reason.
    pub providers_off: BTreeMap<String, String>,
    /// Providers that told a ready pod that they do not accept its key.
    pub keys_refused: BTreeSet<String>,
    /// ProxyTokens that have a row.
    pub tokens: usize,
    /// Subjects of a former server, with their ProxyTokens, that have no row.
    pub without_row: Vec<String>,
    /// Why the access table is held back, if it is.
    pub access_held: Option<String>,
    /// The pods are still secured by something else than the spec says.
    pub hold: Option<Hold>,
    /// Why a roll-over waits, or what a person has to do for it.
    pub trouble: Option<Trouble>,
    /// SHA-256 of the active CA's certificate, or of the self-signed one.
    pub ca_fingerprint: Option<String>,
    /// Revision of everything together.
    pub revision: Option<String>,
}

/// The status of a proxy whose objects are in the cluster.
pub fn report(
    proxy: &LlmProxy,
    validated: &ValidatedProxy,
    resources: &Resources<Applied>,
    seen: &Seen,
    now: Timestamp,
) -> LlmProxyStatus {
    let previous = proxy.status.clone().unwrap_or_default();
    let pods = resources.deployment.status.clone().unwrap_or_default();
    let served = certificate::served(validated, seen, previous.certificate.clone());
    let found = findings::findings(validated, resources, seen, served.as_ref(), now);
    LlmProxyStatus {
        observed_generation: proxy.metadata.generation,
        conditions: conditions::merge(&previous.conditions, found, proxy.metadata.generation, now),
        endpoint: Some(Endpoint::of(proxy).url()),
        replicas: pods.replicas.unwrap_or(0),
        ready_replicas: pods.ready_replicas.unwrap_or(0),
        selector: Some(selector(&validated.names)),
        models: i32::try_from(validated.models.len()).unwrap_or(i32::MAX),
        tokens: i32::try_from(seen.tokens).unwrap_or(i32::MAX),
        certificate: served.map(|served| served.status),
        ca_fingerprint: seen.ca_fingerprint.clone(),
        revision: seen.revision.clone(),
        providers: validated.providers.iter().map(|known| provider(known, seen)).collect(),
    }
}

/// The status of a proxy whose spec only its author can mend. What runs is left as it is, and so is what was told of it.
pub fn refused(proxy: &LlmProxy, refusal: &Refusal, now: Timestamp) -> LlmProxyStatus {
    let found = [ConditionType::Accepted, ConditionType::Ready].map(|kind| refusal.finding(kind));
    with_conditions(proxy, found, now)
}

/// The status of a proxy at which a reconcile failed.
pub fn failed(proxy: &LlmProxy, error: &Error, now: Timestamp) -> LlmProxyStatus {
    let kind = match error {
        Error::Conflict { .. } => ConditionType::Accepted,
        Error::Authority(_) => ConditionType::CertificateReady,
        Error::Api { .. }
        | Error::Incomplete(_)
        | Error::Render(_)
        | Error::Encode(_)
        | Error::Keys(_)
        | Error::Access(_) => ConditionType::Progressing,
    };
    with_conditions(proxy, [Finding::no(kind, error.reason(), error.chain())], now)
}

/// What an Event tells.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct News {
    /// Whether it went as wished.
    pub good: bool,
    /// The reason of the summary.
    pub reason: String,
    /// Its message.
    pub message: String,
}

/// What has changed of the summary, of the certificate and of a migration.
pub fn news(before: Option<&LlmProxyStatus>, after: &LlmProxyStatus) -> Vec<News> {
    let news = [summary_news, certificate::news, migration::news];
    news.into_iter().filter_map(|news| news(before, after)).collect()
}

/// That a new proxy has no pods yet is no news.
fn summary_news(before: Option<&LlmProxyStatus>, after: &LlmProxyStatus) -> Option<News> {
    let summary = conditions::find(&after.conditions, ConditionType::Ready)?;
    let good = summary.status == State::True.as_str();
    let same = before
        .and_then(|before| conditions::find(&before.conditions, ConditionType::Ready))
        .map_or(summary.reason == Reason::NoReadyReplicas.as_str(), |before| {
            before.status == summary.status && before.reason == summary.reason
        });
    (!same).then(|| News { good, reason: summary.reason.clone(), message: summary.message.clone() })
}

/// Writes the status if it differs from the one that was read; tells whether it did.
pub async fn write(client: &Client, proxy: &LlmProxy, status: &LlmProxyStatus) -> Result<bool, Error> {
    if proxy.status.as_ref() == Some(status) {
        return Ok(false);
    }
    let name = proxy.name_any();
    let namespace = proxy.namespace().ok_or(Error::Incomplete("metadata.namespace"))?;
    let patch = json!({
        "apiVersion": LlmProxy::api_version(&()),
        "kind": LlmProxy::kind(&()),
        // The UID makes the write fail for an object that was made again under the same name.
        "metadata": {"name": name, "namespace": namespace, "uid": proxy.uid()},
        "status": status,
    });
    let params = PatchParams::apply(STATUS_FIELD_MANAGER).force();
    let proxies = Api::<LlmProxy>::namespaced(client.clone(), &namespace);
    let written = proxies.patch_status(&name, &params, &Patch::Apply(&patch)).await;
    written.map_err(Error::api("write the status of", format!("LlmProxy {name}")))?;
    Ok(true)
}

/// The previous status with these conditions instead of those of the same type.
fn with_conditions(
    proxy: &LlmProxy,
    found: impl IntoIterator<Item = Finding>,
    now: Timestamp,
) -> LlmProxyStatus {
    let previous = proxy.status.clone().unwrap_or_default();
    let mut conditions =
        conditions::merge(&previous.conditions, found.into_iter().collect(), proxy.metadata.generation, now);
    let kept = previous
        .conditions
        .iter()
        .filter(|before| !conditions.iter().any(|found| found.type_ == before.type_));
    let kept: Vec<_> = kept.cloned().collect();
    conditions.extend(kept);
    conditions.sort_by(|one, other| one.type_.cmp(&other.type_));
    LlmProxyStatus { observed_generation: proxy.metadata.generation, conditions, ..previous }
}

/// Off where something that it names is missing, or where a pod says so.
fn provider(provider: &Provider, seen: &Seen) -> ProviderStatus {
    let missing: Vec<&Unresolved> = provider.unresolved().collect();
    let messages: Vec<&str> = missing.iter().map(|missing| missing.message.as_str()).collect();
    let reason = (!messages.is_empty()).then(|| messages.join("; "));
    let reason = reason.or_else(|| seen.providers_off.get(&provider.name).cloned());
    let reason = reason.or_else(|| seen.keys_refused.contains(&provider.name).then(|| key_refused(provider)));
    ProviderStatus { name: provider.name.clone(), available: reason.is_none(), reason }
}

/// In words that name the Secret and nothing that is in it.
fn key_refused(provider: &Provider) -> String {
    let name = &provider.name;
    match provider.endpoint().and_then(|endpoint| endpoint.api_key.as_ref()) {
        Some(key) => {
            let SecretKey { name: secret, key } = &key.source;
            format!("provider {name:?} does not accept the key {key:?} of Secret {secret:?}")
        }
        None => format!("provider {name:?} wants a key, and spec.providers names none for it"),
    }
}

fn selector(names: &ProxyNames) -> String {
    let labels: Vec<String> = names.selector().iter().map(|(key, value)| format!("{key}={value}")).collect();
    labels.join(",")
}

#[cfg(test)]
mod tests;
