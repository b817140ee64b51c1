//! One HTTP client per provider: its roots of trust, its timeouts, its key. The rules for all clients are in `outgoing.rs`.

use std::time::Duration;

use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue, header};
use reqwest::{RequestBuilder, Url};
use thiserror::Error;
use vibectl_config::Secret;
use vibectl_pki::CertificateError;

use super::{
    ProviderError,
    address::{AddressRule, Refused},
    sources::{Missing, Sources},
    vertex::BadAccount,
};
pub(super) use crate::outgoing::Response;
use crate::outgoing::{self, Deadlines, Outgoing, Unusable};

/// What is accepted of a whole answer, and what is sent.
pub(super) const JSON: &str = "application/json";

/// What is accepted of a stream.
pub(super) const EVENTS: &str = "text/event-stream";

/// Longest answer that is read as a whole.
const MAX_BODY_BYTES: usize = 16 * 1024 * 1024;

/// Longest part of an error response that is looked at.
const MAX_ERROR_BYTES: usize = 64 * 1024;

/// Idle connections kept for each provider.
const MAX_IDLE_CONNECTIONS: usize = 64;

/// Why a provider is off.
#[derive(Debug, Error)]
pub(crate) enum Off {
    #[error(transparent)]
    Missing(#[from] Missing),
    #[error("its base_url is not an http or https address")]
    BaseUrl,
    #[error("its base_url is {0}")]
    Address(Refused),
    #[error("its API key has characters that a header cannot carry")]
    Key,
    #[error(transparent)]
    Account(#[from] BadAccount),
    #[error("the token_uri in its service account key is {0}")]
    TokenAddress(Refused),
    #[error("its CA file cannot be used: {0}")]
    Ca(CertificateError),
    #[error("TLS cannot be set up for it: {0}")]
    Tls(rustls::Error),
    #[error("no HTTP client can be made for it")]
    Client(reqwest::Error),
}

impl From<Unusable> for Off {
    fn from(unusable: Unusable) -> Self {
        match unusable {
            Unusable::Address(refused) => Self::Address(refused),
            Unusable::Ca(error) => Self::Ca(error),
            Unusable::Tls(error) => Self::Tls(error),
            Unusable::Client(error) => Self::Client(error),
        }
    }
}

/// What the client of one provider depends on.
pub(super) struct Settings<'a> {
    pub(super) base_url: &'a str,
    pub(super) key: Option<Secret>,
    pub(super) key_header: KeyHeader,
    /// Sent with every request.
    pub(super) fixed_header: Option<(&'static str, &'static str)>,
    pub(super) ca: Option<Vec<u8>>,
    pub(super) deadlines: Deadlines,
    pub(super) rule: AddressRule,
}

impl<'a> Settings<'a> {
    /// What the config says of a provider and its endpoint, with its key and CA read; no fixed header.
    pub(super) fn of(
        provider: &vibectl_config::Provider,
        endpoint: &'a vibectl_config::Endpoint,
        key_header: KeyHeader,
        rule: AddressRule,
        sources: &Sources<'_>,
    ) -> Result<Self, Missing> {
        Ok(Self {
            base_url: &endpoint.base_url,
            key: sources.key(endpoint)?,
            key_header,
            fixed_header: None,
            ca: sources.ca(endpoint)?,
            deadlines: deadlines(provider),
            rule,
        })
    }
}

/// Where a provider looks for the key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum KeyHeader {
    /// `authorization: Bearer KEY`.
    Bearer,
    /// A header of this name, in lower case, with nothing but the key.
    Plain(&'static str),
}

/// The HTTP side of one provider.
#[derive(Debug)]
pub(super) struct Client {
    http: Outgoing,
    base_url: Url,
}

impl Client {
    pub(super) fn new(settings: Settings<'_>) -> Result<Self, Off> {
        let Settings { base_url, key, key_header, fixed_header, ca, deadlines, rule } = settings;
        let base_url = Url::parse(base_url).map_err(|_| Off::BaseUrl)?;
        if !matches!(base_url.scheme(), "http" | "https") || !base_url.has_host() {
            return Err(Off::BaseUrl);
        }
        let http = Outgoing::new(outgoing::Settings {
            url: Some(&base_url),
            rule,
            ca: ca.as_deref(),
            headers: headers(key.as_ref(), key_header, fixed_header)?,
            deadlines,
            kept: MAX_IDLE_CONNECTIONS,
        })?;
        Ok(Self { http, base_url })
    }

    /// The host that requests go to.
    pub(super) fn host(&self) -> &str {
        self.base_url.host_str().unwrap_or_default()
    }

    /// The same with its port, as in the `host` header.
    pub(super) fn authority(&self) -> String {
        match self.base_url.port() {
            None => self.host().to_owned(),
            Some(port) => format!("{}:{port}", self.host()),
        }
    }

    /// Sends a JSON body to a path below the base URL; the response has a status of success. The path is in percent-encoding
    /// and may have a query.
    pub(super) async fn post(
        &self,
        path: &str,
        accept: &'static str,
        body: Bytes,
    ) -> Result<Response, ProviderError> {
        self.post_with(path, accept, body, []).await
    }

    /// The same with headers of this request alone.
    pub(super) async fn post_with(
        &self,
        path: &str,
        accept: &'static str,
        body: Bytes,
        extra: impl IntoIterator<Item = (HeaderName, HeaderValue)>,
    ) -> Result<Response, ProviderError> {
        let request = self.http.post(self.url(path)).header(header::CONTENT_TYPE, JSON);
        let request = request.header(header::ACCEPT, accept).headers(extra.into_iter().collect());
        self.send(request.body(body)).await
    }

    /// Sends a form to the base URL itself; the response has a status of success.
    pub(super) async fn post_form(&self, form: Bytes) -> Result<Response, ProviderError> {
        let request = self.http.post(self.base_url.clone()).header(header::ACCEPT, JSON);
        self.send(request.header(header::CONTENT_TYPE, "application/x-www-form-urlencoded").body(form)).await
    }

    /// Asks for a path below the base URL, as in [`Self::post`]; the response has a status of success.
    pub(super) async fn get(&self, path: &str) -> Result<Response, ProviderError> {
        self.get_with(path, []).await
    }

    /// The same with headers of this request alone.
    pub(super) async fn get_with(
        &self,
        path: &str,
        extra: impl IntoIterator<Item = (HeaderName, HeaderValue)>,
    ) -> Result<Response, ProviderError> {
        self.send(self.http.get(self.url(path)).headers(extra.into_iter().collect())).await
    }

    async fn send(&self, request: RequestBuilder) -> Result<Response, ProviderError> {
        let response = self.http.send(request).await.map_err(ProviderError::from_transport)?;
        if response.status().is_success() {
            return Ok(response);
        }
        let (status, headers) = (response.status(), response.headers().clone());
        let body = response.body(MAX_ERROR_BYTES).await.unwrap_or_default();
        Err(ProviderError::from_status(status, &headers, &body))
    }

    /// Where a path leads to.
    pub(super) fn url(&self, path: &str) -> Url {
        let (path, query) = path.split_once('?').map_or((path, None), |(path, query)| (path, Some(query)));
        let mut url = self.base_url.clone();
        url.set_path(&format!("{}/{path}", self.base_url.path().trim_end_matches('/')));
        url.set_query(query);
        url
    }
}

/// How long a provider may take, as its config says. What holds for a whole call is the call's business, which may be a stream.
fn deadlines(provider: &vibectl_config::Provider) -> Deadlines {
    let seconds = |seconds: u32| Duration::from_secs(seconds.into());
    Deadlines {
        connect: seconds(provider.connect_timeout_seconds),
        first_byte: seconds(provider.first_byte_timeout_seconds),
        idle: seconds(provider.idle_timeout_seconds),
        total: None,
    }
}

/// The whole body of a response.
pub(super) async fn read_body(response: Response) -> Result<Bytes, ProviderError> {
    response.body(MAX_BODY_BYTES).await.map_err(ProviderError::from_transport)
}

fn headers(
    key: Option<&Secret>,
    key_header: KeyHeader,
    fixed: Option<(&'static str, &'static str)>,
) -> Result<HeaderMap, Off> {
    let mut headers = HeaderMap::new();
    headers
        .extend(fixed.map(|(name, value)| (HeaderName::from_static(name), HeaderValue::from_static(value))));
    if let Some(key) = key {
        let (name, text) = match key_header {
            KeyHeader::Bearer => (header::AUTHORIZATION, format!("Bearer {}", key.expose())),
            KeyHeader::Plain(name) => (HeaderName::from_static(name), key.expose().to_owned()),
        };
        let text = zeroize::Zeroizing::new(text);
        let mut value = HeaderValue::from_str(&text).map_err(|_| Off::Key)?;
        value.set_sensitive(true);
        headers.insert(name, value);
    }
    Ok(headers)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn client(base_url: &str, rule: AddressRule) -> Result<Client, String> {
        let second = Duration::from_secs(1);
        let settings = Settings {
            base_url,
            key: None,
            key_header: KeyHeader::Bearer,
            fixed_header: None,
            ca: None,
            deadlines: Deadlines::of_whole(second, second),
            rule,
        };
        Client::new(settings).map_err(|off| off.to_string())
    }

    #[test]
    fn e01_every_spelling_of_an_address_that_is_refused_is_refused() {
        let spellings = [
            ("http://127.0.0.1:8000/v1", "a loopback address"),
            ("http://127.1/v1", "a loopback address"),
            ("http://2130706433/v1", "a loopback address"),
            ("http://0x7f.0.0.1/v1", "a loopback address"),
            ("http://0177.0.0.1/v1", "a loopback address"),
            ("http://[::1]:8000/v1", "a loopback address"),
            ("http://[::ffff:127.0.0.1]/v1", "a loopback address"),
            ("http://169.254.169.254/latest", "a link-local address"),
            ("http://0/v1", "not the address of one host"),
        ];
        for (url, refused) in spellings {
            let off = client(url, AddressRule::Guarded).expect_err(url);
            assert_eq!(off, format!("its base_url is {refused}"), "{url}");
        }
    }

    #[test]
    fn a_base_url_must_be_a_web_address() {
        for url in ["file:///etc/passwd", "unix:/run/x", "model.test/v1", ""] {
            assert_eq!(
                client(url, AddressRule::Any).expect_err(url),
                "its base_url is not an http or https address"
            );
        }
    }

    #[test]
    fn a_client_that_is_printed_does_not_show_its_key() {
        let settings = Settings {
            base_url: "https://model.test/v1",
            key: Some(Secret::new("sk-hunter2")),
            key_header: KeyHeader::Plain("x-api-key"),
            fixed_header: None,
            ca: None,
            deadlines: Deadlines::of_whole(Duration::from_secs(1), Duration::from_secs(1)),
            rule: AddressRule::Guarded,
        };

        let shown = format!("{:?}", Client::new(settings).expect("a good client"));

        assert!(!shown.contains("hunter2"), "{shown}");
    }
}
