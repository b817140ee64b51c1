//! What the engine has written down, as the reconcile needs it. Pure.

use jiff::Timestamp;
use k8s_openapi::api::core::v1::Secret;
use serde::de::DeserializeOwned;
use vibectl_pki::acme::{
    Answer, Record, schedule,
    state::{Certificate, History, Order},
};
use zeroize::Zeroizing;

/// Chain and key, PEM.
#[derive(Clone, PartialEq)]
pub struct Pair {
    /// The leaf first.
    pub chain: String,
    /// Of the leaf.
    pub key: Zeroizing<String>,
}

/// What there is of one LlmProxy and one ACME server.
#[derive(Clone, Default)]
pub struct State {
    /// The newest certificate.
    pub pair: Option<Pair>,
    /// Answers to the challenges of the order that is being worked on.
    pub answers: Vec<Answer>,
    /// How it is doing.
    pub progress: Progress,
}

/// How an order is doing.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Progress {
    /// Why the last attempt failed.
    pub error: Option<String>,
    /// Nothing is tried before this time.
    pub again: Option<Timestamp>,
    /// The names that are being ordered.
    pub ordering: Option<String>,
    /// When the certificate that there is is renewed.
    pub renewal: Option<Timestamp>,
}

impl Progress {
    /// Nothing can be tried at all.
    pub fn stuck(why: String) -> Self {
        Self { error: Some(why), ..Self::default() }
    }
}

/// Reads the Secret; what cannot be understood is told, and counts as absent.
pub fn read(secret: &Secret) -> State {
    let mut damaged = None;
    let certificate: Option<Certificate> = record(secret, Record::Certificate, &mut damaged);
    let order: Option<Order> = record(secret, Record::Order, &mut damaged);
    let history: History = record(secret, Record::History, &mut damaged).unwrap_or_default();
    let held = certificate.as_ref().and_then(|certificate| certificate.held().ok());
    let failed = history.last_error.clone().filter(|_| history.failures > 0);
    State {
        progress: Progress {
            again: history.not_before.filter(|_| failed.is_some()),
            error: damaged.or(failed),
            ordering: order.as_ref().map(|order| order.names.join(", ")),
            renewal: held.map(|held| schedule::renew_at(&held, &history)),
        },
        answers: order.map(|order| order.answers).unwrap_or_default(),
        pair: certificate.map(|Certificate { chain, key, .. }| Pair { chain, key: key.0 }),
    }
}

fn record<T: DeserializeOwned>(secret: &Secret, record: Record, damaged: &mut Option<String>) -> Option<T> {
    let bytes = secret.data.as_ref()?.get(record.as_str())?;
    let read = serde_json::from_slice(&bytes.0);
    // Without what serde quotes: it could be a key.
    read.inspect_err(|error| {
        let name = secret.metadata.name.as_deref().unwrap_or_default();
        let line = error.line();
        *damaged = Some(format!(
            "{record} in Secret {name} of the operator's namespace cannot be understood (line {line}): delete that Secret to begin anew"
        ));
    })
    .ok()
}

#[cfg(test)]
mod tests {
    use k8s_openapi::ByteString;

    use super::*;

    fn secret(records: &[(Record, &str)]) -> Secret {
        let data =
            records.iter().map(|(record, text)| (record.to_string(), ByteString(text.as_bytes().to_vec())));
        Secret { data: Some(data.collect()), ..Secret::default() }
    }

    const ORDER: &str = r#"{"names": ["a.example", "b.example"], "key": "PEM", "url": null, "begun_at": "2027-01-01T00:00:00Z",
        "attempts": 1, "answers": [{"kind": "http-01", "name": "a.example", "token": "t", "key_authorization": "t.x"}]}"#;

    #[test]
    fn an_order_is_told_with_its_names_and_its_answers() {
        let state = read(&secret(&[(Record::Order, ORDER)]));

        assert_eq!(state.progress.ordering.as_deref(), Some("a.example, b.example"));
        assert_eq!(state.answers.len(), 1);
        assert!(state.pair.is_none());
        assert_eq!(state.progress.error, None);
    }

    #[test]
    fn a_failure_is_told_with_the_time_of_the_next_attempt() {
        let history = r#"{"failures": 2, "not_before": "2027-01-01T00:00:00Z", "last_error": "no"}"#;

        let failed = read(&secret(&[(Record::History, history)])).progress;
        let quiet = read(&secret(&[(Record::History, r#"{"last_error": "no"}"#)])).progress;

        assert_eq!(failed.error.as_deref(), Some("no"));
        assert_eq!(failed.again, Some("2027-01-01T00:00:00Z".parse().unwrap()));
        assert_eq!(quiet, Progress::default());
    }

    #[test]
    fn h14_what_cannot_be_understood_is_told_without_its_content() {
        let state = read(&secret(&[(Record::Order, r#"{"key": "PRIVATE KEY", "names": "PRIVATE"}"#)]));

        let error = state.progress.error.unwrap();
        assert!(error.contains("order in Secret") && !error.contains("PRIVATE"), "{error}");
        assert!(state.answers.is_empty());
    }
}
