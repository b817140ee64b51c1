//! Providers: who answers a call. One type in front, one file per dialect behind it.
//!
//! A provider takes a [`ModelRequest`] and gives a [`Completion`] or a [`ModelStream`]; it knows nothing of callers, limits
//! or routes, never retries, and does its work only while it is polled: dropping a future or a stream ends the upstream
//! call.

pub mod address;
mod answer_tool;
pub mod anthropic;
mod bedrock;
pub(crate) mod client;
pub mod conversation;
mod echo;
pub mod embeddings;
mod error;
mod events;
pub mod fuzz;
mod gemini;
pub mod native;
pub mod openai;
mod path;
pub mod sources;
pub mod sse;
mod turns;
mod vertex;

use bytes::Bytes;
use vibectl_config::ProviderKind;

use self::{
    address::AddressRule,
    anthropic::{Anthropic, AnthropicStream},
    bedrock::{Bedrock, BedrockStream},
    echo::{Echo, EchoStream},
    embeddings::{Embeddings, EmbeddingsRequest},
    gemini::{Gemini, GeminiStream},
    openai::{OpenAi, OpenAiStream},
    sources::Sources,
    vertex::Vertex,
};
pub use self::{
    conversation::{
        Finish, Image, Message, ModelRequest, Parameters, Part, Piece, Role, Said, Tool, ToolCall,
        ToolChoice, ToolResult, Usage,
    },
    error::{ProviderError, ProviderErrorKind},
};

/// A whole answer.
#[derive(Debug)]
pub struct Completion {
    /// The answer.
    pub reply: Reply,
    /// What it took, where the provider told.
    pub usage: Option<Usage>,
}

/// A whole answer in the form that the request asked for.
#[derive(Debug)]
pub enum Reply {
    /// In the dialect of nobody.
    Said(Said),
    /// The provider's own response to the caller's own request, with the number of characters of what the model says.
    Raw(Bytes, usize),
}

/// A piece of a streamed answer.
#[derive(Debug, PartialEq, Eq)]
pub enum ModelEvent {
    /// In the dialect of nobody.
    Said(Piece),
    /// Why the answer ends; nothing is said after it.
    Finish(Finish),
    /// An event of the provider's own response to the caller's own request, with the number of characters in it.
    Raw(Bytes, usize),
    /// What the call has taken so far; the last one counts.
    Usage(Usage),
}

/// One provider of the config, ready to be called.
#[derive(Debug)]
pub struct Provider {
    name: String,
    kind: Kind,
}

#[derive(Debug)]
enum Kind {
    Echo(Echo),
    OpenAi(OpenAi),
    Anthropic(Anthropic),
    Gemini(Gemini),
    Bedrock(Box<Bedrock>),
    Vertex(Box<Vertex>),
    /// Cannot be called as things are; the reason names no secret.
    Off(String),
}

/// The rest of a streamed answer.
#[derive(Debug)]
pub enum ModelStream {
    /// Of the embedded provider.
    Echo(EchoStream),
    /// Of an OpenAI-compatible server.
    OpenAi(Box<OpenAiStream>),
    /// Of a server that speaks the Anthropic dialect.
    Anthropic(Box<AnthropicStream>),
    /// Of a server that speaks the dialect of Google's models.
    Gemini(Box<GeminiStream>),
    /// Of Amazon Bedrock.
    Bedrock(Box<BedrockStream>),
}

impl Provider {
    /// Makes the provider that the config describes. One that lacks its key or its CA is off and says why.
    pub fn new(config: &vibectl_config::Provider, rule: AddressRule, sources: &Sources<'_>) -> Self {
        let made = match &config.kind {
            ProviderKind::Echo(echo) => Ok(Kind::Echo(Echo::new(echo.clone()))),
            ProviderKind::OpenAi(openai) => OpenAi::new(config, openai, rule, sources).map(Kind::OpenAi),
            ProviderKind::AzureOpenAi(azure) => OpenAi::azure(config, azure, rule, sources).map(Kind::OpenAi),
            ProviderKind::Anthropic(anthropic) => {
                Anthropic::new(config, anthropic, rule, sources).map(Kind::Anthropic)
            }
            ProviderKind::Gemini(gemini) => Gemini::new(config, gemini, rule, sources).map(Kind::Gemini),
            ProviderKind::Vertex(vertex) => {
                Vertex::new(config, vertex, rule, sources).map(Box::new).map(Kind::Vertex)
            }
            ProviderKind::Bedrock(bedrock) => {
                Bedrock::new(config, bedrock, rule, sources).map(Box::new).map(Kind::Bedrock)
            }
        };
        let kind = made.unwrap_or_else(|off| Kind::Off(off.to_string()));
        Self { name: config.name.clone(), kind }
    }

    /// Its name in the config.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Why it cannot be called, if so.
    pub fn off_reason(&self) -> Option<&str> {
        match &self.kind {
            Kind::Off(reason) => Some(reason),
            Kind::Echo(_)
            | Kind::OpenAi(_)
            | Kind::Anthropic(_)
            | Kind::Gemini(_)
            | Kind::Bedrock(_)
            | Kind::Vertex(_) => None,
        }
    }

    /// Whether it answers, to a question that costs nothing.
    pub async fn probe(&self) -> Result<(), ProviderError> {
        match &self.kind {
            Kind::Echo(_) => Ok(()),
            Kind::OpenAi(openai) => openai.probe().await,
            Kind::Anthropic(anthropic) => anthropic.probe().await,
            Kind::Gemini(gemini) => gemini.probe().await,
            Kind::Bedrock(bedrock) => bedrock.probe().await,
            Kind::Vertex(vertex) => vertex.probe().await,
            Kind::Off(reason) => Err(ProviderError::off(reason)),
        }
    }

    /// The whole answer of `model`.
    pub async fn complete(&self, model: &str, request: &ModelRequest) -> Result<Completion, ProviderError> {
        match &self.kind {
            Kind::Echo(echo) => echo.complete(request).await,
            Kind::OpenAi(openai) => openai.complete(model, request).await,
            Kind::Anthropic(anthropic) => anthropic.complete(model, request).await,
            Kind::Gemini(gemini) => gemini.complete(model, request).await,
            Kind::Bedrock(bedrock) => bedrock.complete(model, request).await,
            Kind::Vertex(vertex) => vertex.complete(model, request).await,
            Kind::Off(reason) => Err(ProviderError::off(reason)),
        }
    }

    /// How many tokens the prompt has for `model`; `None` where the provider does not tell without answering it.
    pub async fn count_tokens(
        &self,
        model: &str,
        request: &ModelRequest,
    ) -> Result<Option<u64>, ProviderError> {
        match &self.kind {
            Kind::Anthropic(anthropic) => anthropic.count_tokens(model, request).await,
            Kind::Echo(_) | Kind::OpenAi(_) | Kind::Gemini(_) | Kind::Bedrock(_) | Kind::Vertex(_) => {
                Ok(None)
            }
            Kind::Off(reason) => Err(ProviderError::off(reason)),
        }
    }

    /// The vectors of `model`.
    pub async fn embed(&self, model: &str, request: &EmbeddingsRequest) -> Result<Embeddings, ProviderError> {
        match &self.kind {
            Kind::Echo(echo) => echo.embed(request),
            Kind::OpenAi(openai) => openai.embed(model, request).await,
            Kind::Anthropic(_) | Kind::Gemini(_) | Kind::Bedrock(_) | Kind::Vertex(_) => {
                Err(ProviderError::inexpressible("embeddings"))
            }
            Kind::Off(reason) => Err(ProviderError::off(reason)),
        }
    }

    /// The answer of `model` as it comes. Ready when the provider has accepted the request.
    pub async fn stream(&self, model: &str, request: &ModelRequest) -> Result<ModelStream, ProviderError> {
        match &self.kind {
            Kind::Echo(echo) => echo.stream(request).await.map(ModelStream::Echo),
            Kind::OpenAi(openai) => {
                openai.stream(model, request).await.map(Box::new).map(ModelStream::OpenAi)
            }
            Kind::Anthropic(anthropic) => {
                anthropic.stream(model, request).await.map(Box::new).map(ModelStream::Anthropic)
            }
            Kind::Gemini(gemini) => {
                gemini.stream(model, request).await.map(Box::new).map(ModelStream::Gemini)
            }
            Kind::Bedrock(bedrock) => {
                bedrock.stream(model, request).await.map(Box::new).map(ModelStream::Bedrock)
            }
            Kind::Vertex(vertex) => {
                vertex.stream(model, request).await.map(Box::new).map(ModelStream::Gemini)
            }
            Kind::Off(reason) => Err(ProviderError::off(reason)),
        }
    }
}

impl ModelStream {
    /// The next piece; `None` after the last one.
    pub async fn next(&mut self) -> Option<Result<ModelEvent, ProviderError>> {
        match self {
            Self::Echo(stream) => stream.next().await.map(Ok),
            Self::OpenAi(stream) => stream.next().await.transpose(),
            Self::Anthropic(stream) => stream.next().await.transpose(),
            Self::Gemini(stream) => stream.next().await.transpose(),
            Self::Bedrock(stream) => stream.next().await.transpose(),
        }
    }
}
