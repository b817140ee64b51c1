//! The fleet port: what the operator asks each pod, and tells it to refuse, over mutual TLS.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use jiff::Timestamp;
use tokio::task::spawn_blocking;
use tokio_util::sync::CancellationToken;
use tonic::{Request, Response, Status};
use vibectl_config::mount::{CA_FILE, CERTIFICATE_FILE, KEY_FILE, Part, REVISION_KEY_FILE, RevisionKey};
use vibectl_config::{Fleet as Config, MinVersion};
use vibectl_pki::CertificateFacts;
use vibectl_proto::fleet::v1::fleet_server::{Fleet, FleetServer};
use vibectl_proto::fleet::v1::{
    Certificate, LateCredential, PartInForce, ProviderState, RefuseRequest, RefuseResponse, ReportRequest,
    ReportResponse, TokenUsage,
};

use crate::cost::Cost;
use crate::listener::tls::Security;
use crate::provider::Provider;
use crate::reload::files::{Fingerprint, PartFiles, ReadError};
use crate::router::upstream::Upstream;
use crate::settings::Mistakes;
use crate::state::Shared;
use crate::tls::clients::ClientTrust;
use crate::tls::{TlsError, TlsState, read_pair};
use crate::usage::Late;

/// How often the identity is looked at; it lives for months.
const LOOK_EVERY: Duration = Duration::from_secs(10);

/// The routes of the port. Whoever gets through the handshake has a certificate of the fleet's CA for clients.
pub fn routes(shared: &Arc<Shared>) -> Router {
    let service = FleetServer::new(Reporter(Arc::clone(shared)));
    Router::new().route_service("/vibectl.fleet.v1.Fleet/{*rest}", service)
}

/// The key of revisions; none without a fleet port.
pub fn revision_key(config: Option<&Config>) -> Result<Option<RevisionKey>, Mistakes> {
    let Some(config) = config else { return Ok(None) };
    let path = config.dir.join(REVISION_KEY_FILE);
    let mistake = |problem: String| Mistakes(vec![format!("{}: {problem}", path.display())]);
    let bytes = std::fs::read(&path).map_err(|error| mistake(error.to_string()))?;
    RevisionKey::try_from(bytes.as_slice()).map(Some).map_err(|error| mistake(error.to_string()))
}

/// Why there is no identity for the port.
#[derive(Debug, thiserror::Error)]
#[error("failed to use the identity of the fleet port in {folder}")]
pub struct IdentityError {
    folder: PathBuf,
    source: IdentityProblem,
}

#[derive(Debug, thiserror::Error)]
enum IdentityProblem {
    #[error(transparent)]
    Read(#[from] ReadError),
    #[error(transparent)]
    Tls(#[from] TlsError),
}

/// The server identity of the port and the CA of those who may ask.
#[derive(Debug)]
pub struct Identity {
    files: PartFiles,
    seen: Fingerprint,
    state: Arc<TlsState>,
}

impl Identity {
    /// Reads the identity of this folder.
    pub fn read(folder: &Path) -> Result<Self, IdentityError> {
        let files = PartFiles::new(
            [CERTIFICATE_FILE, KEY_FILE, CA_FILE].map(|name| (name.to_owned(), folder.join(name))),
        );
        let state = || -> Result<_, IdentityProblem> {
            let (seen, content) = files.read()?;
            let leaf = read_pair(&content, Timestamp::now())?;
            let operators = ClientTrust::read(&content, false, Timestamp::now())?;
            Ok((seen, TlsState::new(&leaf, Some(operators), MinVersion::V1_3)?))
        };
        match state() {
            Ok((seen, state)) => Ok(Self { files, seen, state: Arc::new(state) }),
            Err(source) => Err(IdentityError { folder: folder.to_owned(), source }),
        }
    }

    /// How the port is secured.
    pub fn security(&self) -> Security {
        Security::Tls(self.state.server_config())
    }

    /// Follows changes of the files until told to stop. What cannot be used leaves the old identity in force.
    pub async fn keep_fresh(mut self, stop: CancellationToken) {
        loop {
            tokio::select! {
                () = stop.cancelled() => return,
                () = tokio::time::sleep(LOOK_EVERY) => {}
            }
            let looked = spawn_blocking(move || {
                self.look();
                self
            });
            match looked.await {
                Ok(same) => self = same,
                Err(_) => return,
            }
        }
    }

    fn look(&mut self) {
        if self.files.fingerprint() == self.seen {
            return;
        }
        let Ok((seen, content)) = self.files.read() else { return };
        self.seen = seen;
        // CA first: while both change, the new CA bundle accepts old and new clients.
        let changed = self
            .state
            .reload_clients(&content, Timestamp::now())
            .and_then(|_| self.state.reload(&content, Timestamp::now()));
        match changed {
            Ok(()) => tracing::info!("fleet identity replaced"),
            Err(reason) => tracing::error!(reason, "refused the new fleet identity; the old one stays"),
        }
    }
}

#[derive(Debug)]
struct Reporter(Arc<Shared>);

#[tonic::async_trait]
impl Fleet for Reporter {
    async fn report(&self, _: Request<ReportRequest>) -> Result<Response<ReportResponse>, Status> {
        let shared = &self.0;
        let report = report(shared);
        if shared.shutdown.is_draining() && report.calls_in_flight == 0 {
            shared.shutdown.reported_the_end();
        }
        Ok(Response::new(report))
    }

    async fn refuse(&self, request: Request<RefuseRequest>) -> Result<Response<RefuseResponse>, Status> {
        let shared = &self.0;
        let request = request.into_inner();
        let (tokens, keys) = (request.tokens.len(), request.keys.len());
        shared.auth.refuse(request, || shared.parts.revision(Part::Access));
        tracing::info!(tokens, keys, "the operator takes credentials back, ahead of the access table");
        Ok(Response::new(RefuseResponse {}))
    }
}

fn report(shared: &Shared) -> ReportResponse {
    let parts = shared.parts.states().into_iter().map(|(part, state)| PartInForce {
        part: part.as_str().to_owned(),
        revision: state.revision,
        rejected: state.rejected,
    });
    let usage = shared.usage.totals().into_iter().map(|totals| TokenUsage {
        token_uid: totals.uid,
        requests: totals.requests,
        limited: totals.limited,
        input_tokens: totals.input_tokens,
        output_tokens: totals.output_tokens,
        cost_picodollars: totals.cost.map(Cost::picos),
        last_used: totals.last_used,
        late: totals.late.map(|late| {
            let Late { issued_at, expires_at, last_used } = late;
            LateCredential { issued_at, expires_at, last_used }
        }),
    });
    ReportResponse {
        // Calls before usage: a call that ends in between is in both and not in neither.
        calls_in_flight: shared.limiter.calls_in_flight(),
        open_streams: shared.limiter.open_streams(),
        instance_id: shared.instance.id.clone(),
        server_version: env!("CARGO_PKG_VERSION").to_owned(),
        started_at: shared.instance.started_at,
        parts: parts.collect(),
        certificate: shared.tls.get().map(|state| certificate(&state.facts())),
        usage: usage.collect(),
        providers: providers(shared),
        rejected_rows: shared.parts.rejected_row_count(),
        draining: shared.shutdown.is_draining(),
    }
}

fn providers(shared: &Shared) -> Vec<ProviderState> {
    let active = shared.active.load();
    let state = |(provider, upstream): (&Provider, &Upstream)| ProviderState {
        name: provider.name().to_owned(),
        available: provider.off_reason().is_none(),
        reason: provider.off_reason().unwrap_or_default().to_owned(),
        key_refused: upstream.refuses_key(),
    };
    active.router.upstreams().map(state).collect()
}

fn certificate(facts: &CertificateFacts) -> Certificate {
    Certificate {
        fingerprint_sha256: facts.fingerprint_sha256.clone(),
        public_key_pin: facts.public_key_pin.clone(),
        not_before: facts.lifetime.not_before.as_second(),
        not_after: facts.lifetime.not_after.as_second(),
        names: facts.names.clone(),
        issuer_key_id: facts.issuer_key_id.clone().unwrap_or_default(),
    }
}
