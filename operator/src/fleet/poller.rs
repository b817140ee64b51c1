//! Asks the pods of every LlmProxy for their reports: every 15 s at rest, at once after a change until it is
//! acknowledged, and tells those whose status depends on the answers.

use std::{
    collections::{BTreeSet, HashMap},
    sync::Arc,
    time::Instant,
};

use futures::{
    FutureExt, StreamExt,
    future::{BoxFuture, join_all},
    stream::FuturesUnordered,
};
use kube::ResourceExt;
use tokio::time::{Duration, sleep, sleep_until};
use tokio_util::sync::CancellationToken;
use vibectl_proto::fleet::v1::ReportResponse;

use super::{
    client::{FleetClient, FleetError},
    lag::Lag,
    pods::{self, ProxyPod},
    refresh::{self, Refreshes},
    schedule::Schedule,
};
use crate::{
    access,
    api::{
        LlmProxy, ProxyToken,
        conditions::{ConditionType, is_true},
    },
    context::Context,
    keys::fleet_ca,
    runtime::chance::fraction,
};

/// LlmProxies visited at once.
const VISITS: usize = 32;
/// Wait before looking again for the fleet CA, which the first reconcile of an LlmProxy makes.
const NO_IDENTITY: Duration = Duration::from_secs(1);
/// How often the list of LlmProxies is compared with the schedule.
const CENSUS: Duration = Duration::from_secs(5);

/// Asks until `stop`.
pub async fn run(context: Arc<Context>, stop: CancellationToken) {
    tokio::select! {
        () = Poller::new(context).run() => {}
        () = stop.cancelled() => {}
    }
}

struct Poller {
    context: Arc<Context>,
    schedule: Schedule,
    refreshes: Refreshes,
    client: Option<(FleetClient, String)>,
    patches: FuturesUnordered<BoxFuture<'static, ()>>,
}

/// What a visit found.
struct Visit {
    uid: String,
    proxy: Arc<LlmProxy>,
    pods: Vec<ProxyPod>,
    news: bool,
    used: BTreeSet<String>,
}

impl Poller {
    fn new(context: Arc<Context>) -> Self {
        Self {
            context,
            schedule: Schedule::default(),
            refreshes: Refreshes::default(),
            client: None,
            patches: FuturesUnordered::new(),
        }
    }

    async fn run(mut self) {
        let context = Arc::clone(&self.context);
        let mut visits = FuturesUnordered::new();
        let mut census = tokio::time::interval(CENSUS);
        loop {
            let room = visits.len() < VISITS;
            let due = self.schedule.next().unwrap_or_else(|| Instant::now() + CENSUS);
            tokio::select! {
                asked = context.fleet.attention() => {
                    for uid in asked {
                        self.schedule.attend(&uid, Instant::now());
                    }
                }
                Some(visit) = visits.next(), if !visits.is_empty() => self.settle(visit),
                Some(()) = self.patches.next(), if !self.patches.is_empty() => {}
                _ = census.tick() => self.census(),
                () = sleep_until(due.into()), if room => {
                    let Some(client) = self.client() else {
                        sleep(NO_IDENTITY).await;
                        continue;
                    };
                    for uid in self.schedule.take_due(Instant::now()) {
                        if let Some(proxy) = context.stores.proxies.by_uid(&uid) {
                            visits.push(visit(Arc::clone(&context), client.clone(), uid, proxy));
                        }
                    }
                }
            }
        }
    }

    /// Every LlmProxy is visited, and those that are gone are forgotten.
    fn census(&mut self) {
        let stores = &self.context.stores;
        let proxies: BTreeSet<_> =
            stores.proxies.filter(|_| true).iter().filter_map(|proxy| proxy.uid()).collect();
        for uid in &proxies {
            self.schedule.know(uid, Instant::now(), fraction());
        }
        self.schedule.keep(|uid| proxies.contains(uid));
        self.context.fleet.keep_proxies(|uid| proxies.contains(uid));
        let pods: BTreeSet<_> = stores.pods.filter(|_| true).iter().filter_map(|pod| pod.uid()).collect();
        self.refreshes.keep(|uid| pods.contains(uid));
    }

    /// The client with the identity that the Secret holds now.
    fn client(&mut self) -> Option<FleetClient> {
        let (identity, version) = match fleet_ca::cached(&self.context) {
            Ok(found) => found?,
            Err(error) => {
                tracing::error!(%error, "the fleet identity cannot be used");
                return None;
            }
        };
        if let Some((client, known)) = &self.client
            && *known == version
        {
            return Some(client.clone());
        }
        match FleetClient::new(&identity) {
            Ok(client) => {
                self.client = Some((client.clone(), version));
                Some(client)
            }
            Err(error) => {
                tracing::error!(%error, "the fleet identity cannot be used");
                None
            }
        }
    }

    fn settle(&mut self, visit: Visit) {
        let Visit { uid, proxy, pods, news, used } = visit;
        let settled = self.refresh(&uid, &proxy, &pods);
        if news {
            let triggers = &self.context.triggers;
            triggers.proxy(&proxy.namespace().unwrap_or_default(), &proxy.name_any());
        }
        self.tell_tokens(&proxy, news, &used);
        let now = Instant::now();
        if settled {
            self.schedule.settled(&uid, now, fraction());
        } else {
            self.schedule.pending(&uid, now);
        }
    }

    /// Annotates the pods that lag behind; true when none does and none is about to end.
    fn refresh(&mut self, uid: &str, proxy: &LlmProxy, pods: &[ProxyPod]) -> bool {
        let context = Arc::clone(&self.context);
        let Some(expected) = context.fleet.expected(uid) else { return true };
        let revision = refresh::combined_revision(&expected);
        let namespace = proxy.namespace().unwrap_or_default();
        let mut settled = true;
        for view in context.fleet.view(uid, pods) {
            let reachable = view.unreachable.is_none() && view.report.is_some();
            let lags = view.lag.as_ref().is_none_or(Lag::refreshable);
            settled &= !lags && !view.pod.terminating;
            // One that is not ready may be so for what it mounts: an ended certificate, a CA that does not issue. Without an
            // address it mounts nothing yet.
            if !lags || view.pod.terminating || view.pod.ip.is_none() {
                continue;
            }
            let Some(value) = self.refreshes.next(&view.pod.uid, &revision, reachable, Instant::now()) else {
                continue;
            };
            let patch = annotate(Arc::clone(&context), namespace.clone(), view.pod, value);
            self.patches.push(patch.boxed());
        }
        settled
    }

    /// Tokens that wait for their row, and tokens that were used.
    fn tell_tokens(&self, proxy: &LlmProxy, news: bool, used: &BTreeSet<String>) {
        for token in access::tokens_of(&self.context.stores, proxy) {
            let waits = news && !is_ready(&token);
            if waits || token.uid().is_some_and(|uid| used.contains(&uid)) {
                self.context.triggers.token(&token.namespace().unwrap_or_default(), &token.name_any());
            }
        }
    }
}

async fn annotate(context: Arc<Context>, namespace: String, pod: ProxyPod, value: String) {
    match refresh::annotate(&context.client, &namespace, &pod, &value).await {
        Ok(()) => context.metrics.refreshed(),
        Err(error) => tracing::debug!(pod = pod.name, %error, "failed to annotate a pod"),
    }
}

fn is_ready(token: &ProxyToken) -> bool {
    token.status.as_ref().is_some_and(|status| is_true(&status.conditions, ConditionType::Ready))
}

/// Asks every pod of one LlmProxy at once and writes the answers into the book.
async fn visit(context: Arc<Context>, client: FleetClient, uid: String, proxy: Arc<LlmProxy>) -> Visit {
    let pods = pods::of(&context.stores, &proxy);
    let before = context.fleet.view(&uid, &pods);
    let answers = join_all(pods.iter().map(|pod| ask(&context, &client, &uid, pod))).await;
    let (mut news, mut used) = (false, BTreeSet::new());
    for ((pod, view), answer) in pods.iter().zip(&before).zip(answers) {
        let Some(answer) = answer else { continue };
        context.metrics.polled(answer.is_ok());
        if let Ok(report) = &answer {
            used.extend(used_since(view.report.as_ref().map(|(report, _)| report.as_ref()), report));
        }
        let answer = answer.map_err(|error| error.to_string());
        news |= context.fleet.heard(&uid, &pod.uid, answer, context.now());
    }
    context.fleet.keep_pods(&uid, &pods);
    Visit { uid, proxy, pods, news, used }
}

/// A pod without an address is not asked. What was taken back is told first: the table is on its way, and slower.
async fn ask(
    context: &Context,
    client: &FleetClient,
    uid: &str,
    pod: &ProxyPod,
) -> Option<Result<ReportResponse, FleetError>> {
    let ip = pod.ip?;
    if let Some(request) = context.fleet.taken_back(uid, pod) {
        let revision = request.revision.clone();
        match client.refuse(uid, ip, request).await {
            Ok(()) => context.fleet.told(uid, pod, &revision),
            Err(error) => {
                tracing::debug!(pod = pod.name, %error, "failed to take credentials back ahead of the table");
            }
        }
    }
    Some(client.report(uid, ip).await)
}

/// The UIDs of the ProxyTokens whose counters moved between two reports.
fn used_since(before: Option<&ReportResponse>, now: &ReportResponse) -> Vec<String> {
    let before = before.filter(|before| before.instance_id == now.instance_id);
    let before = before.into_iter().flat_map(|before| &before.usage);
    let known: HashMap<_, _> = before.map(|used| (used.token_uid.as_str(), used)).collect();
    let known = |uid: &str| known.get(uid).copied();
    now.usage
        .iter()
        .filter(|used| known(&used.token_uid) != Some(*used))
        .map(|used| used.token_uid.clone())
        .collect()
}
