//! Providers: who answers a call. One type in front, one file per dialect behind it.
//!
//! A provider takes a [`ModelRequest`] and gives a [`Completion`] or a [`ModelStream`]; it knows nothing of callers, limits
//! or routes, never retries, and does its work only while it is polled: dropping a future or a stream ends the upstream
//! call.

pub mod address;
pub(crate) mod client;
mod echo;
mod error;
pub mod openai;
pub mod sources;
pub mod sse;

use bytes::Bytes;
use vibectl_config::ProviderKind;

pub use self::error::{ProviderError, ProviderErrorKind};
use self::{
    address::AddressRule,
    echo::{Echo, EchoStream},
    openai::{ChatBody, OpenAi, OpenAiStream},
    sources::Sources,
};
use crate::structured::Schema;

/// What a model is asked.
#[derive(Debug, Default)]
pub struct ModelRequest {
    /// The conversation, in order.
    pub messages: Vec<Message>,
    /// What the answer must be an instance of.
    pub schema: Option<Schema>,
    /// How the answer is made.
    pub parameters: Parameters,
    /// The caller's own OpenAI request, sent as it is where the provider speaks that dialect.
    pub chat_body: Option<ChatBody>,
}

/// One message of the conversation.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Message {
    /// Who says it.
    pub role: Role,
    /// What is said.
    pub content: String,
}

/// Who says something.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Role {
    /// The one who set up the conversation.
    System,
    /// The caller.
    User,
    /// The model, earlier.
    Assistant,
}

/// How an answer is made; absent means the provider's default.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Parameters {
    /// Tokens after which the answer is cut.
    pub max_output_tokens: Option<u32>,
    /// How random the answer is.
    pub temperature: Option<f64>,
    /// Share of the likeliest tokens that are considered.
    pub top_p: Option<f64>,
    /// Texts at which the answer ends.
    pub stop: Vec<String>,
    /// Start of the provider's random numbers.
    pub seed: Option<i64>,
}

/// Tokens of one call as the provider reported them.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Usage {
    /// Tokens of the prompt, cached ones included.
    pub input: u64,
    /// Tokens of the answer.
    pub output: u64,
    /// Tokens of the prompt that the provider had seen before.
    pub cached: u64,
}

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
    /// The model's words.
    Text(String),
    /// The provider's own response to the caller's own request, with the number of characters of the model's words.
    Raw(Bytes, usize),
}

/// A piece of a streamed answer.
#[derive(Debug, PartialEq, Eq)]
pub enum ModelEvent {
    /// Some of the model's words.
    Text(String),
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
}

impl ModelRequest {
    /// Tokens of the longest answer that is wanted, all choices together; `None` when the request does not say.
    pub fn output_cap(&self) -> Option<u64> {
        let choices = self.chat_body.as_ref().map_or(1, ChatBody::choices);
        self.parameters.max_output_tokens.map(|cap| u64::from(cap) * u64::from(choices))
    }
}

impl Usage {
    /// The tokens of a text of this many characters when nobody has counted them.
    pub fn estimate(chars: usize) -> u64 {
        u64::try_from(chars / 4).unwrap_or(u64::MAX).max(1)
    }
}

impl Provider {
    /// Makes the provider that the config describes. One that lacks its key or its CA is off and says why.
    pub fn new(config: &vibectl_config::Provider, rule: AddressRule, sources: &Sources<'_>) -> Self {
        let kind = match &config.kind {
            ProviderKind::Echo(echo) => Kind::Echo(Echo::new(echo.clone())),
            ProviderKind::OpenAi(openai) => OpenAi::new(config, openai, rule, sources)
                .map_or_else(|off| Kind::Off(off.to_string()), Kind::OpenAi),
        };
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
            Kind::Echo(_) | Kind::OpenAi(_) => None,
        }
    }

    /// Whether it answers, to a question that costs nothing.
    pub async fn probe(&self) -> Result<(), ProviderError> {
        match &self.kind {
            Kind::Echo(_) => Ok(()),
            Kind::OpenAi(openai) => openai.probe().await,
            Kind::Off(reason) => Err(ProviderError::off(reason)),
        }
    }

    /// The whole answer of `model`.
    pub async fn complete(&self, model: &str, request: &ModelRequest) -> Result<Completion, ProviderError> {
        match &self.kind {
            Kind::Echo(echo) => echo.complete(request).await,
            Kind::OpenAi(openai) => openai.complete(model, request).await,
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
        }
    }
}
