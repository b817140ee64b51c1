//! The config file of vibectl-server, and the mount contract between the operator and the server.
//!
//! One schema for a person's own file and for the one that the operator renders. Nothing here opens a file, reads
//! the environment or knows a clock: text, maps of variables and bytes are passed in.
//!
//! - [`Config::parse`]: text to [`Config`]; every mistake at once, each with its place.
//! - [`render()`]: [`Config`] to text, the same bytes for the same config.
//! - [`layers`]: what flags and environment variables put over a file, and where a value comes from.
//! - [`Parsed::leaves`]: a config key by key, defaults included.
//! - [`locate`]: where a person's own file is.
//! - [`mount`]: which files a pod of the operator finds where.

#[macro_use]
mod differences;
pub mod address;
mod check;
mod decode;
mod document;
mod environment;
mod keys;
pub mod layers;
mod leaves;
pub mod locate;
mod mistake;
pub mod mount;
mod parse;
mod render;
mod schema;
mod secret;
mod template;

pub use self::{
    keys::keys,
    leaves::{Leaf, Secrets},
    mistake::{Mistake, Mistakes, Notice},
    parse::Parsed,
    render::{RenderError, render, show},
    schema::{
        Access, Acme, Admin, Anthropic, AzureOpenAi, Bedrock, Challenge, ChallengeType, Config, Connections,
        DEFAULT_GEMINI_BASE_URL, Dns, DnsHook, DnsUpdate, EMBEDDED_ECHO, Eab, Echo, EchoError, EchoUsage,
        Endpoint, Fleet, Hsts, Jwt, JwtAlgorithm, JwtCaller, JwtIssuer, JwtMigration, Limits, LogLevel,
        MinVersion, Model, NoRate, Price, Provider, ProviderKind, Rate, Retries, Route, SecretSource, Server,
        ServerLimits, Tls, TsigAlgorithm, Vertex, Webhook,
    },
    secret::{HIDDEN, Secret},
    template::TEMPLATE,
};
