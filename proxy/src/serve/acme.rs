//! Serving with a certificate from an ACME server, whether we order it or somebody else does. The port is open before there is
//! one, for the challenge alone: every other handshake is refused, and the server is not ready.

use std::path::Path;
use std::sync::Arc;

use arc_swap::ArcSwap;
use jiff::Timestamp;
use rustls::ServerConfig;
use tokio::task::JoinSet;
use vibectl_config::Config;
use vibectl_pki::Leaf;

use crate::acme::http01::{self, Http01};
use crate::acme::pending::Pending;
use crate::acme::plan::http01 as http01_plan;
use crate::acme::{AcmePlan, Worker, alpn};
use crate::cli::outcome::Failure;
use crate::listener::tls::Security;
use crate::listener::{self, Listener};
use crate::reload::client_trust;
use crate::serve::certificates::Plan;
use crate::settings::Mistakes;
use crate::state::Shared;
use crate::tls::{TlsError, TlsState};

/// What the config asks for, checked.
pub(super) fn plan(config: &Config, folder: Option<&Path>) -> Result<Plan, Mistakes> {
    let mistake = |text: String| Mistakes(vec![text]);
    let folder = folder.ok_or_else(|| mistake(NO_FOLDER.to_owned()))?;
    let plan = AcmePlan::new(config, folder).map_err(|error| mistake(error.to_string()))?;
    Ok(Plan::Acme(Box::new(plan)))
}

const NO_FOLDER: &str =
    "no place to keep the account and the certificate: set HOME or VIBECTL_SERVER_CONFIG_DIR";

/// Opens the listener of HTTP-01, puts the certificate of an earlier run in force, and sets the worker to work.
pub(super) async fn establish(
    plan: AcmePlan,
    shared: &Arc<Shared>,
    tasks: &mut JoinSet<anyhow::Result<()>>,
) -> Result<Security, Failure> {
    let config = Arc::new(ArcSwap::new(alpn::without_certificate().map_err(Failure::running)?));
    let answers = Pending::Folder(plan.answers.clone());
    open_challenge_port(plan.http01.clone(), shared, tasks).await?;
    let (adopting, adopted) = (Arc::clone(shared), Arc::clone(&config));
    let adopt = Box::new(move |leaf: &Leaf| adopt(&adopting, &adopted, leaf));
    let mut worker = Worker::new(plan, Arc::clone(shared), adopt);
    worker.look().await;
    let stop = shared.shutdown.of_reports().drain;
    tasks.spawn(async move {
        worker.run(stop).await;
        Ok(())
    });
    Ok(Security::Acme(config, answers))
}

/// Opens the listener of HTTP-01. Answers and certificate come as files, and the reloader puts them in force.
pub(super) async fn establish_mounted(
    place: &Arc<ArcSwap<ServerConfig>>,
    shared: &Arc<Shared>,
    tasks: &mut JoinSet<anyhow::Result<()>>,
) -> Result<Security, Failure> {
    let config = shared.config();
    let answers = Pending::Mounted(shared.answers.clone());
    let names = config.acme.domains.clone().into();
    open_challenge_port(http01_plan(&config, answers.clone(), names), shared, tasks).await?;
    let waiting = Arc::clone(shared);
    let stop = shared.shutdown.of_reports().drain;
    tasks.spawn(async move {
        stop.run_until_cancelled(waiting.tls.wait()).await;
        if waiting.tls.get().is_some() {
            waiting.health.serving().await;
        }
        // A task that ends, ends the server.
        stop.cancelled().await;
        Ok(())
    });
    Ok(Security::Acme(Arc::clone(place), answers))
}

async fn open_challenge_port(
    http01: Option<(Http01, String, u16)>,
    shared: &Arc<Shared>,
    tasks: &mut JoinSet<anyhow::Result<()>>,
) -> Result<(), Failure> {
    let Some((state, host, port)) = http01 else { return Ok(()) };
    let listener = challenge_listener(state, &host, port, shared).await?;
    tasks.spawn(async move {
        listener.serve().await;
        Ok(())
    });
    Ok(())
}

async fn challenge_listener(
    state: Http01,
    host: &str,
    port: u16,
    shared: &Arc<Shared>,
) -> Result<Listener, Failure> {
    let tcp = listener::bind("the ACME server (acme.challenge.http_port)", host, port).await;
    Ok(Listener {
        name: "acme",
        tcp: tcp.map_err(Failure::running)?,
        security: Security::Plaintext,
        router: http01::routes(state),
        stages: shared.shutdown.of_reports(),
        shared: Arc::clone(shared),
    })
}

/// The first certificate opens the port to callers, further ones replace it.
fn adopt(shared: &Shared, config: &Arc<ArcSwap<ServerConfig>>, leaf: &Leaf) -> Result<(), TlsError> {
    if let Some(state) = shared.tls.get() {
        return state.replace(leaf);
    }
    let tls = &shared.config().tls;
    let clients = client_trust(tls, Timestamp::now()).map_err(TlsError::Setup)?;
    let state = TlsState::in_place_of(Arc::clone(config), leaf, clients, tls.min_version)?;
    // Nobody else sets it: the config names no files.
    let _ = shared.tls.set(Arc::new(state));
    Ok(())
}
