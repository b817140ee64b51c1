//! Kubernetes Events: one recorder per process (it joins repeats into a series), told on transitions only.

use std::time::Duration;

use kube::{
    Client, Resource,
    runtime::events::{Event, EventType, Recorder, Reporter},
};
use tokio::time::timeout;

/// Events are a courtesy: none holds up a reconcile for longer.
const PUBLISH_TIMEOUT: Duration = Duration::from_secs(5);

/// Publishes Events.
#[derive(Clone)]
pub struct Events {
    recorder: Recorder,
}

impl Events {
    /// A recorder that signs as `identity`.
    pub fn new(client: Client, identity: &str) -> Self {
        let reporter =
            Reporter { controller: "vibectl.dev/operator".to_owned(), instance: Some(identity.to_owned()) };
        Self { recorder: Recorder::new(client, reporter) }
    }

    /// Something went as wished.
    pub async fn normal(
        &self,
        object: &impl Resource<DynamicType = ()>,
        reason: &str,
        note: impl Into<String>,
    ) {
        self.publish(object, EventType::Normal, reason, note.into()).await;
    }

    /// Something needs a person.
    pub async fn warning(
        &self,
        object: &impl Resource<DynamicType = ()>,
        reason: &str,
        note: impl Into<String>,
    ) {
        self.publish(object, EventType::Warning, reason, note.into()).await;
    }

    async fn publish(
        &self,
        object: &impl Resource<DynamicType = ()>,
        type_: EventType,
        reason: &str,
        note: String,
    ) {
        let event = Event {
            type_,
            reason: reason.to_owned(),
            note: Some(shortened(note)),
            action: "Reconcile".to_owned(),
            secondary: None,
        };
        let reference = object.object_ref(&());
        match timeout(PUBLISH_TIMEOUT, self.recorder.publish(&event, &reference)).await {
            Ok(Ok(())) => {}
            Ok(Err(error)) => tracing::debug!(%error, reason, "failed to publish an event"),
            Err(_) => tracing::debug!(reason, "failed to publish an event in time"),
        }
    }
}

/// The API server refuses notes over 1024 bytes.
fn shortened(mut note: String) -> String {
    const LIMIT: usize = 1000;
    if note.len() > LIMIT {
        let end = (0..=LIMIT).rev().find(|&at| note.is_char_boundary(at)).unwrap_or(0);
        note.truncate(end);
    }
    note
}
