//! The OpenAI chat completions dialect, spoken by OpenAI, vLLM, llama.cpp, Ollama, `LiteLLM` and most hosters.
//!
//! A request comes in one of two forms. A prompt is encoded, and its answer decoded to text. A caller's own chat body is
//! sent on as it is but for the model's name, and the answer handed back byte for byte; it is only read along for its usage.
//!
//! Azure speaks it too, at other paths and with another header for the key.

mod body;
mod decode;
mod encode;
pub(super) mod fuzz;
mod message;
pub mod responses;
mod stream;
mod surface;
mod tools;
mod wire;

use self::surface::{CHAT, EMBEDDINGS, Surface};
pub use self::{body::ChatBody, stream::OpenAiStream};
use super::{
    Completion, ModelRequest, ProviderError, Reply,
    address::AddressRule,
    client::{self, Client, KeyHeader, Off, Settings},
    embeddings::{self, Embeddings, EmbeddingsRequest, Vectors},
    sources::Sources,
};

/// A server that speaks the dialect.
#[derive(Debug)]
pub(super) struct OpenAi {
    client: Client,
    surface: Surface,
    output_cap: encode::OutputCap,
}

impl OpenAi {
    pub(super) fn new(
        provider: &vibectl_config::Provider,
        config: &vibectl_config::Endpoint,
        rule: AddressRule,
        sources: &Sources<'_>,
    ) -> Result<Self, Off> {
        let client = Client::new(Settings::of(provider, config, KeyHeader::Bearer, rule, sources)?)?;
        let output_cap = encode::OutputCap::of_host(client.host());
        Ok(Self { client, surface: Surface::Plain, output_cap })
    }

    /// The same at Azure.
    pub(super) fn azure(
        provider: &vibectl_config::Provider,
        config: &vibectl_config::AzureOpenAi,
        rule: AddressRule,
        sources: &Sources<'_>,
    ) -> Result<Self, Off> {
        let settings = Settings::of(provider, &config.endpoint, surface::AZURE_KEY, rule, sources)?;
        let surface = Surface::of_azure(config.api_version.as_deref());
        let output_cap = encode::OutputCap::MaxCompletionTokens;
        Ok(Self { client: Client::new(settings)?, surface, output_cap })
    }

    /// Asks for the list of models.
    pub(super) async fn probe(&self) -> Result<(), ProviderError> {
        self.client.get(&self.surface.models()).await.map(drop)
    }

    pub(super) async fn complete(
        &self,
        model: &str,
        request: &ModelRequest,
    ) -> Result<Completion, ProviderError> {
        let body = match request.chat_body() {
            Some(body) => body.for_provider(model, false),
            None => encode::encode(model, request, false, self.output_cap)?,
        };
        let response = self.client.post(&self.surface.path(CHAT, model), client::JSON, body).await?;
        let body = client::read_body(response).await?;
        let answer = decode::answer(&body)?;
        let reply = match request.chat_body() {
            Some(_) => Reply::Raw(body, answer.said.chars()),
            None => Reply::Said(answer.said),
        };
        Ok(Completion { reply, usage: answer.usage })
    }

    pub(super) async fn stream(
        &self,
        model: &str,
        request: &ModelRequest,
    ) -> Result<OpenAiStream, ProviderError> {
        let body = match request.chat_body() {
            Some(body) => body.for_provider(model, true),
            None => encode::encode(model, request, true, self.output_cap)?,
        };
        let response = self.client.post(&self.surface.path(CHAT, model), client::EVENTS, body).await?;
        OpenAiStream::new(response, request.chat_body())
    }

    pub(super) async fn embed(
        &self,
        model: &str,
        request: &EmbeddingsRequest,
    ) -> Result<Embeddings, ProviderError> {
        let body = request.for_provider(model);
        let response = self.client.post(&self.surface.path(EMBEDDINGS, model), client::JSON, body).await?;
        let body = client::read_body(response).await?;
        let input_tokens = embeddings::input_tokens(&body);
        Ok(Embeddings { vectors: Vectors::Raw(body), input_tokens })
    }
}
