//! Starts the server, keeps it until a signal comes, and ends it in order.
//!
//! ```text
//! config ─▶ signals ─▶ admin, fleet ports ─▶ first look at all files ─▶ certificate ─▶ service port ─▶ ready
//! signal ─▶ not ready ─▶ drain (GOAWAY, calls finish) ─▶ cut at the deadline or a second signal ─▶ fleet, admin ports ─▶ end
//! ```

mod acme;
pub mod certificates;
mod ending;
mod ports;

use std::sync::Arc;
use std::time::Duration;

use anyhow::Context;
use tokio::sync::mpsc;
use tokio::task::JoinSet;
use vibectl_config::Config;
use vibectl_config::mount::Part;

use crate::certificate_events::webhook::Webhook;
use crate::certificate_events::{LONGEST_QUEUE, expiry};
use crate::cli::outcome::{Failure, say};
use crate::fleet;
use crate::listener::tls::Security;
use crate::listener::{self, Listener};
use crate::reload::{Reloader, Started};
use crate::serve::certificates::{Certificates, Plan};
use crate::service::panics;
use crate::settings::Settings;
use crate::settings::mode::{Chosen, Mode};
use crate::shutdown::Signals;
use crate::state::Shared;
use crate::{service, telemetry};

/// What to serve and how.
#[derive(Debug)]
pub struct Start {
    /// The config and what is said about it on the command line.
    pub settings: Settings,
    /// What the command brings along for a certificate.
    pub certificates: Certificates,
}

/// Serves until a signal, from a thread without a runtime.
pub fn run(start: Start) -> Result<(), Failure> {
    let Start { settings, certificates } = start;
    // Dropped last: whatever ends this, what was logged about it gets out.
    let _log = telemetry::Flush;
    let (insecure, folder) = (settings.insecure, settings.folder.clone());
    let started = Reloader::start(
        settings,
        |config| telemetry::start(config.server.log_level),
        |config| fleet::revision_key(config.fleet.as_ref()),
    );
    let started = started.map_err(|mistakes| Failure::usage(&mistakes))?;
    let known = started.shared.auth.start(&started.shared.config(), insecure);
    known.map_err(|error| Failure::unusable(&error))?;
    let chosen = started.chosen.as_ref().ok_or_else(|| Failure::usage(&"this command does not serve"))?;
    announce(chosen, &started.shared.config());
    let plan = certificates.plan(chosen.mode, &started.shared.config(), folder.as_deref());
    let plan = plan.map_err(|mistakes| Failure::usage(&mistakes))?;
    let webhook = Webhook::of(&started.shared.config()).map_err(|error| Failure::unusable(&error))?;
    panics::log_panics();
    let runtime =
        tokio::runtime::Builder::new_multi_thread().enable_all().build().map_err(Failure::running)?;
    let ended = runtime.block_on(serve(started, plan, webhook));
    // What is left are look-ups and reads that nobody waits for.
    runtime.shutdown_timeout(Duration::from_millis(200));
    ended
}

/// Says which mode it is and why, so that nobody has to guess from a config.
fn announce(chosen: &Chosen, config: &Config) {
    let Chosen { mode, because, deprecated } = chosen;
    tracing::info!(%mode, because = because.join(", "), "serving mode chosen");
    if let Some(command) = deprecated {
        tracing::warn!(instead = command, "deprecated: these flags of serve have a command of their own");
    }
    if *mode == Mode::Insecure && config.fleet.is_none() {
        // Said at every log level.
        say(&format!(
            "warning: serving on {} without TLS: whoever can see this traffic can read and change it",
            config.server.host
        ));
    }
}

async fn serve(started: Started, plan: Plan, webhook: Option<Webhook>) -> Result<(), Failure> {
    let Started { shared, mut reloader, notices, chosen: _ } = started;
    for notice in &notices {
        tracing::warn!(notice = %notice, "config");
    }
    let mut signals = Signals::listen().map_err(Failure::running)?;
    let mut reports = ports::reports(&shared).await?;
    let mut rejected = reloader.look();
    if shared.open_place.get().is_some() {
        // Whoever writes the answers to the challenges brings the certificate afterwards.
        rejected.retain(|rejected| rejected.part != Part::Tls);
    }
    if shared.config().fleet.is_none() && !rejected.is_empty() {
        // A person is there to mend it; in a pod the files may still come.
        let lines: Vec<_> = rejected.iter().map(ToString::to_string).collect();
        return Err(Failure::Usage(lines.join("\n")));
    }
    let mut tasks = JoinSet::new();
    let watching = reloader.run(shared.shutdown.of_reports().drain);
    tasks.spawn(async move { watching.await.context("failed to watch files") });

    tell_about_certificates(&shared, webhook, &mut tasks);

    let security = tokio::select! {
        security = plan.establish(&shared, &mut tasks) => security?,
        name = signals.next() => return ending::before_the_start(&shared, reports, name).await,
    };
    let service = open(&shared, security).await?;
    let service = tokio::spawn(service.serve());
    let outcome = tokio::select! {
        name = signals.next() => {
            tracing::info!(signal = name, "draining");
            Ok(())
        }
        ended = ending::first_of(&mut tasks, &mut reports) => Err(Failure::Running(ended)),
    };
    ending::drain(&shared, service, reports, &mut signals).await;
    outcome
}

/// Starts what warns before a certificate ends, and what delivers such news.
fn tell_about_certificates(
    shared: &Arc<Shared>,
    webhook: Option<Webhook>,
    tasks: &mut JoinSet<anyhow::Result<()>>,
) {
    let end = || shared.shutdown.of_reports().drain;
    if let Some(webhook) = webhook {
        let (sender, events) = mpsc::channel(LONGEST_QUEUE);
        shared.events.deliver_to(sender);
        let delivering = webhook.run(events, Arc::clone(shared), end());
        tasks.spawn(async move {
            delivering.await;
            Ok(())
        });
    }
    let watching = expiry::watch(Arc::clone(shared), end());
    tasks.spawn(async move {
        watching.await;
        Ok(())
    });
}

/// Opens the service port: from here on calls are taken.
async fn open(shared: &Arc<Shared>, security: Security) -> Result<Listener, Failure> {
    let server = &shared.config().server;
    let tcp = listener::bind("calls", &server.host, server.port).await.map_err(Failure::running)?;
    let address = tcp.local_addr().map_err(Failure::running)?;
    let tls = !matches!(security, Security::Plaintext);
    if !shared.awaits_certificate() {
        shared.health.serving().await;
    }
    shared.now_listening();
    tracing::info!(%address, tls, version = env!("CARGO_PKG_VERSION"), "listening");
    Ok(Listener {
        name: "service",
        tcp,
        security,
        router: service::build(shared),
        stages: shared.shutdown.of_service(),
        shared: Arc::clone(shared),
    })
}
