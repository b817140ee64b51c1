//! `providers`: where calls go to.

use std::path::PathBuf;

use serde::{Serialize, Serializer, ser::SerializeMap};

use super::EMBEDDED_ECHO;

/// One provider. In the file its kind is the one block beside `name`: `echo: {}` or `openai: {...}`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Provider {
    /// The name that routes use; also the name of its folder of keys, so a DNS label.
    pub name: String,
    /// What it speaks.
    pub kind: ProviderKind,
    /// How long a connection may take to be made.
    pub connect_timeout_seconds: u32,
    /// How long the provider may stay silent, before the first byte or between two.
    pub idle_timeout_seconds: u32,
}

impl Provider {
    /// The connect timeout of a provider that names none.
    pub const DEFAULT_CONNECT_TIMEOUT_SECONDS: u32 = 10;
    /// The idle timeout of a provider that names none.
    pub const DEFAULT_IDLE_TIMEOUT_SECONDS: u32 = 120;

    /// A provider with default timeouts.
    pub fn new(name: impl Into<String>, kind: ProviderKind) -> Self {
        Self {
            name: name.into(),
            kind,
            connect_timeout_seconds: Self::DEFAULT_CONNECT_TIMEOUT_SECONDS,
            idle_timeout_seconds: Self::DEFAULT_IDLE_TIMEOUT_SECONDS,
        }
    }

    /// The provider that exists when a config names none.
    pub fn embedded_echo() -> Self {
        Self::new(EMBEDDED_ECHO, ProviderKind::Echo(Echo::default()))
    }
}

impl Serialize for Provider {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let Self { name, kind, connect_timeout_seconds, idle_timeout_seconds } = self;
        let mut map = serializer.serialize_map(None)?;
        map.serialize_entry("name", name)?;
        match kind {
            ProviderKind::Echo(echo) => map.serialize_entry("echo", echo)?,
            ProviderKind::OpenAi(openai) => map.serialize_entry("openai", openai)?,
        }
        if *connect_timeout_seconds != Self::DEFAULT_CONNECT_TIMEOUT_SECONDS {
            map.serialize_entry("connect_timeout_seconds", connect_timeout_seconds)?;
        }
        if *idle_timeout_seconds != Self::DEFAULT_IDLE_TIMEOUT_SECONDS {
            map.serialize_entry("idle_timeout_seconds", idle_timeout_seconds)?;
        }
        map.end()
    }
}

/// What a provider speaks.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ProviderKind {
    /// Answers with what it was asked; for trying things out and for tests.
    Echo(Echo),
    /// The OpenAI chat completions API, spoken by many.
    OpenAi(OpenAi),
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

serialize_differences!(EchoError { code, message, every });

/// The usage that the echo provider reports.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct EchoUsage {
    /// Tokens of the question.
    pub input_tokens: u32,
    /// Tokens of the answer.
    pub output_tokens: u32,
}

serialize_differences!(EchoUsage { input_tokens, output_tokens });

/// A provider that speaks the OpenAI chat completions API.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct OpenAi {
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

impl OpenAi {
    /// A provider at this address that needs no key.
    pub fn new(base_url: impl Into<String>) -> Self {
        Self { base_url: base_url.into(), api_key_file: None, api_key_env: None, ca_file: None }
    }
}
