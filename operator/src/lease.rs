//! Leader election on a `Lease`: one replica works, the others keep their caches warm and wait.
//!
//! [`candidate`] decides; this module reads and writes. Every call is bounded, every write names the version it
//! replaces, and the leader gives the lease back on a clean stop.

use std::{future::Future, time::Instant};

use jiff::Timestamp;
use k8s_openapi::{
    api::coordination::v1::{Lease, LeaseSpec},
    apimachinery::pkg::apis::meta::v1::MicroTime,
};
use kube::{
    Api,
    api::{ObjectMeta, PostParams},
};
use tokio::time::{sleep, timeout, timeout_at};

use self::candidate::{Candidate, Record, Step, Timing};
use crate::{names::LEASE, runtime::heartbeat::Heartbeat};

pub mod candidate;

/// Why an elector ends.
#[derive(Debug, thiserror::Error)]
pub enum LeaseError {
    /// Another replica has it, or nobody could be asked in time.
    #[error("failed to keep the lease: {0}")]
    Lost(&'static str),
}

/// Takes part in the election.
pub struct Elector {
    api: Api<Lease>,
    candidate: Candidate,
    timing: Timing,
    heartbeat: Heartbeat,
}

impl Elector {
    /// An elector for the lease that `api` reaches; its client must not retry by itself.
    pub fn new(api: Api<Lease>, identity: &str, timing: Timing, heartbeat: Heartbeat) -> Self {
        Self { api, candidate: Candidate::new(identity, timing), timing, heartbeat }
    }

    /// Waits until this process leads.
    pub async fn acquire(&mut self) {
        loop {
            self.heartbeat.beat();
            self.attempt().await;
            if self.candidate.leads(Instant::now()) {
                return;
            }
            sleep(self.timing.retry).await;
        }
    }

    /// Renews until `stop` is ready, then gives the lease back; fails as soon as it is lost.
    pub async fn hold_until(&mut self, stop: impl Future<Output = ()>) -> Result<(), LeaseError> {
        tokio::pin!(stop);
        loop {
            let Some(deadline) = self.candidate.leads_until() else {
                return Err(LeaseError::Lost("another replica holds it"));
            };
            if Instant::now() >= deadline {
                return Err(LeaseError::Lost("it was not renewed in time"));
            }
            self.heartbeat.beat();
            tokio::select! {
                () = sleep(self.timing.retry.min(deadline.duration_since(Instant::now()))) => {}
                () = &mut stop => {
                    self.release().await;
                    return Ok(());
                }
            }
            // Cut off at the deadline: a renewal that arrives later does not make us leader again unnoticed.
            let _cut_off = timeout_at(deadline.into(), self.attempt()).await;
        }
    }

    /// One look at the lease and, where it is due, one write. Failures leave things as they are: the next attempt,
    /// or the deadline, follows.
    async fn attempt(&mut self) {
        let lease = match timeout(self.timing.retry, self.api.get_opt(LEASE)).await {
            Ok(Ok(lease)) => lease,
            Ok(Err(error)) => return tracing::warn!(%error, "failed to read the lease"),
            Err(_) => return tracing::warn!("failed to read the lease in time"),
        };
        self.candidate.saw(lease.as_ref().map(to_record), Instant::now());
        let sent = Instant::now();
        let wanted = match self.candidate.next(sent) {
            Step::Create => self.taken(Lease::default(), true),
            Step::Replace { transition, .. } => self.taken(lease.unwrap_or_default(), transition),
            Step::Wait => return,
        };
        match timeout(self.timing.retry, self.put(&wanted)).await {
            Ok(Ok(lease)) => self.candidate.wrote(to_record(&lease), sent, Instant::now()),
            Ok(Err(kube::Error::Api(status))) if status.is_conflict() || status.is_already_exists() => {
                tracing::debug!("another replica wrote the lease first");
            }
            Ok(Err(error)) => tracing::warn!(%error, "failed to write the lease"),
            Err(_) => tracing::warn!("failed to write the lease in time"),
        }
    }

    /// The lease as it should be when we hold it; what others put on it stays.
    fn taken(&self, mut lease: Lease, transition: bool) -> Lease {
        let now = MicroTime(Timestamp::now());
        let spec = lease.spec.get_or_insert_default();
        spec.holder_identity = Some(self.candidate.identity().to_owned());
        spec.lease_duration_seconds = i32::try_from(self.timing.duration.as_secs()).ok();
        spec.renew_time = Some(now.clone());
        if transition {
            spec.acquire_time = Some(now);
            spec.lease_transitions = Some(spec.lease_transitions.unwrap_or(0).saturating_add(1));
        }
        lease.metadata.name = Some(LEASE.to_owned());
        lease.metadata.managed_fields = None;
        lease
    }

    /// Creates, or replaces exactly the version that `lease` carries.
    async fn put(&self, lease: &Lease) -> Result<Lease, kube::Error> {
        if lease.metadata.resource_version.is_some() {
            self.api.replace(LEASE, &PostParams::default(), lease).await
        } else {
            self.api.create(&PostParams::default(), lease).await
        }
    }

    async fn release(&mut self) {
        let Some(version) = self.candidate.release() else { return };
        let metadata = ObjectMeta {
            name: Some(LEASE.to_owned()),
            resource_version: Some(version),
            ..ObjectMeta::default()
        };
        let spec = LeaseSpec { lease_duration_seconds: Some(1), ..LeaseSpec::default() };
        let lease = Lease { metadata, spec: Some(spec) };
        match timeout(self.timing.retry, self.put(&lease)).await {
            Ok(Ok(_)) => tracing::info!("gave the lease back"),
            Ok(Err(error)) => tracing::warn!(%error, "failed to give the lease back; it expires by itself"),
            Err(_) => tracing::warn!("failed to give the lease back in time; it expires by itself"),
        }
    }
}

fn to_record(lease: &Lease) -> Record {
    let spec = lease.spec.clone().unwrap_or_default();
    let seconds = spec.lease_duration_seconds.and_then(|seconds| u64::try_from(seconds).ok()).unwrap_or(0);
    Record {
        version: lease.metadata.resource_version.clone().unwrap_or_default(),
        holder: spec.holder_identity.filter(|holder| !holder.is_empty()),
        duration: std::time::Duration::from_secs(seconds),
    }
}
