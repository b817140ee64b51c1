//! The Anthropic Messages dialect.
//!
//! A caller's own Messages request is sent on as it is but for the model's name, and the answer handed back byte for byte, so
//! that thinking, signatures and marks for the cache survive; it is only read along for its usage. Everything else is encoded.
//!
//! Structured output is asked for by the mechanism that every model of the dialect has: one tool whose arguments are the answer,
//! and no choice but to use it. The arguments are the text of the answer then.

mod body;
mod decode;
mod encode;
pub(super) mod fuzz;
mod message;
mod stream;

use bytes::Bytes;
use http::HeaderName;

pub use self::body::MessagesBody;
pub(super) use self::stream::AnthropicStream;
use self::stream::Form;
use super::{
    Completion, ModelRequest, ProviderError, Reply,
    address::AddressRule,
    client::{self, Client, KeyHeader, Off, Response, Settings},
    sources::Sources,
};

const PATH: &str = "messages";
const COUNT_PATH: &str = "messages/count_tokens";

/// Where callers ask for features that are not in the dialect's version yet.
const BETA: HeaderName = HeaderName::from_static("anthropic-beta");

const KEY_HEADER: KeyHeader = KeyHeader::Plain("x-api-key");

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
        let settings = Settings::of(provider, &config.endpoint, KEY_HEADER, rule, sources)?;
        let client = Client::new(Settings { fixed_header: Some(VERSION), ..settings })?;
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
        let (body, native) = self.body(model, request, false)?;
        let response = self.post(PATH, client::JSON, body, request).await?;
        let body = client::read_body(response).await?;
        let answer = decode::answer(&body, request.schema.is_some() && !native)?;
        let reply = if native { Reply::Raw(body, answer.said.chars()) } else { Reply::Said(answer.said) };
        Ok(Completion { reply, usage: Some(answer.usage) })
    }

    pub(super) async fn stream(
        &self,
        model: &str,
        request: &ModelRequest,
    ) -> Result<AnthropicStream, ProviderError> {
        let (body, native) = self.body(model, request, true)?;
        let response = self.post(PATH, client::EVENTS, body, request).await?;
        AnthropicStream::new(response, if native { Form::Raw } else { Form::of(request) })
    }

    /// How many tokens the prompt of a caller's own request has.
    pub(super) async fn count_tokens(
        &self,
        model: &str,
        request: &ModelRequest,
    ) -> Result<Option<u64>, ProviderError> {
        let Some(body) = request.messages_body() else { return Ok(None) };
        let body = body.for_provider(model);
        let response = self.post(COUNT_PATH, client::JSON, body, request).await?;
        decode::token_count(&client::read_body(response).await?).map(Some)
    }

    /// The body to send, and whether it is the caller's own.
    fn body(
        &self,
        model: &str,
        request: &ModelRequest,
        stream: bool,
    ) -> Result<(Bytes, bool), ProviderError> {
        match request.messages_body() {
            Some(body) => Ok((body.for_provider(model), true)),
            None => encode::encode(model, request, stream, self.max_tokens).map(|body| (body, false)),
        }
    }

    async fn post(
        &self,
        path: &str,
        accept: &'static str,
        body: Bytes,
        request: &ModelRequest,
    ) -> Result<Response, ProviderError> {
        let beta = request.messages_body().and_then(MessagesBody::beta);
        self.client.post_with(path, accept, body, beta.map(|value| (BETA, value.clone()))).await
    }
}
