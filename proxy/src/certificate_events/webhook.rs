//! Posts events, one after the other, signed so that the receiver knows whom they are from.
//!
//! ```text
//! vibectl-event: renewed
//! vibectl-timestamp: 1790000000
//! vibectl-signature: v1=HEX        HMAC-SHA256 of "TIMESTAMP.BODY" with the content of tls.webhook.secret_file
//! ```
//!
//! A receiver compares the signature in constant time and refuses an old timestamp; `id` in the body tells a repeated
//! delivery. Anything but a 2xx answer is tried again, a few times, farther and farther apart.

use std::fmt::Write as _;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use aws_lc_rs::hmac;
use http::HeaderMap;
use jiff::Timestamp;
use reqwest::Url;
use serde::Serialize;
use tokio::sync::mpsc::Receiver;
use tokio_util::sync::CancellationToken;
use vibectl_config::Config;
use zeroize::Zeroizing;

use super::Event;
use crate::outgoing::backoff::{Backoff, lot};
use crate::outgoing::{Deadlines, Outgoing, SendError, Settings, Unusable};
use crate::provider::address::{AddressRule, Refused};
use crate::state::{Shared, unix_now};

/// Time to connect, and for one whole answer.
const CONNECT: Duration = Duration::from_secs(5);
const ANSWER: Duration = Duration::from_secs(10);
/// How often one event is tried, and the pauses between: a second, and a part of 4, 8, 16 and 32 that is drawn by lot.
const ATTEMPTS: u32 = 5;
const SHORTEST_PAUSE: Duration = Duration::from_secs(1);
const PAUSES: Backoff = Backoff { base: Duration::from_secs(4), cap: Duration::from_secs(32) };
/// A shorter secret can be guessed.
const SHORTEST_SECRET: usize = 16;

/// Why there is no webhook.
#[derive(Debug, thiserror::Error)]
pub enum WebhookError {
    /// The address is not one.
    #[error("tls.webhook.url: not a web address")]
    Url,
    /// The address leads where its author may not reach.
    #[error("tls.webhook.url: {0}")]
    Address(#[from] Refused),
    /// A file cannot be read.
    #[error("{key}: failed to read {path}", path = .path.display())]
    Read {
        /// The key that names it.
        key: &'static str,
        /// The file.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// The secret is too short.
    #[error(
        "tls.webhook.secret_file: less than {SHORTEST_SECRET} characters; `vibectl-server config generate-secret` makes one"
    )]
    Secret,
    /// The CA file cannot be used.
    #[error("tls.webhook.ca_file: {0}")]
    Ca(String),
    /// The HTTP library.
    #[error("no HTTP client can be made for tls.webhook")]
    Client(#[source] Box<dyn std::error::Error + Send + Sync>),
}

impl From<Unusable> for WebhookError {
    fn from(unusable: Unusable) -> Self {
        match unusable {
            Unusable::Address(refused) => Self::Address(refused),
            Unusable::Ca(error) => Self::Ca(error.to_string()),
            Unusable::Tls(_) | Unusable::Client(_) => Self::Client(Box::new(unusable)),
        }
    }
}

/// The receiver of events.
pub struct Webhook {
    client: Outgoing,
    url: Url,
    key: hmac::Key,
}

/// The body of a request.
#[derive(Serialize)]
struct Message<'a> {
    id: String,
    time: String,
    server_version: &'static str,
    instance: &'a str,
    #[serde(flatten)]
    event: &'a Event,
}

impl Webhook {
    /// The one of the config, if it has one. In a cluster its address obeys the rules of a provider's.
    pub fn of(config: &Config) -> Result<Option<Self>, WebhookError> {
        let Some(webhook) = &config.tls.webhook else { return Ok(None) };
        let rule = if config.access.is_some() { AddressRule::Guarded } else { AddressRule::Any };
        let url = Url::parse(&webhook.url).map_err(|_| WebhookError::Url)?;
        let read = |key, path: &PathBuf| {
            let bytes = std::fs::read(path).map(Zeroizing::new);
            bytes.map_err(|source| WebhookError::Read { key, path: path.clone(), source })
        };
        let secret = read("tls.webhook.secret_file", &webhook.secret_file)?;
        let secret = secret.trim_ascii();
        if secret.len() < SHORTEST_SECRET {
            return Err(WebhookError::Secret);
        }
        let ca = webhook.ca_file.as_ref().map(|path| read("tls.webhook.ca_file", path)).transpose()?;
        let client = Outgoing::new(Settings {
            url: Some(&url),
            rule,
            ca: ca.as_ref().map(|ca| ca.as_slice()),
            headers: HeaderMap::new(),
            deadlines: Deadlines::of_whole(CONNECT, ANSWER),
            kept: 1,
        })?;
        Ok(Some(Self { client, url, key: hmac::Key::new(hmac::HMAC_SHA256, secret) }))
    }

    /// Delivers what comes until told to stop.
    pub async fn run(self, mut events: Receiver<Event>, shared: Arc<Shared>, stop: CancellationToken) {
        loop {
            let event = tokio::select! {
                () = stop.cancelled() => return,
                Some(event) = events.recv() => event,
            };
            tokio::select! {
                () = stop.cancelled() => return,
                delivered = self.deliver(&event, &shared.instance.id) => {
                    let outcome = if delivered { "delivered" } else { "failed" };
                    shared.metrics.webhook_deliveries.with([outcome]).add(1);
                }
            }
        }
    }

    async fn deliver(&self, event: &Event, instance: &str) -> bool {
        let message = Message {
            id: uuid::Uuid::new_v4().to_string(),
            time: Timestamp::now().to_string(),
            server_version: env!("CARGO_PKG_VERSION"),
            instance,
            event,
        };
        let Ok(body) = serde_json::to_string(&message) else { return false };
        for attempt in 1..=ATTEMPTS {
            let problem = match self.post(event.name(), &body, unix_now()).await {
                Ok(status) if status.is_success() => return true,
                Ok(status) => format!("answered {}", status.as_u16()),
                Err(error) => error.to_string(),
            };
            tracing::warn!(event = event.name(), attempt, problem, "webhook was not delivered");
            if attempt < ATTEMPTS {
                tokio::time::sleep(SHORTEST_PAUSE + PAUSES.pause(attempt - 1, lot())).await;
            }
        }
        false
    }

    async fn post(&self, name: &'static str, body: &str, now: i64) -> Result<http::StatusCode, SendError> {
        let request = self.client.post(self.url.clone()).header("content-type", "application/json");
        let request = request
            .header("vibectl-event", name)
            .header("vibectl-timestamp", now.to_string())
            .header("vibectl-signature", signature(&self.key, now, body));
        Ok(self.client.send(request.body(body.to_owned())).await?.status())
    }
}

/// The value of the header `vibectl-signature`.
fn signature(key: &hmac::Key, timestamp: i64, body: &str) -> String {
    let mut context = hmac::Context::with_key(key);
    context.update(timestamp.to_string().as_bytes());
    context.update(b".");
    context.update(body.as_bytes());
    context.sign().as_ref().iter().fold("v1=".to_owned(), |mut text, byte| {
        // Writing to a String cannot fail.
        let _ = write!(text, "{byte:02x}");
        text
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_signature_is_what_any_other_hmac_computes() {
        // printf '1790000000.{}' | openssl dgst -sha256 -hmac 0123456789abcdef
        let key = hmac::Key::new(hmac::HMAC_SHA256, b"0123456789abcdef");

        assert_eq!(signature(&key, 1_790_000_000, "{}"), EXPECTED);
    }

    const EXPECTED: &str = "v1=3d02334942fff50e279f641c1b104ff5f49380d94ff307bb92b1e03f5aee6ff0";

    #[test]
    fn a_secret_that_can_be_guessed_and_an_address_that_is_refused_make_no_webhook() {
        let folder = tempfile::tempdir().expect("a folder");
        let secret = folder.path().join("secret");
        let of = |text: &str, url: &str, access: &str| {
            std::fs::write(&secret, text).expect("written");
            let config =
                format!("{access}tls: {{webhook: {{url: '{url}', secret_file: '{}'}}}}", secret.display());
            let config = Config::parse(&config, "c.yaml").expect("a good file").config;
            Webhook::of(&config).map(|webhook| webhook.is_some()).map_err(|error| error.to_string())
        };
        let (good, cluster) = ("0123456789abcdef\n", "access: {issuer: i, audience: a}\n");

        assert_eq!(of(good, "http://127.0.0.1:1/hook", ""), Ok(true));
        assert!(of("short", "http://127.0.0.1:1/hook", "").expect_err("short").contains("less than 16"));
        let refused = of(good, "http://169.254.169.254/hook", cluster).expect_err("metadata");
        assert_eq!(refused, "tls.webhook.url: a link-local address");
        assert!(of(good, "http://[::1]/hook", cluster).expect_err("the pod itself").contains("loopback"));
    }
}
