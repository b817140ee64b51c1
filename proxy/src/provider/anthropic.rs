//! The Anthropic Messages dialect.
//!
//! Structured output is asked for by the mechanism that every model of the dialect has: one tool whose arguments are the answer,
//! and no choice but to use it. The arguments are the text of the answer then.

mod decode;
mod encode;
mod stream;

use std::time::Duration;

pub(super) use self::stream::AnthropicStream;
use super::{
    Completion, ModelRequest, ProviderError, Reply,
    address::AddressRule,
    client::{self, Client, KeyHeader, Off, Settings},
    sources::Sources,
};

const PATH: &str = "messages";

/// The version of the dialect that is written and read here.
const VERSION: (&str, &str) = ("anthropic-version", "2023-06-01");

/// A server that speaks the dialect.
#[derive(Debug)]
pub(super) struct Anthropic {
    client: Client,
    /// Cap of an answer whose length the caller does not limit; the dialect wants one.
    max_tokens: u32,
}

impl Anthropic {
    pub(super) fn new(
        provider: &vibectl_config::Provider,
        config: &vibectl_config::Anthropic,
        rule: AddressRule,
        sources: &Sources<'_>,
    ) -> Result<Self, Off> {
        let client = Client::new(Settings {
            base_url: &config.endpoint.base_url,
            key: sources.key(&config.endpoint)?,
            key_header: KeyHeader::ApiKey,
            fixed_header: Some(VERSION),
            ca: sources.ca(&config.endpoint)?,
            connect_timeout: Duration::from_secs(provider.connect_timeout_seconds.into()),
            idle_timeout: Duration::from_secs(provider.idle_timeout_seconds.into()),
            rule,
        })?;
        Ok(Self { client, max_tokens: config.max_tokens })
    }

    /// Asks for the list of models.
    pub(super) async fn probe(&self) -> Result<(), ProviderError> {
        self.client.get("models").await.map(drop)
    }

    pub(super) async fn complete(
        &self,
        model: &str,
        request: &ModelRequest,
    ) -> Result<Completion, ProviderError> {
        let body = encode::encode(model, request, false, self.max_tokens)?;
        let response = self.client.post(PATH, "application/json", body).await?;
        let answer = decode::answer(&client::read_body(response).await?, request.schema.is_some())?;
        Ok(Completion { reply: Reply::Said(answer.said), usage: Some(answer.usage) })
    }

    pub(super) async fn stream(
        &self,
        model: &str,
        request: &ModelRequest,
    ) -> Result<AnthropicStream, ProviderError> {
        let body = encode::encode(model, request, true, self.max_tokens)?;
        let response = self.client.post(PATH, "text/event-stream", body).await?;
        AnthropicStream::new(response, request.schema.is_some())
    }
}
