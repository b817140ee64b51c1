//! Runs the engine: takes over whatever certificate there is, does what is due, and tells what happened.

use std::sync::Arc;
use std::time::Duration;

use aws_lc_rs::rand;
use jiff::Timestamp;
use tokio::time::sleep;
use tokio_util::sync::CancellationToken;
use vibectl_pki::acme::{Engine, Host, Step};
use vibectl_pki::{Leaf, Lifetime};

use crate::acme::publish::Publish;
use crate::acme::store::FileStore;
use crate::certificate_events::Event;
use crate::state::Shared;
use crate::tls::TlsError;

/// How often it is looked for a certificate that another process got, and whether something is due. Looking, not sleeping
/// until then, follows a clock that is set.
const LOOK_EVERY: Duration = Duration::from_secs(5);
/// The same while there is no certificate, or while another process is at work.
const LOOK_SOON: Duration = Duration::from_secs(1);
/// After an error of the store.
const PAUSE: Duration = Duration::from_secs(30);
/// How often somebody is told that a certificate is about to end.
const REMIND_EVERY: Duration = Duration::from_hours(12);

/// The engine of a server that runs alone.
pub(super) type TheEngine = Engine<FileStore, Publish, SystemHost>;

/// The system's clock and randomness.
#[derive(Clone, Copy, Debug)]
pub(super) struct SystemHost;

impl Host for SystemHost {
    fn now(&self) -> Timestamp {
        Timestamp::now()
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

/// What puts a certificate in force.
type Adopt = Box<dyn Fn(&Leaf) -> Result<(), TlsError> + Send + Sync>;

/// The task of a server.
pub struct Worker {
    engine: TheEngine,
    shared: Arc<Shared>,
    adopt: Adopt,
    in_force: Option<String>,
    /// Set when a certificate was got that is not in force yet: whether it replaces another.
    got: Option<bool>,
    /// The last thing that was said, so that it is said once.
    reminded: Option<Timestamp>,
}

impl std::fmt::Debug for Worker {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Worker").field("in_force", &self.in_force).finish_non_exhaustive()
    }
}

impl Worker {
    /// A worker that was not started.
    pub fn new(plan: super::AcmePlan, shared: Arc<Shared>, adopt: Adopt) -> Self {
        Self { engine: plan.engine, shared, adopt, in_force: None, got: None, reminded: None }
    }

    /// Puts the newest good certificate of the store in force, if it is not already.
    pub async fn look(&mut self) {
        match self.engine.current().await {
            Ok(Some(leaf)) if self.in_force.as_deref() != Some(&leaf.facts().fingerprint_sha256) => {
                let first = self.in_force.is_none();
                self.put(&leaf);
                if first && self.in_force.is_some() {
                    self.shared.health.serving().await;
                }
            }
            Ok(Some(leaf)) => self.remind(&leaf),
            Ok(None) => {}
            Err(error) => tracing::error!(%error, "failed to read the certificate that was kept"),
        }
    }

    /// Works until stopped. What is under way then is taken up again by the next start.
    pub async fn run(mut self, stop: CancellationToken) {
        loop {
            let pause = tokio::select! {
                () = stop.cancelled() => return,
                pause = self.turn() => pause,
            };
            tokio::select! {
                () = stop.cancelled() => return,
                () = sleep(pause) => {}
            }
        }
    }

    async fn turn(&mut self) -> Duration {
        self.look().await;
        let step = self.engine.step().await;
        let is_new = matches!(step, Ok(Step::Issued { .. }));
        let pause = self.tell(step);
        if is_new {
            self.look().await;
        }
        if self.in_force.is_none() { pause.min(LOOK_SOON) } else { pause }
    }

    fn put(&mut self, leaf: &Leaf) {
        let facts = leaf.facts();
        if let Err(error) = (self.adopt)(leaf) {
            tracing::error!(%error, "failed to put the certificate in force; the old one stays");
            return;
        }
        self.in_force = Some(facts.fingerprint_sha256.clone());
        self.reminded = None;
        match self.got.take() {
            Some(true) => self.shared.tell(Event::Renewed { certificate: facts.into() }),
            Some(false) => self.shared.tell(Event::Issued { certificate: facts.into() }),
            None => {}
        }
        let not_after = facts.lifetime.not_after;
        tracing::info!(%not_after, serial = facts.serial, names = facts.names.join(", "), "certificate in force");
    }

    /// Says what a step did, and when to come again.
    fn tell(&mut self, step: Result<Step, impl std::fmt::Display>) -> Duration {
        let count = |event| self.shared.metrics.acme_events.with([event]).add(1);
        match step {
            Ok(Step::Busy) => LOOK_SOON,
            Ok(Step::Wait(until)) => until_at_most(until),
            Ok(Step::Issued { renewed, left_behind }) => {
                let event = if renewed { "renewed" } else { "issued" };
                count(event);
                self.got = Some(renewed);
                tracing::info!(event, "got a certificate from the ACME server");
                for what in left_behind {
                    tracing::warn!(what, "failed to take back an answer to a challenge; remove it by hand");
                }
                Duration::ZERO
            }
            Ok(Step::Failed { error, until }) => {
                count("failed");
                self.shared.tell(Event::Failed { reason: error.clone() });
                tracing::error!(error, %until, "got no certificate from the ACME server; the one that there is stays in force");
                until_at_most(until)
            }
            Err(error) => {
                tracing::error!(%error, "failed to keep the state of ACME; nothing is asked of the server without it");
                PAUSE
            }
        }
    }

    /// Tells, not too often, of a certificate that should have been renewed long ago.
    fn remind(&mut self, leaf: &Leaf) {
        let (now, lifetime) = (Timestamp::now(), leaf.facts().lifetime);
        let told = self.reminded.is_some_and(|last| now < last + REMIND_EVERY);
        if is_about_to_end(&lifetime, now) && !told {
            self.reminded = Some(now);
            self.shared.metrics.acme_events.with(["expiring"]).add(1);
            tracing::warn!(not_after = %lifetime.not_after, days_left = lifetime.days_left(now), "the certificate is about to end");
        }
    }
}

/// Less than a quarter of its life is left: it should have been renewed before.
fn is_about_to_end(lifetime: &Lifetime, now: Timestamp) -> bool {
    let length = lifetime.not_after.duration_since(lifetime.not_before);
    lifetime.not_after.duration_since(now) < length / 4
}

/// The pause until this time, or until it is looked again.
fn until_at_most(until: Timestamp) -> Duration {
    Duration::try_from(until.duration_since(Timestamp::now())).unwrap_or_default().min(LOOK_EVERY)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_quarter_of_a_life_is_worth_a_warning() {
        let at = |day: i64| Timestamp::from_second(day * 24 * 60 * 60).expect("in range");
        let lifetime = Lifetime { not_before: at(0), not_after: at(100) };

        assert!(!is_about_to_end(&lifetime, at(75)));
        assert!(is_about_to_end(&lifetime, at(76)));
        assert!(is_about_to_end(&lifetime, at(101)));
    }
}
