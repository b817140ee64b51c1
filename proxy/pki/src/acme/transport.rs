//! What stands between the protocol and the HTTP client: one origin, no redirects, bounded bodies, counted nonces; and the
//! notes about the last answer that the protocol library does not hand on.

use std::future::ready;
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};

use bytes::Bytes;
use http::{Request, StatusCode, Uri, header::RETRY_AFTER};
use instant_acme::{BodyWrapper, BytesResponse, Error, HttpClient, Problem};

/// The longest answer that is read. Certificates are the longest, with some kilobytes.
pub const MAX_BODY: usize = 1024 * 1024;

/// Refused nonces that one attempt may cost. An order takes about fifteen requests: of a server that refuses every second
/// nonce this leaves room, of one that refuses nine in ten it does not.
pub const MAX_BAD_NONCES: u32 = 40;

/// Scheme, host and port of an ACME server. All its resources have to be there.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Origin {
    host: String,
    port: u16,
}

/// A directory URL that cannot be used.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum OriginError {
    /// Not an address at all.
    #[error("the directory URL is not a web address")]
    Invalid,
    /// The account key would sign for whoever answers.
    #[error("the directory URL has to begin with https://")]
    Scheme,
    /// Credentials have no place there.
    #[error("the directory URL must not contain a user or a password")]
    UserInfo,
}

impl Origin {
    /// The origin of a URL.
    pub fn of(url: &str) -> Result<Self, OriginError> {
        Self::of_uri(&url.parse().map_err(|_| OriginError::Invalid)?)
    }

    fn of_uri(uri: &Uri) -> Result<Self, OriginError> {
        let authority = uri.authority().ok_or(OriginError::Invalid)?;
        match uri.scheme_str() {
            Some("https") => {}
            Some("http") => return Err(OriginError::Scheme),
            _ => return Err(OriginError::Invalid),
        }
        if authority.as_str().contains('@') {
            return Err(OriginError::UserInfo);
        }
        let port = authority.port_u16().unwrap_or(443);
        Ok(Self { host: authority.host().to_ascii_lowercase(), port })
    }
}

/// About the answers since [`Transport::new`].
#[derive(Debug, Default, Clone)]
struct Notes {
    /// Of the last answer that was an error.
    retry_after: Option<String>,
    status: Option<StatusCode>,
    bad_nonces: u32,
}

/// The HTTP client of one attempt.
#[derive(Clone)]
pub(super) struct Transport {
    http: Arc<dyn HttpClient>,
    origin: Origin,
    notes: Arc<Mutex<Notes>>,
}

impl Transport {
    pub(super) fn new(http: Arc<dyn HttpClient>, origin: Origin) -> Self {
        Self { http, origin, notes: Arc::default() }
    }

    /// `Retry-After` of the last answer, as it was sent.
    pub(super) fn retry_after(&self) -> Option<String> {
        self.notes().retry_after
    }

    /// Status of the last answer.
    pub(super) fn status(&self) -> Option<StatusCode> {
        self.notes().status
    }

    /// Whether the error is a refused nonce after which it makes sense to try once more.
    pub(super) fn may_retry(&self, error: &Error) -> bool {
        matches!(error, Error::Api(problem) if is_bad_nonce(problem))
            && self.notes().bad_nonces < MAX_BAD_NONCES
    }

    fn notes(&self) -> Notes {
        self.notes.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

/// The last part of the type of a problem (RFC 8555, 6.7).
pub(super) fn kind(problem: &Problem) -> &str {
    problem.r#type.as_deref().unwrap_or_default().rsplit(':').next().unwrap_or_default()
}

pub(super) fn is_bad_nonce(problem: &Problem) -> bool {
    kind(problem) == "badNonce"
}

type Answered = Pin<Box<dyn Future<Output = Result<BytesResponse, Error>> + Send>>;

impl HttpClient for Transport {
    fn request(&self, request: Request<BodyWrapper<Bytes>>) -> Answered {
        let uri = request.uri();
        if Origin::of_uri(uri).ok().as_ref() != Some(&self.origin) {
            let host = uri.host().unwrap_or_default();
            let text = format!("the ACME server points to another one ({host}); that is not followed");
            return Box::pin(ready(Err(Error::Other(text.into()))));
        }
        let (sent, notes) = (self.http.request(request), Arc::clone(&self.notes));
        Box::pin(async move {
            let BytesResponse { parts, mut body } = sent.await?;
            let bytes = body.into_bytes().await.map_err(Error::Other)?;
            if bytes.len() > MAX_BODY {
                return Err(Error::Other("the ACME server's answer is too long".into()));
            }
            note(&notes, &parts, &bytes);
            if parts.status.is_redirection() {
                return Err(Error::Other("the ACME server redirects; that is not followed".into()));
            }
            if !parts.status.is_success() && serde_json::from_slice::<Problem>(&bytes).is_err() {
                // The library would complain about JSON, and people would look for the fault in the wrong place.
                return Err(Error::Other(format!("the ACME server answers {}", parts.status).into()));
            }
            Ok(BytesResponse { parts, body: Box::new(bytes) })
        })
    }
}

fn note(notes: &Mutex<Notes>, parts: &http::response::Parts, body: &[u8]) {
    let mut notes = notes.lock().unwrap_or_else(PoisonError::into_inner);
    notes.status = Some(parts.status);
    notes.retry_after =
        parts.headers.get(RETRY_AFTER).and_then(|value| value.to_str().ok()).map(str::to_owned);
    if parts.status == StatusCode::BAD_REQUEST
        && serde_json::from_slice(body).is_ok_and(|problem: Problem| is_bad_nonce(&problem))
    {
        notes.bad_nonces += 1;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn h12_an_origin_is_https_without_credentials_and_ports_count() {
        assert_eq!(Origin::of("http://a.example/dir"), Err(OriginError::Scheme));
        assert_eq!(Origin::of("https://user:pass@a.example/dir"), Err(OriginError::UserInfo));
        for text in ["a.example/dir", "ftp://a.example", "", "https://"] {
            assert_eq!(Origin::of(text), Err(OriginError::Invalid), "{text}");
        }
        assert_eq!(Origin::of("https://A.example/dir"), Origin::of("https://a.example:443/new-order"));
        assert_ne!(Origin::of("https://a.example"), Origin::of("https://a.example:14000"));
        assert_ne!(Origin::of("https://a.example"), Origin::of("https://b.example"));
    }
}
