//! `providers`: where calls go to.

mod azure_openai;
mod bedrock;
mod vertex;

use std::path::PathBuf;

use serde::{Serialize, Serializer, ser::SerializeMap};

pub use self::{
    azure_openai::AzureOpenAi,
    bedrock::{Bedrock, SecretSource},
    vertex::Vertex,
};
use super::{EMBEDDED_ECHO, retries::Retries};
use crate::decode::{Cursor, Section};

/// One provider. In the file its kind is the one block beside `name`: `echo: {}` or `openai: {...}`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Provider {
    /// The name that routes use; also the name of its folder of keys, so a DNS label.
    pub name: String,
    /// What it speaks.
    pub kind: ProviderKind,
    /// How long a connection may take to be made.
    pub connect_timeout_seconds: u32,
    /// How long it may take from the request to the first byte of its answer.
    pub first_byte_timeout_seconds: u32,
    /// How long it may stay silent between two pieces of its answer.
    pub idle_timeout_seconds: u32,
    /// How long one call to it may take, a stream to its end; absent: as long as the call itself.
    pub total_timeout_seconds: Option<u32>,
    /// Calls that it may have at once from this server; absent: any number.
    pub max_concurrency: Option<u32>,
    /// Whether it is asked again after a failure.
    pub retries: Retries,
}

impl Provider {
    /// The connect timeout of a provider that names none.
    pub const DEFAULT_CONNECT_TIMEOUT_SECONDS: u32 = 10;
    /// The first-byte timeout of a provider that names none: an answer that is not streamed takes until it is complete.
    pub const DEFAULT_FIRST_BYTE_TIMEOUT_SECONDS: u32 = 300;
    /// The idle timeout of a provider that names none.
    pub const DEFAULT_IDLE_TIMEOUT_SECONDS: u32 = 120;

    /// A provider with default timeouts.
    pub fn new(name: impl Into<String>, kind: ProviderKind) -> Self {
        Self {
            name: name.into(),
            kind,
            connect_timeout_seconds: Self::DEFAULT_CONNECT_TIMEOUT_SECONDS,
            first_byte_timeout_seconds: Self::DEFAULT_FIRST_BYTE_TIMEOUT_SECONDS,
            idle_timeout_seconds: Self::DEFAULT_IDLE_TIMEOUT_SECONDS,
            total_timeout_seconds: None,
            max_concurrency: None,
            retries: Retries::default(),
        }
    }

    /// The provider that exists when a config names none.
    pub fn embedded_echo() -> Self {
        Self::new(EMBEDDED_ECHO, ProviderKind::Echo(Echo::default()))
    }
}

impl Provider {
    pub(super) fn decode(cursor: &Cursor<'_>) -> Self {
        let mut section = cursor.section();
        let provider = Self {
            name: section.required("name", Cursor::label).unwrap_or_default(),
            kind: ProviderKind::decode(&mut section),
            connect_timeout_seconds: section
                .read("connect_timeout_seconds", |cursor| cursor.integer(TIMEOUT_SECONDS))
                .unwrap_or(Self::DEFAULT_CONNECT_TIMEOUT_SECONDS),
            first_byte_timeout_seconds: section
                .read("first_byte_timeout_seconds", |cursor| cursor.integer(TIMEOUT_SECONDS))
                .unwrap_or(Self::DEFAULT_FIRST_BYTE_TIMEOUT_SECONDS),
            idle_timeout_seconds: section
                .read("idle_timeout_seconds", |cursor| cursor.integer(TIMEOUT_SECONDS))
                .unwrap_or(Self::DEFAULT_IDLE_TIMEOUT_SECONDS),
            total_timeout_seconds: section
                .read("total_timeout_seconds", |cursor| cursor.integer(TIMEOUT_SECONDS)),
            max_concurrency: section.read("max_concurrency", |cursor| cursor.integer(1..=u32::MAX)),
            retries: section.decode("retries", Retries::decode),
        };
        section.finish_with(&[
            ("api_key", NO_KEYS_HERE),
            ("base_url", "it belongs into the block of the provider's kind"),
        ]);
        provider
    }
}

/// An hour at most: a hung provider must not hold a call for ever.
const TIMEOUT_SECONDS: std::ops::RangeInclusive<u32> = 1..=3600;
const NO_KEYS_HERE: &str = "keys are not part of the config: use api_key_file or api_key_env in its block";

impl Serialize for Provider {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let Self {
            name,
            kind,
            connect_timeout_seconds,
            first_byte_timeout_seconds,
            idle_timeout_seconds,
            total_timeout_seconds,
            max_concurrency,
            retries,
        } = self;
        let mut map = serializer.serialize_map(None)?;
        map.serialize_entry("name", name)?;
        match kind {
            ProviderKind::Echo(echo) => map.serialize_entry("echo", echo)?,
            ProviderKind::OpenAi(openai) => map.serialize_entry("openai", openai)?,
            ProviderKind::AzureOpenAi(azure) => map.serialize_entry("azure_openai", azure)?,
            ProviderKind::Anthropic(anthropic) => map.serialize_entry("anthropic", anthropic)?,
            ProviderKind::Gemini(gemini) => map.serialize_entry("gemini", gemini)?,
            ProviderKind::Bedrock(bedrock) => map.serialize_entry("bedrock", bedrock)?,
            ProviderKind::Vertex(vertex) => map.serialize_entry("vertex", vertex)?,
        }
        if *connect_timeout_seconds != Self::DEFAULT_CONNECT_TIMEOUT_SECONDS {
            map.serialize_entry("connect_timeout_seconds", connect_timeout_seconds)?;
        }
        if *first_byte_timeout_seconds != Self::DEFAULT_FIRST_BYTE_TIMEOUT_SECONDS {
            map.serialize_entry("first_byte_timeout_seconds", first_byte_timeout_seconds)?;
        }
        if *idle_timeout_seconds != Self::DEFAULT_IDLE_TIMEOUT_SECONDS {
            map.serialize_entry("idle_timeout_seconds", idle_timeout_seconds)?;
        }
        if let Some(seconds) = total_timeout_seconds {
            map.serialize_entry("total_timeout_seconds", seconds)?;
        }
        if let Some(calls) = max_concurrency {
            map.serialize_entry("max_concurrency", calls)?;
        }
        if *retries != Retries::default() {
            map.serialize_entry("retries", retries)?;
        }
        map.end()
    }
}

/// The blocks that say what a provider speaks.
const KINDS: [&str; 7] = ["echo", "openai", "azure_openai", "anthropic", "gemini", "vertex", "bedrock"];

/// What a provider speaks.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ProviderKind {
    /// Answers with what it was asked; for trying things out and for tests.
    Echo(Echo),
    /// The OpenAI chat completions API, spoken by many.
    OpenAi(Endpoint),
    /// The same as Azure has it.
    AzureOpenAi(AzureOpenAi),
    /// The Anthropic Messages API.
    Anthropic(Anthropic),
    /// Google's Gemini API.
    Gemini(Endpoint),
    /// Amazon Bedrock.
    Bedrock(Bedrock),
    /// Google's models on Vertex AI.
    Vertex(Vertex),
}

impl ProviderKind {
    /// The one block that says the kind. `echo:` with nothing in it is one too.
    fn decode(section: &mut Section<'_>) -> Self {
        let mut kind = None;
        for name in KINDS {
            let Some(block) = section.present(name) else { continue };
            if let Some((first, _)) = &kind {
                block.mistake(format!("a provider has one kind, and this one has {first} already"));
            }
            let decoded = match name {
                "openai" => Self::OpenAi(Endpoint::decode(&block, None)),
                "azure_openai" => Self::AzureOpenAi(AzureOpenAi::decode(&block)),
                "anthropic" => Self::Anthropic(Anthropic::decode(&block)),
                "vertex" => Self::Vertex(Vertex::decode(&block)),
                "bedrock" => Self::Bedrock(Bedrock::decode(&block)),
                "gemini" => Self::Gemini(Endpoint::decode(&block, Some(DEFAULT_GEMINI_BASE_URL))),
                _ => Self::Echo(Echo::decode(&block)),
            };
            kind = Some((name, decoded));
        }
        let Some((_, kind)) = kind else {
            section.mistake(&format!("a provider needs one of the blocks {}", KINDS.join(", ")));
            return Self::Echo(Echo::default());
        };
        kind
    }

    /// Where it is; `None` for the embedded one.
    pub fn endpoint(&self) -> Option<&Endpoint> {
        match self {
            Self::Echo(_) => None,
            Self::OpenAi(endpoint) | Self::Gemini(endpoint) => Some(endpoint),
            Self::AzureOpenAi(azure) => Some(&azure.endpoint),
            Self::Anthropic(anthropic) => Some(&anthropic.endpoint),
            Self::Bedrock(bedrock) => Some(&bedrock.endpoint),
            Self::Vertex(vertex) => Some(&vertex.endpoint),
        }
    }

    /// The files that it names.
    pub fn files(&self) -> impl Iterator<Item = &PathBuf> {
        let of_kind = match self {
            Self::Bedrock(Bedrock { access_key_id, secret_access_key, session_token, .. }) => {
                [Some(access_key_id), Some(secret_access_key), session_token.as_ref()]
            }
            Self::Vertex(vertex) => [Some(&vertex.service_account), None, None],
            Self::Echo(_) | Self::OpenAi(_) | Self::AzureOpenAi(_) | Self::Anthropic(_) | Self::Gemini(_) => {
                [None; 3]
            }
        };
        let of_endpoint = self.endpoint().map(|endpoint| [&endpoint.api_key_file, &endpoint.ca_file]);
        let of_kind = of_kind.into_iter().flatten().filter_map(SecretSource::file);
        of_endpoint.into_iter().flatten().flatten().chain(of_kind)
    }
}

/// The embedded provider.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Echo {
    /// How long it takes before the first chunk.
    pub delay_ms: u32,
    /// How many characters a chunk of a stream has.
    pub chunk_size: u32,
    /// How long it takes between two chunks.
    pub chunk_delay_ms: u32,
    /// A failure to act out.
    pub error: Option<EchoError>,
    /// A fixed answer instead of the question.
    pub reply: Option<String>,
    /// A fixed usage instead of an estimate.
    pub usage: Option<EchoUsage>,
}

impl Default for Echo {
    fn default() -> Self {
        Self { delay_ms: 0, chunk_size: 16, chunk_delay_ms: 0, error: None, reply: None, usage: None }
    }
}

impl Echo {
    fn decode(cursor: &Cursor<'_>) -> Self {
        let default = Self::default();
        let mut section = cursor.section();
        let echo = Self {
            delay_ms: section
                .read("delay_ms", |cursor| cursor.integer(0..=MAX_DELAY_MS))
                .unwrap_or(default.delay_ms),
            chunk_size: section
                .read("chunk_size", |cursor| cursor.integer(1..=u32::MAX))
                .unwrap_or(default.chunk_size),
            chunk_delay_ms: section
                .read("chunk_delay_ms", |cursor| cursor.integer(0..=MAX_DELAY_MS))
                .unwrap_or(default.chunk_delay_ms),
            error: section.read("error", |cursor| Some(EchoError::decode(cursor))),
            reply: section.read("reply", Cursor::text),
            usage: section.read("usage", |cursor| Some(EchoUsage::decode(cursor))),
        };
        section.finish();
        echo
    }
}

/// Ten minutes: an echo that takes longer tests nothing but patience.
const MAX_DELAY_MS: u32 = 600_000;

serialize_differences!(Echo { delay_ms, chunk_size, chunk_delay_ms, error, reply, usage });

/// A failure that the echo provider acts out.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EchoError {
    /// The HTTP status that a real provider would send.
    pub code: u16,
    /// The text that it would send.
    pub message: String,
    /// Every how many calls it fails; 1 is every call.
    pub every: u32,
}

impl Default for EchoError {
    fn default() -> Self {
        Self { code: 500, message: "echo error".to_owned(), every: 1 }
    }
}

impl EchoError {
    fn decode(cursor: &Cursor<'_>) -> Self {
        let default = Self::default();
        let mut section = cursor.section();
        let code = section.read("code", |cursor| cursor.integer(400..=599));
        let error = Self {
            code: code.and_then(|code| u16::try_from(code).ok()).unwrap_or(default.code),
            message: section.read("message", Cursor::text).unwrap_or(default.message),
            every: section.read("every", |cursor| cursor.integer(1..=u32::MAX)).unwrap_or(default.every),
        };
        section.finish();
        error
    }
}

serialize_differences!(EchoError { code, message, every });

/// The usage that the echo provider reports.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct EchoUsage {
    /// Tokens of the question.
    pub input_tokens: u32,
    /// Tokens of the answer.
    pub output_tokens: u32,
}

impl EchoUsage {
    fn decode(cursor: &Cursor<'_>) -> Self {
        let mut section = cursor.section();
        let mut tokens = |key| section.read(key, |cursor| cursor.integer(0..=u32::MAX)).unwrap_or_default();
        let usage = Self { input_tokens: tokens("input_tokens"), output_tokens: tokens("output_tokens") };
        section.finish();
        usage
    }
}

serialize_differences!(EchoUsage { input_tokens, output_tokens });

/// Where Google answers for Gemini.
pub const DEFAULT_GEMINI_BASE_URL: &str = "https://generativelanguage.googleapis.com/v1beta";

/// Where a provider is, and what it wants to see.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Endpoint {
    /// The address up to and with the version, such as `https://api.openai.com/v1`.
    pub base_url: String,
    /// A file with the key.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub api_key_file: Option<PathBuf>,
    /// The environment variable with the key.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub api_key_env: Option<String>,
    /// The CA of the address, PEM; absent: the well-known ones.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ca_file: Option<PathBuf>,
}

impl Endpoint {
    /// A provider at this address that needs no key.
    pub fn new(base_url: impl Into<String>) -> Self {
        Self { base_url: base_url.into(), api_key_file: None, api_key_env: None, ca_file: None }
    }

    /// Reads what all blocks with an address have in common. `default_url`: where it is when nothing is said.
    fn read(cursor: &Cursor<'_>, section: &mut Section<'_>, default_url: Option<&str>) -> Self {
        let base_url = match default_url {
            Some(url) => section.read("base_url", Cursor::base_url).unwrap_or_else(|| url.to_owned()),
            None => section.required("base_url", Cursor::base_url).unwrap_or_default(),
        };
        let endpoint = Self {
            base_url,
            api_key_file: section.read("api_key_file", Cursor::path),
            api_key_env: section.read("api_key_env", Cursor::environment_name),
            ca_file: section.read("ca_file", Cursor::path),
        };
        if endpoint.api_key_file.is_some() && endpoint.api_key_env.is_some() {
            cursor.mistake("api_key_file and api_key_env exclude each other");
        }
        endpoint
    }

    fn decode(cursor: &Cursor<'_>, default_url: Option<&str>) -> Self {
        let mut section = cursor.section();
        let endpoint = Self::read(cursor, &mut section, default_url);
        section.finish_with(&[("api_key", NO_KEYS_HERE)]);
        endpoint
    }
}

/// A provider that speaks the Anthropic Messages API.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Anthropic {
    /// Where it is.
    #[serde(flatten)]
    pub endpoint: Endpoint,
    /// Tokens after which an answer is cut when the caller does not say; this API wants a number.
    #[serde(skip_serializing_if = "Anthropic::is_default_max_tokens")]
    pub max_tokens: u32,
}

impl Anthropic {
    /// Where Anthropic itself answers.
    pub const DEFAULT_BASE_URL: &str = "https://api.anthropic.com/v1";
    /// What every model of it can do.
    pub const DEFAULT_MAX_TOKENS: u32 = 4096;

    /// A provider at this endpoint.
    pub fn new(endpoint: Endpoint) -> Self {
        Self { endpoint, max_tokens: Self::DEFAULT_MAX_TOKENS }
    }

    fn decode(cursor: &Cursor<'_>) -> Self {
        let mut section = cursor.section();
        let anthropic = Self {
            endpoint: Endpoint::read(cursor, &mut section, Some(Self::DEFAULT_BASE_URL)),
            max_tokens: section
                .read("max_tokens", |cursor| cursor.integer(1..=MAX_MAX_TOKENS))
                .unwrap_or(Self::DEFAULT_MAX_TOKENS),
        };
        section.finish_with(&[("api_key", NO_KEYS_HERE)]);
        anthropic
    }

    #[expect(clippy::trivially_copy_pass_by_ref, reason = "the signature is serde's")]
    fn is_default_max_tokens(max_tokens: &u32) -> bool {
        *max_tokens == Self::DEFAULT_MAX_TOKENS
    }
}

/// More than any model can say.
const MAX_MAX_TOKENS: u32 = 10_000_000;
