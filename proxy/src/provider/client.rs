//! One HTTP client per provider: its roots of trust, its timeouts, its key.
//!
//! No redirects (a key must not follow one), no retries (the call decides about those), no decompression, bodies read up to
//! a limit.

use std::{net::IpAddr, sync::Arc, time::Duration};

use bytes::{Bytes, BytesMut};
use http::{HeaderMap, HeaderName, HeaderValue, header};
use reqwest::{Response, Url, redirect, retry};
use rustls::{ClientConfig, RootCertStore, crypto::aws_lc_rs};
use thiserror::Error;
use vibectl_config::Secret;
use vibectl_pki::{CertificateError, TrustBundle};

use super::{
    ProviderError, ProviderErrorKind,
    address::{AddressRule, GuardedResolver, Refused},
    sources::{Missing, Sources},
};

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

/// Shorter than the time after which common model servers and balancers close an idle connection.
const MAX_IDLE: Duration = Duration::from_secs(30);

/// How a connection that carries calls is found dead without waiting for each call's own timeout.
const PING_EVERY: Duration = Duration::from_secs(20);
const PING_TIMEOUT: Duration = Duration::from_secs(10);

/// Why a provider is off.
#[derive(Debug, Error)]
pub(crate) enum Off {
    #[error(transparent)]
    Missing(#[from] Missing),
    #[error("its base_url is not an http or https address")]
    BaseUrl,
    #[error("its base_url is {0}")]
    Address(#[from] Refused),
    #[error("its API key has characters that a header cannot carry")]
    Key,
    #[error("its CA file cannot be used: {0}")]
    Ca(#[from] CertificateError),
    #[error("TLS cannot be set up for it: {0}")]
    Tls(#[from] rustls::Error),
    #[error("no HTTP client can be made for it")]
    Client(#[from] reqwest::Error),
}

/// What the client of one provider depends on.
pub(super) struct Settings<'a> {
    pub(super) base_url: &'a str,
    pub(super) key: Option<Secret>,
    pub(super) key_header: KeyHeader,
    /// Sent with every request.
    pub(super) fixed_header: Option<(&'static str, &'static str)>,
    pub(super) ca: Option<Vec<u8>>,
    pub(super) connect_timeout: Duration,
    /// Longest silence, before the first byte or between two.
    pub(super) idle_timeout: Duration,
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
            connect_timeout: Duration::from_secs(provider.connect_timeout_seconds.into()),
            idle_timeout: Duration::from_secs(provider.idle_timeout_seconds.into()),
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
    http: reqwest::Client,
    base_url: Url,
}

impl Client {
    pub(super) fn new(settings: Settings<'_>) -> Result<Self, Off> {
        let Settings { base_url, key, key_header, fixed_header, ca, connect_timeout, idle_timeout, rule } =
            settings;
        let base_url = Url::parse(base_url).map_err(|_| Off::BaseUrl)?;
        if !matches!(base_url.scheme(), "http" | "https") || !base_url.has_host() {
            return Err(Off::BaseUrl);
        }
        // A literal address never reaches the resolver.
        let literal = literal_address(&base_url);
        literal.map_or(Ok(()), |address| rule.check(address))?;
        let mut builder = reqwest::Client::builder()
            .user_agent(concat!("vibectl-server/", env!("CARGO_PKG_VERSION")))
            .default_headers(headers(key.as_ref(), key_header, fixed_header)?)
            .tls_backend_preconfigured(tls(ca.as_deref())?)
            .redirect(redirect::Policy::none())
            .retry(retry::never())
            .connect_timeout(connect_timeout)
            .read_timeout(idle_timeout)
            .pool_max_idle_per_host(MAX_IDLE_CONNECTIONS)
            .pool_idle_timeout(MAX_IDLE)
            .http2_keep_alive_interval(PING_EVERY)
            .http2_keep_alive_timeout(PING_TIMEOUT);
        if rule == AddressRule::Guarded {
            builder = builder.dns_resolver(GuardedResolver(rule));
        }
        // HTTPS_PROXY and its kin hold for everything but this machine, as in most tools.
        if literal.is_some_and(|address| address.is_loopback()) || base_url.host_str() == Some("localhost") {
            builder = builder.no_proxy();
        }
        Ok(Self { http: builder.build()?, base_url })
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
        send(request.body(body)).await
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
        send(self.http.get(self.url(path)).headers(extra.into_iter().collect())).await
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

async fn send(request: reqwest::RequestBuilder) -> Result<Response, ProviderError> {
    let response = request.send().await.map_err(ProviderError::from_transport)?;
    if response.status().is_success() {
        return Ok(response);
    }
    let (status, headers) = (response.status(), response.headers().clone());
    let body = read(response, MAX_ERROR_BYTES).await.unwrap_or_default();
    Err(ProviderError::from_status(status, &headers, &body))
}

/// The whole body of a response.
pub(super) async fn read_body(response: Response) -> Result<Bytes, ProviderError> {
    read(response, MAX_BODY_BYTES).await
}

async fn read(mut response: Response, limit: usize) -> Result<Bytes, ProviderError> {
    let mut body = BytesMut::new();
    while let Some(piece) = response.chunk().await.map_err(ProviderError::from_transport)? {
        if body.len() + piece.len() > limit {
            return Err(ProviderError::new(
                ProviderErrorKind::BadAnswer,
                "the provider's answer is too long",
            ));
        }
        body.extend_from_slice(&piece);
    }
    Ok(body.freeze())
}

pub(crate) fn literal_address(url: &Url) -> Option<IpAddr> {
    url.host_str()?.trim_matches(['[', ']']).parse().ok()
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

/// TLS with the given CA alone, or with Mozilla's roots, which the binary carries: images have no trust store.
pub(crate) fn tls(ca: Option<&[u8]>) -> Result<ClientConfig, Off> {
    let mut roots = RootCertStore::empty();
    match ca {
        None => roots.extend(webpki_roots::TLS_SERVER_ROOTS.iter().cloned()),
        // All of it or nothing: a bundle of which a part is left out would trust less than its owner believes.
        Some(pem) => {
            let text = std::str::from_utf8(pem).map_err(|_| CertificateError::Missing)?;
            for (number, certificate) in (1..).zip(TrustBundle::from_pem(text)?.certificates()) {
                roots.add(certificate.clone()).map_err(|_| CertificateError::Der(number))?;
            }
        }
    }
    let mut config = ClientConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()))
        .with_safe_default_protocol_versions()?
        .with_root_certificates(roots)
        .with_no_client_auth();
    config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    Ok(config)
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
            connect_timeout: second,
            idle_timeout: second,
            rule,
        };
        Client::new(settings).map_err(|off| off.to_string())
    }

    #[test]
    fn every_spelling_of_an_address_that_is_refused_is_refused() {
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
            connect_timeout: Duration::from_secs(1),
            idle_timeout: Duration::from_secs(1),
            rule: AddressRule::Guarded,
        };

        let shown = format!("{:?}", Client::new(settings).expect("a good client"));

        assert!(!shown.contains("hunter2"), "{shown}");
    }

    #[test]
    fn b11_a_ca_file_is_trusted_whole_or_refused_with_the_block_and_an_empty_one_trusts_nobody() {
        let day = Duration::from_hours(24);
        let names = vibectl_pki::Names::parse(["model.test"]).expect("a name");
        let ca = vibectl_pki::Ca::constrained("test", &names, day, jiff::Timestamp::now()).expect("a CA");
        let good = ca.chain_pem();
        let told = |pem: &str| tls(Some(pem.as_bytes())).err().map(|off| off.to_string()).unwrap_or_default();

        assert_eq!(told(&format!("{good}{good}")), "");
        for nothing in ["", "no certificate"] {
            assert!(
                told(nothing).starts_with("its CA file cannot be used: no certificate found"),
                "{nothing}"
            );
        }
        let second_is_bad = format!("{good}-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n");
        assert!(told(&second_is_bad).contains("certificate 2"), "{}", told(&second_is_bad));
        assert!(told(&format!("{good}{}", &good[..40])).contains("PEM block 2"), "{}", told(&good[..40]));
    }
}
