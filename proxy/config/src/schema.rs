//! The schema of the config file, one file per section.
//!
//! Field names are the keys of the file. Each section knows its defaults and how it is decoded; what
//! ties sections together is checked in `check.rs`. Serializing leaves out what equals the default.

mod access;
mod acme;
mod admin;
mod connections;
mod fleet;
mod jwt;
mod limits;
mod model;
mod original;
mod price;
mod provider;
mod retries;
mod server;
mod tls;

use std::collections::BTreeMap;

use crate::decode::Cursor;

pub use self::{
    access::Access,
    acme::{Acme, Challenge, ChallengeType, Dns, DnsHook, DnsUpdate, Eab, TsigAlgorithm},
    admin::Admin,
    connections::Connections,
    fleet::Fleet,
    jwt::{Jwt, JwtAlgorithm, JwtCaller, JwtIssuer, JwtMigration},
    limits::{Limits, ServerLimits},
    model::{Model, Route},
    price::{NoRate, Price, Rate},
    provider::{
        Anthropic, AzureOpenAi, Bedrock, DEFAULT_GEMINI_BASE_URL, Echo, EchoError, EchoUsage, Endpoint,
        Provider, ProviderKind, SecretSource, Vertex,
    },
    retries::Retries,
    server::{LogLevel, Server},
    tls::{Hsts, MinVersion, Tls, Webhook},
};

/// Name of the provider and of the model that exist when a config names neither.
pub const EMBEDDED_ECHO: &str = "echo";

/// Everything that a config file can say.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Config {
    /// The service itself: address, limits of its callers, shutdown.
    pub server: Server,
    /// Further names of models, each for a model's name or one of its own aliases.
    pub model_aliases: BTreeMap<String, String>,
    /// Tokens signed with a shared secret, for a server without an access table.
    pub jwt: Jwt,
    /// The serving certificate and what is agreed with it.
    pub tls: Tls,
    /// Certificates from an ACME server.
    pub acme: Acme,
    /// Health and metrics.
    pub admin: Admin,
    /// Where calls go to; never empty.
    pub providers: Vec<Provider>,
    /// What callers ask for; never empty.
    pub models: Vec<Model>,
    /// Signed tokens and the access table; when present, nobody calls without a row.
    pub access: Option<Access>,
    /// The port on which the operator asks how the server is doing.
    pub fleet: Option<Fleet>,
}

impl Default for Config {
    /// The config of an empty file: everything at its default, served by the embedded echo provider.
    fn default() -> Self {
        let server = Server { default_model: Some(EMBEDDED_ECHO.to_owned()), ..Server::default() };
        Self {
            server,
            model_aliases: BTreeMap::new(),
            jwt: Jwt::default(),
            tls: Tls::default(),
            acme: Acme::default(),
            admin: Admin::default(),
            providers: vec![Provider::embedded_echo()],
            models: vec![Model::embedded_echo()],
            access: None,
            fleet: None,
        }
    }
}

serialize_differences!(Config {
    server,
    model_aliases,
    jwt,
    tls,
    acme,
    admin,
    providers,
    models,
    access,
    fleet,
});

impl Config {
    pub(crate) fn decode(cursor: &Cursor<'_>) -> Self {
        let mut section = cursor.section();
        let (server, original) = section.decode("server", Server::decode);
        let mut config = Self {
            server,
            model_aliases: section.decode("model_aliases", decode_aliases),
            jwt: section.decode("jwt", Jwt::decode),
            tls: section.decode("tls", Tls::decode),
            acme: section.decode("acme", Acme::decode),
            admin: section.decode("admin", Admin::decode),
            providers: section
                .decode("providers", |list| list.items().iter().map(Provider::decode).collect()),
            models: section.decode("models", |list| list.items().iter().map(Model::decode).collect()),
            access: section.read("access", |cursor| Some(Access::decode(cursor))),
            fleet: section.read("fleet", |cursor| Some(Fleet::decode(cursor))),
        };
        section.finish_with(&[
            ("hsts", "it belongs to tls: tls.hsts"),
            ("limits", "it belongs to server: server.limits"),
        ]);
        original.put_into(&mut config.tls);
        config.embed_echo();
        config
    }

    /// A config without providers is served by the embedded echo provider, and asked for by its name.
    fn embed_echo(&mut self) {
        if !self.providers.is_empty() {
            return;
        }
        self.providers.push(Provider::embedded_echo());
        if self.models.is_empty() {
            self.models.push(Model::embedded_echo());
            self.server.default_model.get_or_insert_with(|| EMBEDDED_ECHO.to_owned());
        }
    }

    /// The model that is called by this name: its own, one of its aliases, or one of `model_aliases`.
    pub fn model(&self, name: &str) -> Option<&Model> {
        let named = |name: &str| self.models.iter().find(|model| model.is_called(name));
        named(name).or_else(|| self.model_aliases.get(name).and_then(|target| named(target)))
    }

    /// The provider of this name.
    pub fn provider(&self, name: &str) -> Option<&Provider> {
        self.providers.iter().find(|provider| provider.name == name)
    }

    /// Whether a call needs a token. `insecure` is true for the command that serves without TLS on purpose.
    ///
    /// An access table always needs one; else `server.require_auth` decides, then `jwt.enabled`, then the mode.
    pub fn requires_authentication(&self, insecure: bool) -> bool {
        self.access.is_some() || self.server.require_auth.unwrap_or(self.jwt.enabled || !insecure)
    }
}

fn decode_aliases(cursor: &Cursor<'_>) -> BTreeMap<String, String> {
    let aliases = cursor.entries().into_iter();
    aliases.map(|(alias, target)| (alias.to_owned(), target.model_name().unwrap_or_default())).collect()
}
