//! Starts everything that runs, and ends when one of it ends.
//!
//! Every replica watches and serves probes; the leader alone reconciles. A clean stop lets running reconciles come to
//! their end, then gives the lease back; a lost lease or a task that ends by itself ends the process at once.

use std::{future::Future, net::IpAddr, sync::Arc, time::Duration};

use jiff::Timestamp;
use kube::Api;
use tokio::{
    net::TcpListener,
    signal::unix::{SignalKind, signal},
    sync::Notify,
    time::{interval, sleep},
};
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use self::{
    chance::fraction, client::Clients, controller::Controller, heartbeat::Heartbeat, routes::Routes,
    tasks::Tasks,
};
use crate::{
    access::Departures,
    acme,
    admin::{self, Probes},
    args::Args,
    context::{Context, Settings, Stores, Triggers},
    events::Events,
    fleet::{book::FleetBook, poller},
    keys::{cluster_issuer, sweep::sweep},
    lease::{Elector, LeaseError, candidate::Timing},
    llm_proxy,
    metrics::{Kind, Metrics},
    proxy_token,
};

pub mod chance;
pub mod client;
pub mod controller;
pub mod expiry;
pub mod heartbeat;
pub mod references;
pub mod routes;
pub mod tasks;
pub mod triggers;
pub mod watch;

/// How long running reconciles may take to end. Shorter than the usual grace of a pod (30 s).
const DRAIN: Duration = Duration::from_secs(20);
const BEAT: Duration = Duration::from_secs(1);
/// How often signing keys of LlmProxies that are gone are looked for, besides after each deletion.
const SWEEP: Duration = Duration::from_secs(600);

/// Why the process ends other than by request.
#[derive(Debug, thiserror::Error)]
pub enum RuntimeError {
    /// The API server cannot be reached at all.
    #[error(transparent)]
    Client(#[from] client::ClientError),
    /// A socket or a signal handler could not be set up.
    #[error("failed to {0}: {1}")]
    SetUp(&'static str, #[source] std::io::Error),
    /// Another replica leads now, or nobody could be asked.
    #[error(transparent)]
    Lease(#[from] LeaseError),
    /// Every task runs as long as the process.
    #[error("{0} has ended")]
    Ended(String),
}

/// Runs the operator until it is asked to stop.
pub async fn run(args: Args) -> Result<(), RuntimeError> {
    let stopped = stop_signal()?;
    let clients = Clients::infer().await?;
    let stop = CancellationToken::new();
    let (stores, writers) = Stores::new();
    let context = context(&args, &clients, stores);
    let probes = Probes {
        event_loop: Heartbeat::default(),
        lease: Heartbeat::default(),
        synced: CancellationToken::new(),
        metrics: Arc::clone(&context.metrics),
    };
    let listener = TcpListener::bind(args.admin_address)
        .await
        .map_err(|error| RuntimeError::SetUp("bind the admin address", error))?;

    let mut tasks = Tasks::default();
    tasks.spawn("event loop", beat(probes.event_loop.clone()));
    tasks.spawn("admin server", serve(listener, probes.clone(), stop.clone()));
    let gone = Arc::new(Notify::new());
    let routes = Routes {
        context: Arc::clone(&context),
        client: clients.watches.clone(),
        gone: Arc::clone(&gone),
        stop: stop.clone(),
    };
    routes.spawn(&mut tasks, writers);

    tokio::select! {
        result = lead(&args, &clients, &context, &probes, gone, stopped) => result,
        ended = tasks.ended() => Err(RuntimeError::Ended(ended)),
    }
}

/// Waits for the caches and for the lease, then works until `stopped`.
async fn lead(
    args: &Args,
    clients: &Clients,
    context: &Arc<Context>,
    probes: &Probes,
    gone: Arc<Notify>,
    stopped: impl Future<Output = ()>,
) -> Result<(), RuntimeError> {
    tokio::pin!(stopped);
    tokio::select! {
        () = synced(context, probes) => {}
        () = &mut stopped => return Ok(()),
    }
    if !args.leader_election {
        return work(context, gone, stopped, std::future::pending()).await;
    }
    let api = Api::namespaced(clients.lease.clone(), &args.namespace);
    let identity = format!("{}_{}", args.identity, Uuid::new_v4());
    let mut elector = Elector::new(api, &identity, Timing::default(), probes.lease.clone());
    tokio::select! {
        () = elector.acquire() => tracing::info!(identity, "leading"),
        () = &mut stopped => return Ok(()),
    }
    let release = CancellationToken::new();
    let worked = {
        let held = elector.hold_until(release.cancelled());
        tokio::pin!(held);
        let worked = work(context, gone, stopped, &mut held).await;
        release.cancel();
        if worked.is_ok() {
            held.await?;
        }
        worked
    };
    context.metrics.leads(false);
    worked
}

/// Everything that only the leader does, until `stopped` or until `lost` tells that it leads no more.
async fn work(
    context: &Arc<Context>,
    gone: Arc<Notify>,
    stopped: impl Future<Output = ()>,
    lost: impl Future<Output = Result<(), LeaseError>>,
) -> Result<(), RuntimeError> {
    context.metrics.leads(true);
    let stop = CancellationToken::new();
    let mut tasks = start_work(context, gone, &stop);
    tokio::pin!(lost);
    tokio::select! {
        () = stopped => {}
        ended = tasks.ended() => return Err(RuntimeError::Ended(ended)),
        result = &mut lost => return result.map_err(RuntimeError::from),
    }
    tracing::info!("stopping");
    stop.cancel();
    // The lease is held while the last reconciles end.
    tokio::select! {
        drained = tasks.drain(DRAIN) => {
            if !drained {
                tracing::warn!("some reconciles did not end in time");
            }
            Ok(())
        }
        result = lost => result.map_err(RuntimeError::from),
    }
}

/// Starts the controllers and what goes with them.
fn start_work(context: &Arc<Context>, gone: Arc<Notify>, stop: &CancellationToken) -> Tasks {
    let mut tasks = Tasks::default();
    let proxies = Controller {
        kind: Kind::LlmProxy,
        cache: context.stores.proxies.clone(),
        triggers: Arc::clone(&context.triggers.proxies),
    };
    let tokens = Controller {
        kind: Kind::ProxyToken,
        cache: context.stores.tokens.clone(),
        triggers: Arc::clone(&context.triggers.tokens),
    };
    let (one, other) = (Arc::clone(context), Arc::clone(context));
    tasks.spawn("llmproxy controller", proxies.run(one, stop.clone(), llm_proxy::reconcile));
    tasks.spawn("proxytoken controller", tokens.run(other, stop.clone(), proxy_token::reconcile));
    tasks.spawn("fleet poller", poller::run(Arc::clone(context), stop.clone()));
    tasks.spawn("acme orders", acme::worker::run(Arc::clone(context), stop.clone()));
    tasks.spawn("sweeper", sweep_until(Arc::clone(context), gone, stop.clone()));
    tasks.spawn("cluster issuer", cluster_issuer::watch(Arc::clone(context), stop.clone()));
    tasks.spawn("expiry gauges", expiry::watch(Arc::clone(context), stop.clone()));
    tasks
}

fn context(args: &Args, clients: &Clients, stores: Stores) -> Arc<Context> {
    Arc::new(Context {
        client: clients.calls.clone(),
        settings: Settings {
            operator_namespace: args.namespace.clone(),
            server_image: args.server_image.clone(),
            tls_switch_wait: args.tls_switch_wait.into(),
            api_server: api_server(),
            watch_namespaces: args.watched(),
        },
        stores,
        fleet: Arc::new(FleetBook::default()),
        acme: Arc::default(),
        cluster_issuer: Arc::default(),
        departures: Departures::default(),
        events: Events::new(clients.calls.clone(), &args.identity),
        metrics: Arc::new(Metrics::default()),
        triggers: Triggers::default(),
        clock: Arc::new(Timestamp::now),
    })
}

/// As the kubelet tells every pod.
fn api_server() -> Option<IpAddr> {
    std::env::var("KUBERNETES_SERVICE_HOST").ok()?.parse().ok()
}

async fn synced(context: &Context, probes: &Probes) {
    if !context.stores.ready().await {
        // A watch has ended; whoever watches the tasks tells which.
        std::future::pending::<()>().await;
    }
    tracing::info!(
        llm_proxies = context.stores.proxies.len(),
        proxy_tokens = context.stores.tokens.len(),
        "caches are complete"
    );
    probes.synced.cancel();
}

async fn serve(listener: TcpListener, probes: Probes, stop: CancellationToken) {
    if let Err(error) = admin::serve(listener, probes, stop).await {
        tracing::error!(%error, "the admin server failed");
    }
}

async fn beat(heartbeat: Heartbeat) {
    let mut ticks = interval(BEAT);
    loop {
        ticks.tick().await;
        heartbeat.beat();
    }
}

async fn sweep_until(context: Arc<Context>, gone: Arc<Notify>, stop: CancellationToken) {
    while !stop.is_cancelled() {
        if let Err(error) = sweep(&context).await {
            tracing::warn!(error = controller::chain(&error), "failed to remove keys that nobody needs");
        }
        tokio::select! {
            () = gone.notified() => {}
            () = sleep(SWEEP.mul_f64(0.8 + 0.4 * fraction())) => {}
            () = stop.cancelled() => {}
        }
    }
}

fn stop_signal() -> Result<impl Future<Output = ()>, RuntimeError> {
    let handler = |kind| signal(kind).map_err(|error| RuntimeError::SetUp("listen for signals", error));
    let (mut terminate, mut interrupt) =
        (handler(SignalKind::terminate())?, handler(SignalKind::interrupt())?);
    Ok(async move {
        tokio::select! {
            _ = terminate.recv() => {}
            _ = interrupt.recv() => {}
        }
    })
}
