//! Who may call a proxy: ProxyTokens become rows, rows become the shards of the access table.
//!
//! Pure but for [`of`], which gathers the input from the caches. No row, no access: whatever is refused, suspended or
//! deleted is simply not in the table, and nothing has to be remembered about it.

use std::{collections::BTreeMap, sync::Arc};

use kube::ResourceExt;
use vibectl_token::table::{EncodeError, Row, decode_shard};

use crate::{
    api::{LlmProxy, ProxyToken},
    context::{Context, Stores},
    names::{ALLOW_SHRINK_ANNOTATION, ProxyNames},
};

pub mod departures;
pub mod identity;
pub mod judge;
pub mod table;

pub use self::{
    departures::Departures,
    judge::{Granted, Refusal, judge},
    table::{Lives, Table, Tokens},
};

/// The access table of this LlmProxy as it should be now. The caches must be complete.
pub fn of(context: &Context, proxy: &LlmProxy) -> Result<Table, EncodeError> {
    let stores = &context.stores;
    let tokens = tokens_of(stores, proxy);
    let previous = previous_rows(stores, proxy);
    let labels = |namespace: &str| namespace_labels(stores, namespace);
    table::build(
        proxy,
        &Tokens {
            present: &tokens,
            gaps: &stores.tokens.gaps(),
            previous: &previous,
            departed: &|uid| context.departures.contains(uid),
            labels: &labels,
            may_shrink: proxy.annotations().get(ALLOW_SHRINK_ANNOTATION).is_some_and(|value| value == "true"),
        },
    )
}

/// The ProxyTokens that name this LlmProxy, allowed or not.
pub fn tokens_of(stores: &Stores, proxy: &LlmProxy) -> Vec<Arc<ProxyToken>> {
    let (namespace, name) = (proxy.namespace().unwrap_or_default(), proxy.name_any());
    stores.tokens.filter(|token| proxy_of(token) == (namespace.as_str(), name.as_str()))
}

/// Namespace and name of the LlmProxy that this ProxyToken names.
pub fn proxy_of(token: &ProxyToken) -> (&str, &str) {
    let own = token.metadata.namespace.as_deref().unwrap_or_default();
    (token.spec.proxy_ref.namespace.as_deref().unwrap_or(own), &token.spec.proxy_ref.name)
}

/// The labels of a namespace that exists.
pub fn namespace_labels(stores: &Stores, namespace: &str) -> Option<BTreeMap<String, String>> {
    stores.namespaces.get_cluster(namespace).map(|found| found.labels().clone())
}

/// The rows of the table that pods have now, by UID. A damaged shard has none.
fn previous_rows(stores: &Stores, proxy: &LlmProxy) -> BTreeMap<String, Row> {
    let namespace = proxy.namespace().unwrap_or_default();
    let names = ProxyNames::of(&proxy.name_any());
    let mut rows = BTreeMap::new();
    for shard in 0..vibectl_config::mount::SHARDS {
        let secret = stores.secrets.get(&namespace, &names.access_shard(shard));
        let content = secret.as_ref().and_then(|secret| secret.data.as_ref()?.values().next());
        let decoded = content.and_then(|content| decode_shard(&content.0).ok());
        rows.extend(decoded.into_iter().flat_map(|shard| shard.rows).map(|row| (row.uid.clone(), row)));
    }
    rows
}
