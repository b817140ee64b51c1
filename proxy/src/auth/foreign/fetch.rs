//! Fetches the key set of another issuer. Its address may be a user's choice, so the rules for providers hold.

use std::time::Duration;

use http::HeaderMap;
use reqwest::Url;
use serde::Deserialize;
use thiserror::Error;
use tokio::time::timeout;
use vibectl_token::foreign::{Issuer, KeySource};

use crate::outgoing::{Deadlines, Outgoing, SendError, Settings, Unusable};
use crate::provider::address::{AddressRule, Refused};

/// For each of the two requests, from the name look-up to the last byte.
const DEADLINE: Duration = Duration::from_secs(5);
/// Longer than any key set that would be accepted.
const MAX_BODY_BYTES: usize = 512 * 1024;
/// OpenID Connect Discovery 1.0, 4.
const DISCOVERY: &str = "/.well-known/openid-configuration";

/// Why there are no new keys.
#[derive(Debug, Error)]
pub(super) enum FetchError {
    #[error("{0} is not an https address")]
    NotHttps(String),
    #[error("{url} has {refused}")]
    Address { url: String, refused: Refused },
    #[error("failed to make an HTTP client")]
    Client(#[from] Unusable),
    #[error("failed to get {url}")]
    Http { url: String, source: SendError },
    #[error("{url} did not answer in time")]
    Late { url: String },
    #[error("{url} answered with status {status}")]
    Status { url: String, status: u16 },
    #[error("{url} answered with more than {MAX_BODY_BYTES} bytes")]
    TooLong { url: String },
    #[error("{url} is no discovery document")]
    NoDocument { url: String, source: serde_json::Error },
    #[error("{url} is the discovery document of another issuer")]
    OtherIssuer { url: String },
}

/// Knows where the keys of one issuer are.
#[derive(Debug)]
pub(super) struct Fetcher {
    http: Outgoing,
    issuer: String,
    url: Option<String>,
}

#[derive(Deserialize)]
struct Document {
    issuer: String,
    jwks_uri: String,
}

impl Fetcher {
    pub(super) fn new(issuer: &Issuer, rule: AddressRule) -> Result<Self, FetchError> {
        let http = Outgoing::new(Settings {
            url: None,
            rule,
            ca: issuer.ca_bundle.as_ref().map(String::as_bytes),
            headers: HeaderMap::new(),
            deadlines: Deadlines::of_whole(DEADLINE, DEADLINE),
            kept: 0,
        })?;
        let url = match &issuer.keys {
            KeySource::Url(url) => Some(url.clone()),
            KeySource::Inline(_) | KeySource::Discovery => None,
        };
        Ok(Self { http, issuer: issuer.issuer.clone(), url })
    }

    /// The key set as it is now.
    pub(super) async fn fetch(&self) -> Result<Vec<u8>, FetchError> {
        match &self.url {
            Some(url) => self.get(url).await,
            None => self.get(&self.discover().await?).await,
        }
    }

    async fn discover(&self) -> Result<String, FetchError> {
        let url = format!("{}{DISCOVERY}", self.issuer.trim_end_matches('/'));
        let body = self.get(&url).await?;
        let document: Document = match serde_json::from_slice(&body) {
            Ok(document) => document,
            Err(source) => return Err(FetchError::NoDocument { url, source }),
        };
        if document.issuer == self.issuer {
            Ok(document.jwks_uri)
        } else {
            Err(FetchError::OtherIssuer { url })
        }
    }

    async fn get(&self, url: &str) -> Result<Vec<u8>, FetchError> {
        let parsed = Url::parse(url).ok().filter(|parsed| parsed.scheme() == "https" && parsed.has_host());
        let parsed = parsed.ok_or_else(|| FetchError::NotHttps(url.to_owned()))?;
        match timeout(DEADLINE, self.read(parsed)).await {
            Ok(body) => body,
            Err(_) => Err(FetchError::Late { url: url.to_owned() }),
        }
    }

    async fn read(&self, url: Url) -> Result<Vec<u8>, FetchError> {
        let shown = url.to_string();
        let failed = |error| match error {
            SendError::Address(refused) => FetchError::Address { url: shown.clone(), refused },
            SendError::Late => FetchError::Late { url: shown.clone() },
            SendError::TooLong(_) => FetchError::TooLong { url: shown.clone() },
            source @ SendError::Http(_) => FetchError::Http { url: shown.clone(), source },
        };
        let response = self.http.send(self.http.get(url)).await.map_err(failed)?;
        if !response.status().is_success() {
            return Err(FetchError::Status { url: shown, status: response.status().as_u16() });
        }
        response.body(MAX_BODY_BYTES).await.map(Vec::from).map_err(failed)
    }
}
