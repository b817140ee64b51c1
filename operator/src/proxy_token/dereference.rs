//! What a ProxyToken refers to, as the caches have it. No call to the API server.

use std::{collections::BTreeMap, sync::Arc};

use k8s_openapi::api::core::v1::Secret;
use kube::ResourceExt;
use vibectl_token::table::Row;

use super::{Error, rotate::Issuance};
use crate::{
    access::{self, identity},
    api::{LlmProxy, ProxyToken},
    context::{Context, Stores},
    fleet::{
        book::{Grants, PodView},
        pods::{self, ProxyPod},
    },
    keys::signing::{self, Signing},
    names::ProxyNames,
    runtime::references::secret_of,
};

/// Key of the CA bundle in its ConfigMap and in token Secrets.
pub const CA_KEY: &str = "ca.crt";

/// What was found.
pub struct Found {
    /// The LlmProxy that is named, if it exists.
    pub proxy: Option<Arc<LlmProxy>>,
    /// An LlmProxy of that name exists but cannot be read now.
    pub unreadable: bool,
    /// Labels of the token's namespace.
    pub labels: Option<BTreeMap<String, String>>,
    /// The identity that it names belongs to another ProxyToken.
    pub outranked: bool,
    /// The keys that sign.
    pub signing: Option<Signing>,
    /// The Secret of the wanted name, if it is among ours.
    pub secret: Option<Arc<Secret>>,
    /// The public CA bundle of the proxy.
    pub ca: Option<String>,
    /// The pods of the proxy.
    pub pods: Vec<ProxyPod>,
    /// What they said last.
    pub views: Vec<PodView>,
}

impl Found {
    /// Whether every ready replica accepts this issuance: it has the row and the key.
    pub fn knows(&self, context: &Context, token: &ProxyToken, issuance: &Issuance) -> bool {
        self.all_have(context, token, |grants, row| {
            grants.keys.contains(&issuance.kid) && row.issued && row.min_iat <= issuance.iat
        })
    }

    /// Whether every ready replica lets the identity in that this ProxyToken names.
    pub fn recognizes(&self, context: &Context, token: &ProxyToken) -> bool {
        let named = identity::of(token);
        self.all_have(context, token, |_, row| named.iter().all(|identity| row.identities.contains(identity)))
    }

    fn all_have(&self, context: &Context, token: &ProxyToken, holds: impl Fn(&Grants, &Row) -> bool) -> bool {
        let Some((proxy, uid)) = self.proxy.as_ref().and_then(|proxy| proxy.uid()).zip(token.uid()) else {
            return false;
        };
        let accepts = |grants: &Grants| grants.rows.get(&uid).is_some_and(|row| holds(grants, row));
        let serving: Vec<_> = pods::serving(&self.pods).collect();
        context.fleet.newest_grants(&proxy, accepts) && context.fleet.grants(&proxy, &serving, accepts)
    }
}

fn outranked(stores: &Stores, proxy: &LlmProxy, token: &ProxyToken) -> bool {
    let Some(identity) = identity::of(token) else { return false };
    let labels = |namespace: &str| access::namespace_labels(stores, namespace);
    let holders = identity::holders(proxy, &access::tokens_of(stores, proxy), &labels);
    holders.get(&identity).is_some_and(|holder| Some(holder) != token.uid().as_ref())
}

/// Looks everything up.
pub fn dereference(context: &Context, token: &ProxyToken) -> Result<Found, Error> {
    let own = token.namespace().ok_or(Error::NoIdentity)?;
    let (namespace, name) = access::proxy_of(token);
    let stores = &context.stores;
    let proxy = stores.proxies.get(namespace, name);
    let gaps = stores.proxies.gaps();
    let place = format!("{namespace}/{name}");
    let unreadable = proxy.is_none()
        && (gaps.namespaces.contains(namespace) || gaps.objects.values().any(|known| *known == place));
    let uid = proxy.as_ref().and_then(|proxy| proxy.uid());
    let signing = uid.as_deref().map(|uid| signing::cached(context, uid)).transpose()?.flatten();
    let pods = proxy.as_ref().map(|proxy| pods::of(stores, proxy)).unwrap_or_default();
    let views = uid.as_deref().map(|uid| context.fleet.view(uid, &pods)).unwrap_or_default();
    let outranked = proxy.as_ref().is_some_and(|proxy| outranked(stores, proxy, token));
    let bundle = stores.config_maps.get(namespace, &ProxyNames::of(name).ca_bundle());
    Ok(Found {
        labels: access::namespace_labels(stores, &own),
        secret: stores.secrets.get(&own, secret_of(token)),
        ca: bundle.and_then(|bundle| bundle.data.as_ref()?.get(CA_KEY).cloned()),
        proxy,
        unreadable,
        outranked,
        signing,
        pods,
        views,
    })
}
