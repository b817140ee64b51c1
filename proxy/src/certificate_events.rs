//! What becomes of certificates, for those who are told by a webhook (`tls.webhook`). Telling costs nothing: what there is no
//! room for is counted and forgotten, and nothing on the way of a call is here.

pub mod expiry;
pub mod webhook;

use std::sync::OnceLock;

use serde::Serialize;
use tokio::sync::mpsc::Sender;
use vibectl_pki::CertificateFacts;

use crate::metrics::Metrics;

/// Events that wait to be sent at most; more than this many in a row means that the receiver is gone.
pub const LONGEST_QUEUE: usize = 64;

/// What happened.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(tag = "event", rename_all = "snake_case")]
pub enum Event {
    /// A certificate was made where there was none.
    Issued {
        /// The new one.
        certificate: Certificate,
    },
    /// A certificate is served in place of another.
    Renewed {
        /// The new one.
        certificate: Certificate,
    },
    /// A certificate was not put in force; the one before stays.
    Failed {
        /// Why.
        reason: String,
    },
    /// Less than a quarter of a lifetime is left, then an eighth, a sixteenth, nothing.
    Expiring {
        /// Whose lifetime: `certificate` or `client_crl`.
        what: &'static str,
        /// Its end (RFC 3339).
        not_after: String,
    },
    /// Callers' certificates are on the newest revocation list that were not on the one before.
    Revoked {
        /// Their serial numbers, lower-case hex.
        serials: Vec<String>,
    },
}

/// What a receiver may want to know of a certificate.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Certificate {
    names: Vec<String>,
    serial: String,
    issuer: String,
    fingerprint_sha256: String,
    public_key_pin: String,
    not_before: String,
    not_after: String,
}

impl From<&CertificateFacts> for Certificate {
    fn from(facts: &CertificateFacts) -> Self {
        Self {
            names: facts.names.clone(),
            serial: facts.serial.clone(),
            issuer: facts.issuer.clone(),
            fingerprint_sha256: facts.fingerprint_sha256.clone(),
            public_key_pin: facts.public_key_pin.clone(),
            not_before: facts.lifetime.not_before.to_string(),
            not_after: facts.lifetime.not_after.to_string(),
        }
    }
}

impl Event {
    /// The name of the event, as in its JSON.
    pub fn name(&self) -> &'static str {
        match self {
            Self::Issued { .. } => "issued",
            Self::Renewed { .. } => "renewed",
            Self::Failed { .. } => "failed",
            Self::Expiring { .. } => "expiring",
            Self::Revoked { .. } => "revoked",
        }
    }
}

/// Where events go: into a metric, and into the queue of the webhook if there is one.
#[derive(Debug, Default)]
pub struct Events {
    queue: OnceLock<Sender<Event>>,
}

impl Events {
    /// Sends all further events here. Only the first queue counts.
    pub fn deliver_to(&self, queue: Sender<Event>) {
        let _ = self.queue.set(queue);
    }

    /// Tells an event. Never waits.
    pub fn tell(&self, event: Event, metrics: &Metrics) {
        metrics.certificate_events.with([event.name()]).add(1);
        if let Some(queue) = self.queue.get()
            && queue.try_send(event).is_err()
        {
            metrics.webhook_deliveries.with(["dropped"]).add(1);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_there_is_no_room_for_is_counted_and_forgotten() {
        let (events, metrics) = (Events::default(), Metrics::default());
        let (sender, mut receiver) = tokio::sync::mpsc::channel(1);
        let failed = |reason: &str| Event::Failed { reason: reason.to_owned() };
        events.tell(failed("nobody listens yet"), &metrics);
        events.deliver_to(sender);

        events.tell(failed("first"), &metrics);
        events.tell(failed("second"), &metrics);

        assert_eq!(receiver.try_recv().expect("the first"), failed("first"));
        assert!(receiver.try_recv().is_err());
        assert_eq!(metrics.certificate_events.with(["failed"]).get(), 3);
        assert_eq!(metrics.webhook_deliveries.with(["dropped"]).get(), 1);
    }
}
