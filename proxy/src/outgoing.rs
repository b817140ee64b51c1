//! The one way out: every HTTP client of this server, with one set of rules. Providers, key sets of other issuers, the ACME server and
//! the webhook differ in whom they trust and how long they wait, and in nothing else.
//!
//! - Redirects are not followed, and nothing is sent twice: whoever asks decides about that.
//! - An address that the rule refuses is not connected to, whether it is written in the URL or a name resolves to it.
//! - Certificates are checked against the given CA alone, or against Mozilla's roots, which the binary carries.
//! - The other side has a time to accept the connection, to begin its answer, to say the next piece of it, and for all of it.
//! - Bodies are not decompressed, and read up to a limit.
//! - Who failed is asked again after a pause that doubles and is drawn by lot ([`backoff`]), never in a loop.
//! - `HTTPS_PROXY`, `HTTP_PROXY` and `NO_PROXY` hold for everything but this machine, as in most tools.

pub(crate) mod backoff;

use std::{
    net::IpAddr,
    pin::{Pin, pin},
    sync::Arc,
    time::Duration,
};

use bytes::{Bytes, BytesMut};
use http::{HeaderMap, StatusCode};
use reqwest::{RequestBuilder, Url, redirect, retry};
use rustls::{ClientConfig, RootCertStore, crypto::aws_lc_rs};
use thiserror::Error;
use tokio::time::{Instant, Sleep, sleep_until, timeout};
use vibectl_pki::{CertificateError, TrustBundle};

use crate::provider::address::{AddressRule, GuardedResolver, Refused};

/// Shorter than the time after which common servers and balancers close an idle connection.
const MAX_IDLE: Duration = Duration::from_secs(30);

/// How a connection that carries requests is found dead without waiting for each request's own timeout.
const PING_EVERY: Duration = Duration::from_secs(20);
const PING_TIMEOUT: Duration = Duration::from_secs(10);

/// What a client depends on.
pub(crate) struct Settings<'a> {
    /// Whom it talks to; `None` where the other side names further addresses.
    pub(crate) url: Option<&'a Url>,
    pub(crate) rule: AddressRule,
    /// PEM; absent: Mozilla's roots.
    pub(crate) ca: Option<&'a [u8]>,
    /// Sent with every request.
    pub(crate) headers: HeaderMap,
    pub(crate) deadlines: Deadlines,
    /// Idle connections that are kept.
    pub(crate) kept: usize,
}

/// How long the other side may take.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Deadlines {
    /// To accept the connection.
    pub(crate) connect: Duration,
    /// From the request to the head of the response.
    pub(crate) first_byte: Duration,
    /// Between two pieces of the body.
    pub(crate) idle: Duration,
    /// For all of it; `None`: whoever asks says when it is enough.
    pub(crate) total: Option<Duration>,
}

impl Deadlines {
    /// Of a short answer that is wanted as a whole.
    pub(crate) const fn of_whole(connect: Duration, total: Duration) -> Self {
        Self { connect, first_byte: total, idle: total, total: Some(total) }
    }
}

/// Why there is no client.
#[derive(Debug, Error)]
pub(crate) enum Unusable {
    #[error(transparent)]
    Address(#[from] Refused),
    #[error(transparent)]
    Ca(#[from] CertificateError),
    #[error(transparent)]
    Tls(#[from] rustls::Error),
    #[error(transparent)]
    Client(#[from] reqwest::Error),
}

/// Why there is no answer, or no whole one. Never with the URL, which can carry a secret.
#[derive(Debug, Error)]
pub(crate) enum SendError {
    #[error("the address is {0}")]
    Address(#[from] Refused),
    #[error("no answer in time")]
    Late,
    #[error("the answer is longer than {0} bytes")]
    TooLong(usize),
    #[error(transparent)]
    Http(reqwest::Error),
}

impl From<reqwest::Error> for SendError {
    fn from(error: reqwest::Error) -> Self {
        // The time to connect is one of the reasons why there is no connection.
        if error.is_timeout() && !error.is_connect() { Self::Late } else { Self::Http(error.without_url()) }
    }
}

/// An HTTP client.
#[derive(Debug, Clone)]
pub(crate) struct Outgoing {
    http: reqwest::Client,
    rule: AddressRule,
    deadlines: Deadlines,
}

/// The head of an answer, with its body to come. Dropping it ends the request.
#[derive(Debug)]
pub(crate) struct Response {
    inner: reqwest::Response,
    idle: Duration,
    /// Ends at the earliest when the silence of the other side is too long.
    silence: Option<Pin<Box<Sleep>>>,
}

impl Outgoing {
    /// A client by these rules.
    pub(crate) fn new(settings: Settings<'_>) -> Result<Self, Unusable> {
        let Settings { url, rule, ca, headers, deadlines, kept } = settings;
        let literal = url.and_then(literal_address);
        literal.map_or(Ok(()), |address| rule.check(address))?;
        let mut builder = reqwest::Client::builder()
            .user_agent(concat!("vibectl-server/", env!("CARGO_PKG_VERSION")))
            .default_headers(headers)
            .tls_backend_preconfigured(tls(ca)?)
            .redirect(redirect::Policy::none())
            .retry(retry::never())
            .connect_timeout(deadlines.connect)
            .pool_max_idle_per_host(kept)
            .pool_idle_timeout(MAX_IDLE)
            .http2_keep_alive_interval(PING_EVERY)
            .http2_keep_alive_timeout(PING_TIMEOUT);
        if let Some(total) = deadlines.total {
            builder = builder.timeout(total);
        }
        if rule == AddressRule::Guarded {
            builder = builder.dns_resolver(GuardedResolver(rule));
        }
        let is_here = literal.is_some_and(|address| address.is_loopback());
        if is_here || url.is_some_and(|url| url.host_str() == Some("localhost")) {
            builder = builder.no_proxy();
        }
        Ok(Self { http: builder.build()?, rule, deadlines })
    }

    /// A request for this address.
    pub(crate) fn get(&self, url: Url) -> RequestBuilder {
        self.http.get(url)
    }

    /// A request with a body.
    pub(crate) fn post(&self, url: Url) -> RequestBuilder {
        self.http.post(url)
    }

    /// Sends a request and waits for the head of its response.
    pub(crate) async fn send(&self, request: RequestBuilder) -> Result<Response, SendError> {
        self.execute(request.build()?).await
    }

    /// The same for a request that is made elsewhere.
    pub(crate) async fn execute(&self, request: reqwest::Request) -> Result<Response, SendError> {
        // A literal address never reaches the resolver.
        if self.rule == AddressRule::Guarded {
            literal_address(request.url()).map_or(Ok(()), |address| self.rule.check(address))?;
        }
        let head = timeout(self.deadlines.first_byte, self.http.execute(request)).await;
        Ok(Response { inner: head.map_err(|_| SendError::Late)??, idle: self.deadlines.idle, silence: None })
    }
}

impl Response {
    /// Its status.
    pub(crate) fn status(&self) -> StatusCode {
        self.inner.status()
    }

    /// Its headers.
    pub(crate) fn headers(&self) -> &HeaderMap {
        self.inner.headers()
    }

    /// The next piece of the body; `None` at its end.
    pub(crate) async fn chunk(&mut self) -> Result<Option<Bytes>, SendError> {
        let until = Instant::now() + self.idle;
        let silence = self.silence.get_or_insert_with(|| Box::pin(sleep_until(until)));
        let mut piece = pin!(self.inner.chunk());
        loop {
            tokio::select! {
                biased;
                piece = &mut piece => return Ok(piece?),
                () = silence.as_mut() => {}
            }
            if Instant::now() >= until {
                return Err(SendError::Late);
            }
            // It was set for an earlier piece. Put off here and not with each piece: hardly any stream is silent for so long.
            silence.as_mut().reset(until);
        }
    }

    /// The whole body, if it is no longer than `limit`.
    pub(crate) async fn body(mut self, limit: usize) -> Result<Bytes, SendError> {
        let mut body = BytesMut::new();
        while let Some(piece) = self.chunk().await? {
            if body.len() + piece.len() > limit {
                return Err(SendError::TooLong(limit));
            }
            body.extend_from_slice(&piece);
        }
        Ok(body.freeze())
    }
}

/// The address of a URL that has no name.
pub(crate) fn literal_address(url: &Url) -> Option<IpAddr> {
    url.host_str()?.trim_matches(['[', ']']).parse().ok()
}

/// TLS with the given CA alone, or with Mozilla's roots: images have no trust store.
fn tls(ca: Option<&[u8]>) -> Result<ClientConfig, Unusable> {
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

    #[test]
    fn b11_a_ca_file_is_trusted_whole_or_refused_with_the_block_and_an_empty_one_trusts_nobody() {
        let day = Duration::from_hours(24);
        let names = vibectl_pki::Names::parse(["model.test"]).expect("a name");
        let ca = vibectl_pki::Ca::constrained("test", &names, day, jiff::Timestamp::now()).expect("a CA");
        let good = ca.chain_pem();
        let told = |pem: &str| tls(Some(pem.as_bytes())).err().map(|off| off.to_string()).unwrap_or_default();

        assert_eq!(told(&format!("{good}{good}")), "");
        for nothing in ["", "no certificate"] {
            assert!(told(nothing).starts_with("no certificate found"), "{nothing}");
        }
        let second_is_bad = format!("{good}-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n");
        assert!(told(&second_is_bad).contains("certificate 2"), "{}", told(&second_is_bad));
        assert!(told(&format!("{good}{}", &good[..40])).contains("PEM block 2"), "{}", told(&good[..40]));
    }

    #[tokio::test]
    async fn e01_an_address_that_only_a_request_names_is_refused_too() {
        let second = Duration::from_secs(1);
        let settings = Settings {
            url: None,
            rule: AddressRule::Guarded,
            ca: None,
            headers: HeaderMap::new(),
            deadlines: Deadlines::of_whole(second, second),
            kept: 0,
        };
        let client = Outgoing::new(settings).expect("a client");

        for url in ["http://127.0.0.1:1/", "http://[::ffff:169.254.169.254]/", "http://0x7f.1/"] {
            let refused = client.send(client.get(url.parse().expect("a URL"))).await.expect_err(url);
            assert!(matches!(refused, SendError::Address(_)), "{url}: {refused}");
        }
    }

    #[tokio::test]
    async fn e14_an_error_does_not_show_the_url_that_may_carry_a_key() {
        let second = Duration::from_secs(1);
        let url: Url = "http://127.0.0.1:1/v1/models?key=hunter2".parse().expect("a URL");
        let settings = Settings {
            url: Some(&url),
            rule: AddressRule::Any,
            ca: None,
            headers: HeaderMap::new(),
            deadlines: Deadlines::of_whole(second, second),
            kept: 0,
        };
        let client = Outgoing::new(settings).expect("a client");

        let error = client.send(client.get(url.clone())).await.expect_err("nobody is there");

        assert!(!format!("{error} {error:?}").contains("hunter2"), "{error:?}");
    }
}
