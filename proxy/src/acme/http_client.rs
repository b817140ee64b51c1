//! The HTTP client that talks to the ACME server, by the rules of all clients (`outgoing.rs`).

use std::pin::Pin;
use std::time::Duration;

use bytes::Bytes;
use http::header::USER_AGENT;
use http::{HeaderMap, HeaderValue, Request};
use http_body_util::BodyExt;
use reqwest::Url;
use vibectl_pki::acme::{BodyWrapper, BytesResponse, ClientError, HttpClient, MAX_BODY};

use crate::outgoing::{Deadlines, Outgoing, SendError, Settings, Unusable};
use crate::provider::address::{AddressRule, Refused};

/// Time to connect, and for one whole answer.
const CONNECT: Duration = Duration::from_secs(10);
const ANSWER: Duration = Duration::from_secs(30);
/// An order is about twenty requests, one after the other.
const KEPT: usize = 1;
/// Who we are (RFC 8555, 6.1).
const AGENT: &str = concat!("vibectl-server/", env!("CARGO_PKG_VERSION"), " instant-acme");

/// Why no client can be made.
#[derive(Debug, thiserror::Error)]
pub enum HttpClientError {
    /// The directory URL is not one.
    #[error("the directory URL is not a web address")]
    Url,
    /// The directory URL leads where its author may not reach.
    #[error("the directory URL is {0}")]
    Address(#[from] Refused),
    /// The CA file.
    #[error("the CA file of the ACME server has no usable certificate")]
    Ca,
    /// The HTTP library.
    #[error("no HTTP client can be made")]
    Client(#[source] Box<dyn std::error::Error + Send + Sync>),
}

/// A client for one ACME server.
#[derive(Clone, Debug)]
pub struct Client(Outgoing);

impl Client {
    /// A client that trusts this CA alone, or else the well-known ones; `rule` is for whoever chose the directory URL.
    pub fn new(directory_url: &str, ca: Option<&[u8]>, rule: AddressRule) -> Result<Self, HttpClientError> {
        let url = Url::parse(directory_url).map_err(|_| HttpClientError::Url)?;
        let settings = Settings {
            url: Some(&url),
            rule,
            ca,
            headers: HeaderMap::from_iter([(USER_AGENT, HeaderValue::from_static(AGENT))]),
            deadlines: Deadlines::of_whole(CONNECT, ANSWER),
            kept: KEPT,
        };
        let client = Outgoing::new(settings).map_err(|unusable| match unusable {
            Unusable::Address(refused) => HttpClientError::Address(refused),
            Unusable::Ca(_) => HttpClientError::Ca,
            Unusable::Tls(_) | Unusable::Client(_) => HttpClientError::Client(Box::new(unusable)),
        })?;
        Ok(Self(client))
    }

    async fn send(self, request: Request<BodyWrapper<Bytes>>) -> Result<BytesResponse, ClientError> {
        let (parts, body) = request.into_parts();
        let body = match body.collect().await {
            Ok(body) => body.to_bytes(),
            Err(never) => match never {},
        };
        let request = reqwest::Request::try_from(Request::from_parts(parts, body));
        let response =
            self.0.execute(request.map_err(|error| failed(error.into()))?).await.map_err(failed)?;
        let mut answer = http::Response::new(());
        *answer.status_mut() = response.status();
        *answer.headers_mut() = response.headers().clone();
        let body = response.body(MAX_BODY).await.map_err(failed)?;
        Ok(BytesResponse { parts: answer.into_parts().0, body: Box::new(body) })
    }
}

impl HttpClient for Client {
    fn request(
        &self,
        request: Request<BodyWrapper<Bytes>>,
    ) -> Pin<Box<dyn Future<Output = Result<BytesResponse, ClientError>> + Send>> {
        Box::pin(self.clone().send(request))
    }
}

fn failed(error: SendError) -> ClientError {
    ClientError::Other(Box::new(error))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn h12_a_directory_of_a_tenant_obeys_the_address_rules_of_a_provider() {
        for (url, refused) in [
            ("https://127.0.0.1:14000/dir", "a loopback address"),
            ("https://2130706433/dir", "a loopback address"),
            ("https://[::ffff:127.0.0.1]/dir", "a loopback address"),
            ("https://169.254.169.254/latest", "a link-local address"),
        ] {
            let error = Client::new(url, None, AddressRule::Guarded).expect_err(url);
            assert_eq!(error.to_string(), format!("the directory URL is {refused}"), "{url}");
        }
        assert!(Client::new("https://127.0.0.1:14000/dir", None, AddressRule::Any).is_ok());
    }

    #[test]
    fn a_ca_file_without_a_certificate_is_told() {
        let error =
            Client::new("https://ca.example/dir", Some(b"nothing"), AddressRule::Any).expect_err("no CA");

        assert_eq!(error.to_string(), "the CA file of the ACME server has no usable certificate");
    }
}
