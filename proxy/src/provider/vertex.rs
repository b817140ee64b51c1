//! Google's models on Vertex AI: the dialect of `gemini` at the address of a project, with the access token of a service
//! account. The account's key never leaves this process; tokens go to the API alone.

mod service_account;
mod token;

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use bytes::Bytes;
use http::{HeaderName, HeaderValue, header::AUTHORIZATION};
use jiff::Timestamp;
use serde::Deserialize;
use tokio::time::timeout;

pub(crate) use self::service_account::BadAccount;
use self::{
    service_account::ServiceAccount,
    token::{Token, TokenKeeper},
};
use super::{
    Completion, ModelRequest, ProviderError, ProviderErrorKind, Reply,
    address::AddressRule,
    client::{self, Client, KeyHeader, Off, Response, Settings},
    gemini::{self, GeminiStream},
    path::segment,
    sources::Sources,
};

/// From the first byte of a request for a token to the last of its answer.
const TOKEN_DEADLINE: Duration = Duration::from_secs(10);

/// RFC 7523, 2.1, in percent-encoding.
const GRANT_TYPE: &str = "urn%3Aietf%3Aparams%3Aoauth%3Agrant-type%3Ajwt-bearer";

/// Vertex AI in one region of a project.
#[derive(Debug)]
pub(super) struct Vertex {
    client: Client,
    /// Below the base URL.
    location: String,
    issuer: Arc<Issuer>,
    token: TokenKeeper,
}

/// Where tokens come from.
#[derive(Debug)]
struct Issuer {
    account: ServiceAccount,
    client: Client,
}

#[derive(Deserialize)]
struct WireToken {
    access_token: String,
    expires_in: u64,
}

impl Vertex {
    pub(super) fn new(
        provider: &vibectl_config::Provider,
        config: &vibectl_config::Vertex,
        rule: AddressRule,
        sources: &Sources<'_>,
    ) -> Result<Self, Off> {
        let key = sources.secret(&config.service_account, "service account key")?;
        // No key is in the endpoint: each request has a token.
        let settings = || Settings::of(provider, &config.endpoint, KeyHeader::Bearer, rule, sources);
        let client = Client::new(settings()?)?;
        let account = ServiceAccount::parse(&key, config.endpoint.base_url.starts_with("http://"))?;
        let settings = Settings { base_url: account.token_url.as_str(), ..settings()? };
        let token_client = Client::new(settings).map_err(|off| match off {
            Off::Address(refused) => Off::TokenAddress(refused),
            off => off,
        })?;
        let issuer = Arc::new(Issuer { client: token_client, account });
        let location = format!("projects/{}/locations/{}", segment(&config.project), segment(&config.region));
        Ok(Self { client, location, issuer, token: TokenKeeper::default() })
    }

    /// Asks for the region, which tells whether the account is accepted.
    pub(super) async fn probe(&self) -> Result<(), ProviderError> {
        let headers = self.headers().await?;
        self.client.get_with(&self.location, headers).await.map(drop)
    }

    pub(super) async fn complete(
        &self,
        model: &str,
        request: &ModelRequest,
    ) -> Result<Completion, ProviderError> {
        let body = gemini::encode(request)?;
        let response = self.post(model, "generateContent", client::JSON, body).await?;
        let answer = gemini::answer(&client::read_body(response).await?)?;
        Ok(Completion { reply: Reply::Said(answer.said), usage: answer.usage })
    }

    pub(super) async fn stream(
        &self,
        model: &str,
        request: &ModelRequest,
    ) -> Result<GeminiStream, ProviderError> {
        let body = gemini::encode(request)?;
        let action = "streamGenerateContent?alt=sse";
        GeminiStream::new(self.post(model, action, client::EVENTS, body).await?)
    }

    async fn post(
        &self,
        model: &str,
        action: &str,
        accept: &'static str,
        body: Bytes,
    ) -> Result<Response, ProviderError> {
        let headers = self.headers().await?;
        let path = format!("{}/publishers/google/models/{}:{action}", self.location, segment(model));
        self.client.post_with(&path, accept, body, headers).await
    }

    async fn headers(&self) -> Result<[(HeaderName, HeaderValue); 1], ProviderError> {
        let issuer = Arc::clone(&self.issuer);
        let header = self.token.header(|| async move { issuer.token().await }, Instant::now).await?;
        Ok([(AUTHORIZATION, header)])
    }
}

impl Issuer {
    /// Asks for a token.
    async fn token(&self) -> Result<Token, ProviderError> {
        let refused = |error: ProviderError| match error.kind {
            // Whatever is wrong with the request, it is our account that is not accepted.
            ProviderErrorKind::Rejected => ProviderError::new(
                ProviderErrorKind::Auth,
                "the provider does not accept the service account of this server",
            ),
            _ => error,
        };
        let late =
            || ProviderError::new(ProviderErrorKind::Timeout, "the provider did not make a token in time");
        timeout(TOKEN_DEADLINE, self.ask()).await.map_err(|_| late())?.map_err(refused)
    }

    async fn ask(&self) -> Result<Token, ProviderError> {
        let assertion = self.account.assertion(Timestamp::now()).ok_or_else(|| {
            ProviderError::new(ProviderErrorKind::Auth, "the key of the service account cannot sign")
        })?;
        let form = format!("grant_type={GRANT_TYPE}&assertion={assertion}");
        let body = client::read_body(self.client.post_form(form.into()).await?).await?;
        let no_token = || ProviderError::bad_answer("the provider's answer is no token");
        let WireToken { access_token, expires_in } = serde_json::from_slice(&body).map_err(|_| no_token())?;
        let mut header = HeaderValue::from_str(&format!("Bearer {access_token}")).map_err(|_| no_token())?;
        header.set_sensitive(true);
        // A day at most: what is longer is no time that anybody means.
        Ok(Token { header, lifetime: Duration::from_secs(expires_in.min(86_400)) })
    }
}
