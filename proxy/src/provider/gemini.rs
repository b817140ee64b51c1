//! The dialect of Google's models: `generateContent` and its stream.
//!
//! Structured output is asked for by the dialect's own mechanism, a JSON schema of the response.

mod call_id;
mod decode;
mod encode;
pub(super) mod fuzz;
mod stream;

pub(super) use self::{decode::answer, encode::encode, stream::GeminiStream};
use super::{
    Completion, ModelRequest, ProviderError, Reply,
    address::AddressRule,
    client::{self, Client, KeyHeader, Off, Settings},
    path::segment,
    sources::Sources,
};

const KEY_HEADER: KeyHeader = KeyHeader::Plain("x-goog-api-key");

/// A server that speaks the dialect.
#[derive(Debug)]
pub(super) struct Gemini {
    client: Client,
}

impl Gemini {
    pub(super) fn new(
        provider: &vibectl_config::Provider,
        config: &vibectl_config::Endpoint,
        rule: AddressRule,
        sources: &Sources<'_>,
    ) -> Result<Self, Off> {
        let settings = Settings::of(provider, config, KEY_HEADER, rule, sources)?;
        Ok(Self { client: Client::new(settings)? })
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
        let body = encode(request)?;
        let path = format!("models/{}:generateContent", segment(model));
        let response = self.client.post(&path, client::JSON, body).await?;
        let answer = answer(&client::read_body(response).await?)?;
        Ok(Completion { reply: Reply::Said(answer.said), usage: answer.usage })
    }

    pub(super) async fn stream(
        &self,
        model: &str,
        request: &ModelRequest,
    ) -> Result<GeminiStream, ProviderError> {
        let body = encode(request)?;
        let path = format!("models/{}:streamGenerateContent?alt=sse", segment(model));
        GeminiStream::new(self.client.post(&path, client::EVENTS, body).await?)
    }
}
