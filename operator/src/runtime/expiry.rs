//! Keeps the gauges of what ends soon. Counts only: no object is named.

use std::{sync::Arc, time::Duration};

use jiff::Timestamp;
use tokio::time::interval;
use tokio_util::sync::CancellationToken;

use crate::{context::Context, llm_proxy::report::has_trouble, metrics::Expiring};

const EVERY: Duration = Duration::from_secs(60);

/// Counts until `stop`.
pub async fn watch(context: Arc<Context>, stop: CancellationToken) {
    let mut ticks = interval(EVERY);
    while stop.run_until_cancelled(ticks.tick()).await.is_some() {
        count(&context);
    }
}

fn count(context: &Context) {
    let left = |end: &Timestamp| end.duration_since(context.now()).as_secs();
    let tokens = context.stores.tokens.filter(|_| true);
    let ends = tokens.iter().filter_map(|token| Some(token.status.as_ref()?.expires_at.as_ref()?.0));
    context.metrics.expiring(Expiring::Token, &ends.map(|end| left(&end)).collect::<Vec<_>>());
    let proxies = context.stores.proxies.filter(|_| true);
    let troubles =
        proxies.iter().filter_map(|proxy| proxy.status.as_ref()).filter(|status| has_trouble(status));
    context.metrics.certificate_troubles(troubles.count());
    let ends =
        proxies.iter().filter_map(|proxy| Some(proxy.status.as_ref()?.certificate.as_ref()?.not_after.0));
    context.metrics.expiring(Expiring::Certificate, &ends.map(|end| left(&end)).collect::<Vec<_>>());
}
