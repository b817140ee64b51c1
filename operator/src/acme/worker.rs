//! Runs one engine for each certificate that is wanted. The leader's alone: it starts and ends with the leadership, and what is
//! under way at its end is taken up again by the next leader.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use aws_lc_rs::rand;
use jiff::Timestamp;
use tokio::task::{AbortHandle, JoinSet};
use tokio::time::{interval, sleep};
use tokio_util::sync::CancellationToken;
use vibectl_pki::acme::{Engine, Host, Step};

use super::{http_client::Client, orders::Wanted, publish::FleetPublisher, store::SecretStore};
use crate::{context::Context, metrics::AcmeOutcome};

/// How often it is looked for LlmProxies that are gone.
const CENSUS: Duration = Duration::from_secs(5);
/// The longest time until it is looked again whether something is due. Looking, not sleeping until then, follows a clock that is
/// set.
const LOOK_EVERY: Duration = Duration::from_secs(600);
/// After an error of the Secret.
const PAUSE: Duration = Duration::from_secs(10);
/// Shortest pause: a step that says "now" is none that may be repeated without end.
const SHORTEST: Duration = Duration::from_millis(100);

/// Works until `stop`.
pub async fn run(context: Arc<Context>, stop: CancellationToken) {
    let mut jobs = Jobs::default();
    let mut census = interval(CENSUS);
    loop {
        tokio::select! {
            () = stop.cancelled() => return,
            () = context.acme.changed() => {}
            Some(_) = jobs.tasks.join_next(), if !jobs.tasks.is_empty() => {}
            _ = census.tick() => {
                let proxies = &context.stores.proxies;
                context.acme.keep(|uid| proxies.by_uid(uid).is_some());
            }
        }
        jobs.follow(&context);
    }
}

/// The tasks; dropping them ends them.
#[derive(Default)]
struct Jobs {
    tasks: JoinSet<()>,
    running: HashMap<String, (Arc<Wanted>, AbortHandle)>,
}

impl Jobs {
    /// Ends what is not wanted any more, or not so, and starts what is.
    fn follow(&mut self, context: &Arc<Context>) {
        let wanted = context.acme.wanted();
        self.running.retain(|uid, (wanted_before, task)| {
            let stays = wanted.get(uid) == Some(wanted_before) && !task.is_finished();
            if !stays {
                task.abort();
            }
            stays
        });
        for (uid, wanted) in wanted {
            if !self.running.contains_key(&uid) {
                let task = self.tasks.spawn(work(Arc::clone(context), Arc::clone(&wanted)));
                self.running.insert(uid, (wanted, task));
            }
        }
    }
}

/// The clock of the context and the randomness of the system.
struct OperatorHost(Arc<Context>);

impl Host for OperatorHost {
    fn now(&self) -> Timestamp {
        self.0.now()
    }

    async fn sleep(&self, time: Duration) {
        sleep(time).await;
    }

    fn random(&self) -> u16 {
        let mut bytes = [0; 2];
        // Jitter only: without randomness there is none.
        let _ = rand::fill(&mut bytes);
        u16::from_ne_bytes(bytes)
    }
}

type TheEngine = Engine<SecretStore, FleetPublisher, OperatorHost>;

async fn work(context: Arc<Context>, wanted: Arc<Wanted>) {
    let engine = match engine(&context, &wanted) {
        Ok(engine) => engine,
        Err(why) => {
            tell_trouble(&context, &wanted, Some(why));
            // Until something else is wanted.
            return std::future::pending().await;
        }
    };
    loop {
        let step = engine.step().await;
        let pause = tell(&context, &wanted, step).await;
        sleep(pause.clamp(SHORTEST, LOOK_EVERY)).await;
    }
}

fn engine(context: &Arc<Context>, wanted: &Arc<Wanted>) -> Result<TheEngine, String> {
    let ca = wanted.access.ca_bundle.as_ref();
    let client = Client::new(&wanted.directory_url, ca, context.settings.api_server);
    let client = client.map_err(|error| format!("spec.tls.acme: {error}"))?;
    let publisher = FleetPublisher::new(context, wanted);
    let store = SecretStore::new(context, wanted);
    let host = OperatorHost(Arc::clone(context));
    let engine = Engine::new(wanted.settings(), Arc::new(client), store, publisher, host);
    engine.map_err(|error| format!("spec.tls.acme: {error}"))
}

/// Says what a step did, and when to come again. The condition comes from what was written down, with the next reconcile.
async fn tell(context: &Context, wanted: &Wanted, step: Result<Step, impl std::fmt::Display>) -> Duration {
    let Wanted { namespace, name, .. } = wanted;
    let trouble = step.as_ref().err().map(ToString::to_string);
    tell_trouble(context, wanted, trouble);
    match step {
        Ok(Step::Busy) => PAUSE,
        Ok(Step::Wait(until)) => pause_until(context, until),
        Ok(Step::Issued { renewed, left_behind: _ }) => {
            context.metrics.acme(if renewed { AcmeOutcome::Renewed } else { AcmeOutcome::Issued });
            tracing::info!(namespace, name, renewed, "got a certificate from the ACME server");
            tell_issued(context, wanted, renewed).await;
            Duration::ZERO
        }
        Ok(Step::Failed { error, until }) => {
            context.metrics.acme(AcmeOutcome::Failed);
            tracing::warn!(namespace, name, error, %until, "got no certificate from the ACME server");
            pause_until(context, until)
        }
        Err(error) => {
            tracing::warn!(namespace, name, %error, "failed to keep the state of an order; nothing is asked of the ACME server without it");
            PAUSE
        }
    }
}

/// A failure is told by the condition and its Event.
async fn tell_issued(context: &Context, wanted: &Wanted, renewed: bool) {
    let Some(proxy) = context.stores.proxies.by_uid(&wanted.uid) else { return };
    let reason = if renewed { "CertificateRenewed" } else { "CertificateIssued" };
    let names: Vec<_> = wanted.names.iter().map(ToString::to_string).collect();
    let note = format!("the ACME server issued a certificate for {}", names.join(", "));
    context.events.normal(proxy.as_ref(), reason, note).await;
}

fn tell_trouble(context: &Context, wanted: &Wanted, trouble: Option<String>) {
    if context.acme.set_trouble(&wanted.uid, trouble) {
        context.triggers.proxy(&wanted.namespace, &wanted.name);
    }
}

fn pause_until(context: &Context, until: Timestamp) -> Duration {
    Duration::try_from(until.duration_since(context.now())).unwrap_or_default()
}
