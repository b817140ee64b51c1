//! Amazon Bedrock: the Converse dialect, which it has for all of its models, in signed requests.
//!
//! Structured output is asked for by the mechanism that most of these models have: one tool whose arguments are the answer,
//! and no choice but to use it.

mod decode;
mod encode;
mod event_stream;
pub(super) mod fuzz;
mod signature;
mod stream;

use bytes::Bytes;
use http::{HeaderName, HeaderValue};
use jiff::Timestamp;
use vibectl_config::Secret;

use self::signature::{Keys, Scope, Unsigned};
pub(super) use self::stream::BedrockStream;
use super::{
    Completion, ModelRequest, ProviderError, Reply,
    address::AddressRule,
    client::{self, Client, KeyHeader, Off, Response, Settings},
    path::segment,
    sources::Sources,
};

/// The content type of a streamed response.
const EVENT_STREAM: &str = "application/vnd.amazon.eventstream";

/// Whom signatures are for.
const SERVICE: &str = "bedrock";

const DATE: &str = "x-amz-date";
const SESSION_TOKEN: &str = "x-amz-security-token";

/// Bedrock in one region.
#[derive(Debug)]
pub(super) struct Bedrock {
    client: Client,
    keys: Keys,
    region: String,
    /// As it is in the `host` header.
    host: String,
}

impl Bedrock {
    pub(super) fn new(
        provider: &vibectl_config::Provider,
        config: &vibectl_config::Bedrock,
        rule: AddressRule,
        sources: &Sources<'_>,
    ) -> Result<Self, Off> {
        let keys = Keys {
            access_key_id: sources.secret(&config.access_key_id, "access key ID")?,
            secret_access_key: sources.secret(&config.secret_access_key, "secret access key")?,
            session_token: config
                .session_token
                .as_ref()
                .map(|source| sources.secret(source, "session token"))
                .transpose()?,
        };
        for in_header in [Some(&keys.access_key_id), keys.session_token.as_ref()].into_iter().flatten() {
            HeaderValue::from_str(in_header.expose()).map_err(|_| Off::Key)?;
        }
        // No key is in the endpoint: each request is signed.
        let settings = Settings::of(provider, &config.endpoint, KeyHeader::Bearer, rule, sources)?;
        let client = Client::new(settings)?;
        let host = client.authority();
        Ok(Self { client, keys, region: config.region.clone(), host })
    }

    /// Asks for the calls that go on in the background, which are none of ours: whatever it answers, it has judged our keys.
    pub(super) async fn probe(&self) -> Result<(), ProviderError> {
        let path = "async-invoke";
        let headers = self.sign("GET", path, None, b"", Timestamp::now());
        self.client.get_with(path, headers).await.map(drop)
    }

    pub(super) async fn complete(
        &self,
        model: &str,
        request: &ModelRequest,
    ) -> Result<Completion, ProviderError> {
        let body = encode::encode(request)?;
        let response = self.post(model, "converse", client::JSON, body).await?;
        let answer = decode::answer(&client::read_body(response).await?, request.schema.is_some())?;
        Ok(Completion { reply: Reply::Said(answer.said), usage: answer.usage })
    }

    pub(super) async fn stream(
        &self,
        model: &str,
        request: &ModelRequest,
    ) -> Result<BedrockStream, ProviderError> {
        let body = encode::encode(request)?;
        let response = self.post(model, "converse-stream", EVENT_STREAM, body).await?;
        BedrockStream::new(response, request.schema.is_some())
    }

    async fn post(
        &self,
        model: &str,
        action: &str,
        accept: &'static str,
        body: Bytes,
    ) -> Result<Response, ProviderError> {
        let path = format!("model/{}/{action}", segment(model));
        let headers = self.sign("POST", &path, Some(client::JSON), &body, Timestamp::now());
        self.client.post_with(&path, accept, body, headers).await
    }

    /// The headers that prove who sends a request.
    fn sign(
        &self,
        method: &str,
        path: &str,
        content_type: Option<&str>,
        body: &[u8],
        now: Timestamp,
    ) -> Vec<(HeaderName, HeaderValue)> {
        let time = now.strftime("%Y%m%dT%H%M%SZ").to_string();
        let token = self.keys.session_token.as_ref().map(Secret::expose);
        let signed: Vec<_> = [
            ("content-type", content_type),
            ("host", Some(self.host.as_str())),
            (DATE, Some(time.as_str())),
            (SESSION_TOKEN, token),
        ]
        .into_iter()
        .filter_map(|(name, value)| Some((name, value?)))
        .collect();
        let url = self.client.url(path);
        let request = Unsigned { method, path: url.path(), headers: &signed, body };
        let scope = Scope { region: &self.region, service: SERVICE };
        let authorization = signature::authorization(&request, &self.keys, scope, &time);
        // All of them are known to be good values: what came from outside was looked at before.
        let header = |name, value: &str| {
            let mut value = HeaderValue::from_str(value).ok()?;
            value.set_sensitive(name != DATE);
            Some((HeaderName::from_static(name), value))
        };
        let headers = [
            header("authorization", &authorization),
            header(DATE, &time),
            token.and_then(|token| header(SESSION_TOKEN, token)),
        ];
        headers.into_iter().flatten().collect()
    }
}
