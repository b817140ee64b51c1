//! The reconcile of an `LlmProxy`: dereference, validate, gather, build, apply, report.

use std::{collections::BTreeSet, sync::Arc, time::Duration};

use jiff::Timestamp;
use kube::ResourceExt;
use vibectl_config::mount::{ANSWERS_FILE, Part};

use crate::{
    acme::{self, orders::Shown},
    api::{LlmProxy, LlmProxyStatus},
    apply::{Applier, Observed, prune::is_rolled_out},
    context::Context,
    error::Error,
    fleet::pods,
    llm_proxy::{
        build::{Applied, Resources},
        report::Seen,
        switch::Scene,
        validate::{TlsMode, ValidatedProxy},
    },
    metrics::Outcome,
    names::acme_secret,
    runtime::controller::Done,
};

pub mod authority;
pub mod build;
pub mod dereference;
pub mod endpoint;
pub mod gather;
pub mod issuers;
pub mod ordered;
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

    if hold.is_none() {
        tidy(context, &validated, &applied).await?;
    }
    let revisions = applied.revisions.clone();
    show(context, &uid, &applied);
    let expected = sight::expected(if hold.is_some() { revisions.without_certificate() } else { revisions });
    context.fleet.expect(&uid, expected.clone(), gathered.grants.clone());
    let views = context.fleet.view(&uid, &pods);
    let seen = Seen { hold: hold.clone(), ..sight::seen(&gathered, &expected, &views, wrote) };
    let status = report::report(proxy, &validated, &applied, &seen, now);
    let done = tell(proxy, context, status).await?;
    let due = hold.and_then(|hold| hold.until).map_or(gathered.due, |until| until.min(gathered.due));
    Ok(if wrote { changed(done).again_after(PATIENCE) } else { done }.again_after(until(due, now)))
}

/// Tells the worker which answers are written for the pods.
fn show(context: &Context, uid: &str, applied: &Resources<Applied>) {
    let answers = applied.answers.as_ref().and_then(|map| map.data.as_ref()?.get(ANSWERS_FILE));
    let answers = answers.and_then(|text| serde_json::from_str(text).ok());
    if let Some((answers, revision)) = answers.zip(applied.revisions.parts.get(&Part::Acme).cloned()) {
        context.acme.show(uid, Shown { answers, revision });
    }
}

/// Removes accounts and orders that nobody needs any more: those of another mode once all pods are of today's, and those of
/// another ACME server once there is a certificate of today's.
async fn tidy(
    context: &Context,
    validated: &ValidatedProxy,
    applied: &Resources<Applied>,
) -> Result<(), Error> {
    let keep = match &validated.tls {
        TlsMode::Acme(order, _) => {
            let name = acme_secret(&validated.uid, &order.directory_url);
            let kept = context.stores.own_secrets.get(&context.settings.operator_namespace, &name);
            let issued = kept.is_some_and(|secret| acme::state::read(&secret).pair.is_some());
            if !issued {
                return Ok(());
            }
            Some(order.directory_url.as_str())
        }
        _ if is_rolled_out(&applied.deployment) => None,
        _ => return Ok(()),
    };
    acme::store::forget(context, &validated.uid, keep).await?;
    Ok(())
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
