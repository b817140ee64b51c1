//! The issuer of the cluster's own service accounts: its name and public keys, read from the API server.
//!
//! Read only while a ProxyToken names a service account, and then once in a while: an API server that gets a new key goes on
//! with the old one beside it for as long as tokens of it are about.

use std::{
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use kube::Client;
use serde::Deserialize;
use serde_json::Value;
use tokio::{sync::Notify, time::sleep};
use tokio_util::sync::CancellationToken;
use vibectl_token::foreign::{ForeignKeySet, ForeignKeySetError, Issuer, KeySource};

use crate::{
    access::identity,
    context::Context,
    names::{CLUSTER_ISSUER, audience_for_service_accounts},
};

/// Served by every API server (Service Account Issuer Discovery).
const DISCOVERY: &str = "/.well-known/openid-configuration";
/// The API server's own keys, wherever its discovery document sends others to.
const KEYS: &str = "/openid/v1/jwks";

const REFRESH: Duration = Duration::from_secs(60);
const RETRY: Duration = Duration::from_secs(5);

/// What is known of the issuer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Known {
    /// Its `iss`.
    pub issuer: String,
    /// Its key set.
    pub keys: Value,
}

/// What was read last, shared between the task that reads and the reconciles that need it.
#[derive(Debug, Default)]
pub struct ClusterIssuer {
    known: Mutex<Option<Arc<Known>>>,
    wanted: Notify,
}

/// Why nothing could be read.
#[derive(Debug, thiserror::Error)]
enum ReadError {
    #[error("failed to read {0} from the API server: {1}")]
    Api(&'static str, #[source] Box<kube::Error>),
    #[error("failed to read {0} as JSON: {1}")]
    Json(&'static str, #[source] serde_json::Error),
    #[error(transparent)]
    Keys(#[from] ForeignKeySetError),
}

#[derive(Deserialize)]
struct Discovery {
    issuer: String,
}

impl ClusterIssuer {
    /// What was read last; asks for a read when there is nothing.
    pub fn known(&self) -> Option<Arc<Known>> {
        let known = self.known.lock().unwrap_or_else(PoisonError::into_inner).clone();
        if known.is_none() {
            self.wanted.notify_one();
        }
        known
    }

    /// Puts what was read; true when it is something else than before.
    pub fn put(&self, new: Known) -> bool {
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        let changed = known.as_deref() != Some(&new);
        if changed {
            *known = Some(Arc::new(new));
        }
        changed
    }
}

impl Known {
    /// As the proxies of this LlmProxy are told: its tokens must be for this proxy.
    pub fn for_proxy(&self, namespace: &str, name: &str) -> Issuer {
        Issuer {
            name: CLUSTER_ISSUER.to_owned(),
            issuer: self.issuer.clone(),
            audiences: vec![audience_for_service_accounts(namespace, name)],
            keys: KeySource::Inline(self.keys.clone()),
            ca_bundle: None,
        }
    }
}

/// Keeps what is known fresh from when it is first wanted, until `stop`.
pub async fn watch(context: Arc<Context>, stop: CancellationToken) {
    tokio::select! {
        () = context.cluster_issuer.wanted.notified() => {}
        () = stop.cancelled() => return,
    }
    loop {
        let wait = match read(&context.client).await {
            Ok(new) => {
                if context.cluster_issuer.put(new) {
                    tell(&context);
                }
                REFRESH
            }
            Err(error) => {
                tracing::warn!(%error, "the tokens of service accounts cannot be checked with newer keys");
                RETRY
            }
        };
        tokio::select! {
            () = sleep(wait) => {}
            () = stop.cancelled() => return,
        }
    }
}

async fn read(client: &Client) -> Result<Known, ReadError> {
    let Discovery { issuer } = get(client, DISCOVERY).await?;
    let keys: Value = get(client, KEYS).await?;
    ForeignKeySet::parse(keys.to_string().as_bytes())?;
    Ok(Known { issuer, keys })
}

async fn get<T: serde::de::DeserializeOwned>(client: &Client, path: &'static str) -> Result<T, ReadError> {
    let failed = |error| ReadError::Api(path, Box::new(error));
    let request =
        http::Request::get(path).body(Vec::new()).map_err(|error| failed(kube::Error::HttpError(error)))?;
    let text = client.request_text(request).await.map_err(failed)?;
    serde_json::from_str(&text).map_err(|error| ReadError::Json(path, error))
}

/// Every LlmProxy that has a ProxyToken of a service account.
fn tell(context: &Context) {
    let stores = &context.stores;
    let named = stores
        .tokens
        .filter(|token| identity::of(token).is_some_and(|identity| identity.issuer == CLUSTER_ISSUER));
    for token in named {
        let (namespace, name) = crate::access::proxy_of(&token);
        context.triggers.proxy(namespace, name);
    }
}
