//! The reconcile of an `LlmProxy`: dereference, validate, gather, build, apply, report.

use std::{collections::BTreeSet, sync::Arc, time::Duration};

use jiff::Timestamp;
use kube::ResourceExt;

use crate::{
    api::{LlmProxy, LlmProxyStatus},
    apply::{Applier, Observed},
    context::Context,
    error::Error,
    fleet::pods,
    llm_proxy::{report::Seen, switch::Scene},
    metrics::Outcome,
    runtime::controller::Done,
};

pub mod authority;
pub mod build;
pub mod dereference;
pub mod endpoint;
pub mod gather;
pub mod issuers;
pub mod report;
pub mod sight;
pub mod switch;
pub mod validate;

#[cfg(test)]
pub(crate) mod fixtures;

/// After something was written: time for the pods to show it, before they are told to lag behind.
const PATIENCE: Duration = Duration::from_secs(15);

/// Brings one LlmProxy to where its spec wants it.
pub async fn reconcile(proxy: Arc<LlmProxy>, context: Arc<Context>) -> Result<Done, Error> {
    if proxy.metadata.deletion_timestamp.is_some() {
        // Everything in this namespace is owned by the proxy and goes with it; keys elsewhere are swept.
        return Ok(Done::unchanged());
    }
    let result = Box::pin(pass(&proxy, &context)).await;
    if let Err(error) = &result
        && error.is_for_people()
    {
        tell(&proxy, &context, report::failed(&proxy, error, context.now())).await?;
    }
    result
}

async fn pass(proxy: &LlmProxy, context: &Context) -> Result<Done, Error> {
    let now = context.now();
    let namespace = proxy.namespace().ok_or(Error::Incomplete("metadata.namespace"))?;
    let uid = proxy.uid().ok_or(Error::Incomplete("metadata.uid"))?;

    let referenced = dereference::dereference(&context.client, proxy).await?;
    let validated = match validate::validate(proxy, &referenced) {
        Ok(validated) => validated.at(now),
        Err(refusal) => return tell(proxy, context, report::refused(proxy, &refusal, now)).await,
    };
    let gathered = gather::gather(context, proxy, &validated).await?;
    let prepared = build::build(&validated, &gathered.inputs)?;

    let observed = Observed::of(&context.stores, &namespace, &validated.names.base());
    let pods = pods::of(&context.stores, proxy);
    let mounted: BTreeSet<String> = pods.iter().flat_map(|pod| pod.config_maps.iter().cloned()).collect();
    let scene = Scene { observed: &observed, pods: &pods, wait: context.settings.tls_switch_wait, now };
    let (prepared, hold) = switch::plan(prepared, &validated, &scene);
    let mut applier = Applier::new(&context.client, &namespace, &uid);
    let applied = match hold {
        Some(_) => applier.apply_around(prepared, &observed).await?,
        None => applier.apply(prepared, &observed, &mounted).await?,
    };
    let wrote = applier.writes() > 0;

    let revisions = applied.revisions.clone();
    let expected = sight::expected(if hold.is_some() { revisions.without_certificate() } else { revisions });
    context.fleet.expect(&uid, expected.clone(), gathered.grants.clone());
    let views = context.fleet.view(&uid, &pods);
    let seen = Seen { hold: hold.clone(), ..sight::seen(&gathered, &expected, &views, wrote) };
    let status = report::report(proxy, &validated, &applied, &seen, now);
    let done = tell(proxy, context, status).await?;
    let due = hold.and_then(|hold| hold.until).map_or(gathered.due, |until| until.min(gathered.due));
    Ok(if wrote { changed(done).again_after(PATIENCE) } else { done }.again_after(until(due, now)))
}

/// Writes the status on a difference, with an Event when the summary changed.
async fn tell(proxy: &LlmProxy, context: &Context, status: LlmProxyStatus) -> Result<Done, Error> {
    if !report::write(&context.client, proxy, &status).await? {
        return Ok(Done::unchanged());
    }
    for news in report::news(proxy.status.as_ref(), &status) {
        if news.good {
            context.events.normal(proxy, &news.reason, news.message).await;
        } else {
            context.events.warning(proxy, &news.reason, news.message).await;
        }
    }
    Ok(Done::changed())
}

fn changed(done: Done) -> Done {
    Done { outcome: Outcome::Changed, ..done }
}

/// Not at once even for what is overdue: the next pass is after the watch has told of this one.
fn until(due: Timestamp, now: Timestamp) -> Duration {
    Duration::try_from(due.duration_since(now)).unwrap_or_default().max(Duration::from_secs(1))
}

#[cfg(test)]
mod tests;
