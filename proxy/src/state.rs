//! What every request reads. [`Active`] is what a change of config replaces, whole and at once; [`Shared`] lives as long
//! as the process.
//!
//! A request takes one `Arc<Active>` at its start and keeps it, so that it never sees half of a change.

use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::sync::{Arc, OnceLock};
use std::time::{Instant, SystemTime, UNIX_EPOCH};

use arc_swap::ArcSwap;
use jiff::Timestamp;
use rustls::ServerConfig;
use tokio::sync::SetOnce;
use vibectl_config::Config;
use vibectl_config::mount::Part;
use vibectl_pki::CertificateFacts;

use crate::acme::pending::Mounted;
use crate::auth::Auth;
use crate::caller::Caller;
use crate::certificate_events::{Event, Events};
use crate::cost::Cost;
use crate::limits::effective::Effective;
use crate::limits::{Demand, Limiter, Permit, Refused};
use crate::metrics::Metrics;
use crate::parts::Parts;
use crate::provider::sources::Sources;
use crate::router::Router;
use crate::service::health::Health;
use crate::shutdown::Shutdown;
use crate::tls::TlsState;
use crate::usage::{Usage, UsageBook};

/// Everything that the config decides. Built whole, then swapped in.
#[derive(Debug)]
pub struct Active {
    /// The config in force.
    pub config: Arc<Config>,
    /// Its models and providers.
    pub router: Router,
}

impl Active {
    /// What follows from a config and from the files and variables that it names.
    pub fn new(config: Arc<Config>, sources: &Sources<'_>) -> Self {
        let router = Router::new(&config, sources);
        Self { config, router }
    }

    /// The same for what takes the place of this.
    pub fn following(&self, config: Arc<Config>, sources: &Sources<'_>) -> Self {
        let router = self.router.following(&config, sources);
        Self { config, router }
    }
}

/// Everything that outlives a change of config.
#[derive(Debug)]
pub struct Shared {
    /// What the config decides; take it once per request.
    pub active: ArcSwap<Active>,
    /// How callers are known.
    pub auth: Auth,
    /// Counters per token.
    pub usage: UsageBook,
    /// Counters of the limits.
    pub limiter: Limiter,
    /// Metrics of the process.
    pub metrics: Metrics,
    /// The certificate being served; set once there is one, never in plaintext.
    pub tls: SetOnce<Arc<TlsState>>,
    /// Of a port that is open before there is a certificate: what the first one takes the place of.
    pub open_place: OnceLock<Arc<ArcSwap<ServerConfig>>>,
    /// Answers to challenges that somebody else writes.
    pub answers: Mounted,
    /// Who is told what becomes of certificates.
    pub events: Events,
    /// Which mounted content is in force.
    pub parts: Parts,
    /// What the gRPC health service tells.
    pub health: Health,
    /// Whether the process is on its way out.
    pub shutdown: Shutdown,
    /// This run of the process.
    pub instance: Instance,
    listening: AtomicBool,
}

impl Shared {
    /// The state of a process that starts with this config.
    pub fn new(active: Active, parts: Parts) -> Self {
        let metrics = Metrics::default();
        Self {
            active: ArcSwap::from_pointee(active),
            auth: Auth::new(&metrics.key_fetches),
            usage: UsageBook::default(),
            limiter: Limiter::new(Instant::now()),
            metrics,
            tls: SetOnce::new(),
            open_place: OnceLock::new(),
            answers: Mounted::default(),
            events: Events::default(),
            parts,
            health: Health::default(),
            shutdown: Shutdown::default(),
            instance: Instance::new(),
            listening: AtomicBool::new(false),
        }
    }

    /// Notes that the service port is open: config loaded, certificate there.
    pub fn now_listening(&self) {
        self.listening.store(true, Relaxed);
    }

    /// Why no calls are taken; `None` when they are.
    pub fn not_ready(&self) -> Option<&'static str> {
        if self.shutdown.is_draining() {
            Some("draining\n")
        } else if !self.listening.load(Relaxed) {
            Some("not listening yet\n")
        } else if self.awaits_certificate() {
            Some("no certificate yet\n")
        } else if !self.auth.is_ready() {
            Some("no access table yet\n")
        } else if self.tls.get().is_some_and(|tls| Timestamp::now() > tls.facts().lifetime.not_after) {
            // Clients refuse it; without this one, a replica that was renewed gets their calls.
            Some("the certificate has expired\n")
        } else {
            None
        }
    }

    /// Whether the port is open for the challenge of an ACME server alone.
    pub fn awaits_certificate(&self) -> bool {
        let acme = &self.config().acme;
        self.tls.get().is_none() && (acme.enabled || acme.answers_file.is_some())
    }

    /// Tells what became of a certificate. Never waits.
    pub fn tell(&self, event: Event) {
        self.events.tell(event, &self.metrics);
    }

    /// Notes that a certificate was put in force in place of another, or why not, where no file of the config says so.
    pub fn renewed(&self, renewed: &Result<Arc<CertificateFacts>, String>) {
        let label = if renewed.is_ok() { "applied" } else { "rejected" };
        self.metrics.reloads.with([Part::Tls.as_str(), label]).add(1);
        self.metrics.part_rejected.with([Part::Tls.as_str()]).set(renewed.is_err().into());
        self.tell(match renewed {
            Ok(facts) => Event::Renewed { certificate: facts.as_ref().into() },
            Err(reason) => Event::Failed { reason: reason.clone() },
        });
    }

    /// The config in force.
    pub fn config(&self) -> Arc<Config> {
        Arc::clone(&self.active.load().config)
    }

    /// The limits that hold for a caller now.
    pub fn limits_of(&self, caller: &Caller) -> Effective {
        Effective::of(&self.active.load().config.server.limits, caller)
    }

    /// Lets a call through and counts it, or refuses it and counts that. Keep the permit until the call has ended.
    pub fn admit(&self, caller: &Caller, demand: Demand) -> Result<Permit, Refused> {
        let admitted = self.limiter.admit(&self.limits_of(caller), caller, demand, Instant::now());
        match &admitted {
            Ok(_) => self.usage.admitted(&caller.uid, unix_now()),
            Err(refused) => {
                self.usage.limited(&caller.uid);
                self.metrics.rate_limited.with([refused.kind.as_str()]).add(1);
                tracing::info!(
                    subject = caller.subject,
                    limit_type = refused.kind.as_str(),
                    limit = refused.maximum,
                    retry_after_ms = refused.retry_after_ms(),
                    "call refused by a limit"
                );
            }
        }
        admitted
    }

    /// Books the tokens of a call that ended, was cut or was cancelled. Once per admitted call.
    pub fn settle(&self, caller: &Caller, permit: &Permit, usage: Usage) {
        let tokens = usage.input_tokens.saturating_add(usage.output_tokens);
        self.limiter.settle(permit, caller, tokens, Instant::now());
        self.usage.settled(&caller.uid, usage);
        let clamp = |tokens: u64| i64::try_from(tokens).unwrap_or(i64::MAX);
        self.metrics.tokens.with(["input"]).add(clamp(usage.input_tokens));
        self.metrics.tokens.with(["output"]).add(clamp(usage.output_tokens));
    }
}

impl Shared {
    /// Books what a call cost, where that is known.
    pub fn charge(&self, caller: &Caller, provider: &str, cost: Cost) {
        self.usage.charged(&caller.uid, cost);
        self.metrics.providers.cost.with([provider]).grow(i64::try_from(cost.picos()).unwrap_or(i64::MAX));
    }
}

/// One run of the process; counters of one instance only grow.
#[derive(Clone, Debug)]
pub struct Instance {
    /// Random.
    pub id: String,
    /// Unix time in seconds.
    pub started_at: i64,
}

impl Instance {
    fn new() -> Self {
        Self { id: uuid::Uuid::new_v4().to_string(), started_at: unix_now() }
    }
}

/// Unix time in seconds.
pub fn unix_now() -> i64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since.as_secs()).unwrap_or(i64::MAX)
}
