//! What can go wrong with a provider, in classes that decide what is done about it.
//!
//! Callers read `Display`: our own words, nothing that the provider wrote. `detail` is for our debug log; it holds statuses
//! and error codes, no prose of the provider either, because that repeats prompts and parts of keys.

use std::{borrow::Cow, error::Error, time::Duration};

use http::{HeaderMap, StatusCode, header::RETRY_AFTER};
use jiff::{Timestamp, fmt::rfc2822::DateTimeParser};
use serde::Deserialize;
use thiserror::Error;

use crate::outgoing::SendError;

/// The longest wait that a provider can make us recommend.
const MAX_RETRY_AFTER: Duration = Duration::from_secs(3600);

/// Longest `type` or `code` of a provider that is logged.
const MAX_CODE_LENGTH: usize = 64;

/// Codes that callers act on; handed on because they are the dialect's words, not the provider's.
const KNOWN_CODES: [&str; 6] = [
    "content_filter",
    "content_policy_violation",
    "context_length_exceeded",
    "string_above_max_length",
    "unsupported_parameter",
    "unsupported_value",
];

/// A call that a provider did not answer.
#[derive(Debug, Clone, Error, PartialEq, Eq)]
#[error("{message}")]
pub struct ProviderError {
    /// What kind of failure it is.
    pub kind: ProviderErrorKind,
    /// The provider's HTTP status, where it got that far.
    pub status: Option<u16>,
    /// The dialect's code for it, where it is one that callers know.
    pub code: Option<&'static str>,
    message: Cow<'static, str>,
    detail: String,
    /// Somebody has to change something before it passes.
    lasting: bool,
}

/// Kinds of failure.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ProviderErrorKind {
    /// It did not answer in time.
    Timeout,
    /// It cannot be reached, or says that it cannot answer.
    Unavailable,
    /// It has had too many requests from us.
    RateLimited {
        /// When to come back.
        retry_after: Option<Duration>,
    },
    /// It does not accept this request, and nobody would.
    Rejected,
    /// It does not accept our key.
    Auth,
    /// Its answer cannot be understood.
    BadAnswer,
    /// Its dialect has no words for the request; another one's may have.
    Inexpressible,
}

impl ProviderErrorKind {
    /// Metric label.
    pub fn label(self) -> &'static str {
        match self {
            Self::Timeout => "timeout",
            Self::Unavailable => "unavailable",
            Self::RateLimited { .. } => "rate_limited",
            Self::Rejected => "rejected",
            Self::Auth => "auth",
            Self::BadAnswer => "bad_answer",
            Self::Inexpressible => "inexpressible",
        }
    }
}

impl ProviderError {
    /// A failure with our own words for it.
    pub(super) fn new(kind: ProviderErrorKind, message: impl Into<Cow<'static, str>>) -> Self {
        Self {
            kind,
            status: None,
            code: None,
            message: message.into(),
            detail: String::new(),
            lasting: false,
        }
    }

    /// The provider is off.
    pub(super) fn off(reason: &str) -> Self {
        let message = format!("the provider is off: {reason}");
        Self { lasting: true, ..Self::new(ProviderErrorKind::Unavailable, message) }
    }

    /// It was told off by its own rate limit not long ago, and is not asked before so much time has passed.
    pub(crate) fn resting(rest: Duration) -> Self {
        let kind = ProviderErrorKind::RateLimited { retry_after: Some(rest) };
        Self::new(kind, "the provider's rate limit is reached")
    }

    /// It answered, and had not ended when its time was up.
    pub(crate) fn took_too_long() -> Self {
        Self::new(ProviderErrorKind::Timeout, "the provider took longer than it may (total_timeout_seconds)")
    }

    /// The dialect cannot say this, in the words of the caller's API.
    pub(super) fn inexpressible(what: &str) -> Self {
        let message = format!("the model's provider cannot be asked for this: {what}");
        Self::new(ProviderErrorKind::Inexpressible, message)
    }

    /// An answer that breaks the dialect.
    pub(super) fn bad_answer(message: &'static str) -> Self {
        Self::new(ProviderErrorKind::BadAnswer, message)
    }

    /// The request could not be sent, or its answer not be read to its end.
    pub(super) fn from_transport(error: SendError) -> Self {
        let detail = with_causes(&error);
        let (kind, message) = match error {
            SendError::Late => (ProviderErrorKind::Timeout, "the provider did not answer in time"),
            SendError::TooLong(_) => (ProviderErrorKind::BadAnswer, "the provider's answer is too long"),
            SendError::Address(_) => (ProviderErrorKind::Unavailable, "the provider cannot be reached"),
            SendError::Http(error) if error.is_connect() => {
                (ProviderErrorKind::Unavailable, "the provider cannot be reached")
            }
            SendError::Http(_) => (ProviderErrorKind::Unavailable, "the connection to the provider broke"),
        };
        Self { detail, ..Self::new(kind, message) }
    }

    /// The provider answered with a status other than success.
    pub(super) fn from_status(status: StatusCode, headers: &HeaderMap, body: &[u8]) -> Self {
        let wire = serde_json::from_slice::<ErrorBody>(body).unwrap_or_default().error.unwrap_or_default();
        let retry_after = retry_after(headers, Timestamp::now());
        Self::classified(status, retry_after, &wire)
    }

    /// An error object in the middle of a stream that began well.
    pub(super) fn from_stream(wire: &WireError) -> Self {
        let status = wire.code.as_ref().and_then(serde_json::Value::as_u64);
        let status = status.and_then(|status| StatusCode::from_u16(u16::try_from(status).ok()?).ok());
        let status = status.filter(|status| status.is_client_error() || status.is_server_error());
        let status = status.unwrap_or(match wire.kind() {
            Some("rate_limit_exceeded" | "rate_limit_error") => StatusCode::TOO_MANY_REQUESTS,
            Some("invalid_request_error" | "request_too_large") => StatusCode::BAD_REQUEST,
            Some("authentication_error" | "permission_error") => StatusCode::UNAUTHORIZED,
            Some("timeout_error") => StatusCode::GATEWAY_TIMEOUT,
            _ => StatusCode::BAD_GATEWAY,
        });
        Self::classified(status, None, wire)
    }

    /// A failure that was configured, with the configured words.
    pub(super) fn acted_out(status: StatusCode, message: String) -> Self {
        Self { message: message.into(), ..Self::classified(status, None, &WireError::default()) }
    }

    /// A failure that has the meaning of a status; its name is for the debug log.
    pub(super) fn named(status: StatusCode, name: &str) -> Self {
        Self::classified(status, None, &WireError { kind: Some(name.into()), ..WireError::default() })
    }

    fn classified(status: StatusCode, retry_after: Option<Duration>, wire: &WireError) -> Self {
        let (kind, message) = match status.as_u16() {
            _ if wire.refuses_key() => {
                (ProviderErrorKind::Auth, "the provider does not accept the key of this server")
            }
            401 | 403 => (ProviderErrorKind::Auth, "the provider does not accept the key of this server"),
            402 => (ProviderErrorKind::Unavailable, "the provider's account has no credit"),
            404 => (ProviderErrorKind::Unavailable, "the provider does not have this model"),
            424 => (ProviderErrorKind::Unavailable, "the provider failed"),
            408 | 504 => (ProviderErrorKind::Timeout, "the provider did not answer in time"),
            429 => (ProviderErrorKind::RateLimited { retry_after }, "the provider's rate limit is reached"),
            300..=399 => (ProviderErrorKind::BadAnswer, "the provider answered with a redirect"),
            400..=499 => (ProviderErrorKind::Rejected, "the provider refused the request"),
            _ => (ProviderErrorKind::Unavailable, "the provider failed"),
        };
        let code = KNOWN_CODES.into_iter().find(|known| wire.code() == Some(*known));
        let named = code.map_or_else(String::new, |code| format!(", {code}"));
        Self {
            kind,
            status: Some(status.as_u16()),
            code,
            message: format!("{message} (status {}{named})", status.as_u16()).into(),
            detail: format!("type {:?}, code {:?}", wire.kind(), wire.code()),
            lasting: matches!(status.as_u16(), 402 | 404),
        }
    }

    /// Whether another provider may do better.
    pub fn is_retriable(&self) -> bool {
        self.kind != ProviderErrorKind::Rejected
    }

    /// Whether the same provider may do better in a moment: it failed in passing, or has had too many requests. One that took too
    /// long would take as long again.
    pub fn may_pass(&self) -> bool {
        !self.lasting
            && matches!(self.kind, ProviderErrorKind::Unavailable | ProviderErrorKind::RateLimited { .. })
    }

    /// Whether it was not even asked, since it cannot be as things are.
    pub fn is_off(&self) -> bool {
        self.lasting && self.status.is_none()
    }

    /// For the debug log only.
    pub fn detail(&self) -> &str {
        &self.detail
    }
}

/// The body of an error response in the OpenAI dialect; everything in it is optional in practice.
#[derive(Debug, Default, Deserialize)]
struct ErrorBody {
    #[serde(default)]
    error: Option<WireError>,
}

/// The error object of the OpenAI dialect. Its message is not even read.
#[derive(Debug, Default, Deserialize)]
pub(super) struct WireError {
    #[serde(default, rename = "type")]
    kind: Option<serde_json::Value>,
    #[serde(default)]
    code: Option<serde_json::Value>,
    #[serde(default)]
    details: Option<serde_json::Value>,
}

impl WireError {
    fn kind(&self) -> Option<&str> {
        identifier(self.kind.as_ref())
    }

    fn code(&self) -> Option<&str> {
        identifier(self.code.as_ref())
    }

    /// Google answers a bad key with the status of a bad request, and says so in the details alone.
    fn refuses_key(&self) -> bool {
        let details = self.details.as_ref().and_then(serde_json::Value::as_array);
        details.into_iter().flatten().any(|detail| detail["reason"] == "API_KEY_INVALID")
    }
}

fn with_causes(error: &dyn Error) -> String {
    let mut text = error.to_string();
    let mut next = error.source();
    while let Some(cause) = next {
        text.push_str(": ");
        text.push_str(&cause.to_string());
        next = cause.source();
    }
    text
}

/// Text that looks like an identifier; anything else could be prose.
fn identifier(value: Option<&serde_json::Value>) -> Option<&str> {
    let is_plain = |text: &&str| {
        text.len() <= MAX_CODE_LENGTH
            && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"_-.".contains(&byte))
    };
    value?.as_str().filter(is_plain)
}

/// The header in seconds or as a date, at most [`MAX_RETRY_AFTER`]; nonsense is as if absent.
fn retry_after(headers: &HeaderMap, now: Timestamp) -> Option<Duration> {
    let text = headers.get(RETRY_AFTER)?.to_str().ok()?.trim();
    let seconds = text.parse().ok().or_else(|| {
        let date = DateTimeParser::new().parse_timestamp(text).ok()?;
        Some(u64::try_from(date.as_second().saturating_sub(now.as_second())).unwrap_or(0))
    })?;
    Some(Duration::from_secs(seconds).min(MAX_RETRY_AFTER))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn failed(status: u16, body: &str) -> ProviderError {
        let status = StatusCode::from_u16(status).expect("a status");
        ProviderError::from_status(status, &HeaderMap::new(), body.as_bytes())
    }

    #[test]
    fn a_status_decides_the_kind() {
        let table = [
            (400, ProviderErrorKind::Rejected),
            (401, ProviderErrorKind::Auth),
            (403, ProviderErrorKind::Auth),
            (404, ProviderErrorKind::Unavailable),
            (424, ProviderErrorKind::Unavailable),
            (408, ProviderErrorKind::Timeout),
            (413, ProviderErrorKind::Rejected),
            (429, ProviderErrorKind::RateLimited { retry_after: None }),
            (302, ProviderErrorKind::BadAnswer),
            (500, ProviderErrorKind::Unavailable),
            (503, ProviderErrorKind::Unavailable),
            (504, ProviderErrorKind::Timeout),
        ];
        for (status, kind) in table {
            assert_eq!(failed(status, "").kind, kind, "{status}");
        }
    }

    #[test]
    fn a_failure_passes_unless_somebody_has_to_change_something() {
        for (status, passes) in [
            (429, true),
            (500, true),
            (503, true),
            (529, true),
            (400, false),
            (401, false),
            (402, false),
            (404, false),
            (504, false),
        ] {
            assert_eq!(failed(status, "").may_pass(), passes, "{status}");
        }
        let off = ProviderError::off("no key");
        assert!(off.is_off() && !off.may_pass() && !failed(404, "").is_off());
    }

    #[test]
    fn nothing_that_the_provider_wrote_is_repeated_but_codes_that_everybody_knows() {
        let body = r#"{"error": {"message": "Incorrect API key provided: sk-abc", "type": "sk abc", "code": "sk-abc!"}}"#;
        let error = failed(401, body);
        assert!(!format!("{error} {error:?} {}", error.detail()).contains("abc"));

        let error = failed(400, r#"{"error": {"code": "context_length_exceeded", "message": "too long"}}"#);
        assert_eq!(
            error.to_string(),
            "the provider refused the request (status 400, context_length_exceeded)"
        );
        assert_eq!(error.code, Some("context_length_exceeded"));
    }

    #[test]
    fn a_key_that_google_refuses_is_a_refused_key_and_not_a_bad_request() {
        let body = r#"{"error": {"code": 400, "status": "INVALID_ARGUMENT", "message": "secret", "details": [
            {"@type": "type.googleapis.com/google.rpc.ErrorInfo", "reason": "API_KEY_INVALID"}]}}"#;

        assert_eq!(failed(400, body).kind, ProviderErrorKind::Auth);
        assert_eq!(failed(400, &body.replace("API_KEY", "NAME")).kind, ProviderErrorKind::Rejected);
    }

    #[test]
    fn an_error_page_is_an_error_all_the_same() {
        assert_eq!(failed(502, "<html>nginx</html>").to_string(), "the provider failed (status 502)");
    }

    #[test]
    fn the_time_to_wait_is_read_in_both_forms_and_bounded() {
        let now: Timestamp = "2026-01-01T00:00:00Z".parse().expect("a time");
        let read = |text: &'static str| {
            let headers = HeaderMap::from_iter([(RETRY_AFTER, http::HeaderValue::from_static(text))]);
            retry_after(&headers, now).map(|wait| wait.as_secs())
        };

        assert_eq!(read("7"), Some(7));
        assert_eq!(read("99999999"), Some(3600));
        assert_eq!(read("Thu, 01 Jan 2026 00:00:30 GMT"), Some(30));
        assert_eq!(read("Wed, 01 Jan 2025 00:00:30 GMT"), Some(0));
        for nonsense in ["-5", "soon", ""] {
            assert_eq!(read(nonsense), None, "{nonsense:?}");
        }
    }

    #[test]
    fn an_error_within_a_stream_is_told_by_its_code() {
        let read =
            |text| ProviderError::from_stream(&serde_json::from_str(text).expect("an error object")).kind;

        assert_eq!(read(r#"{"code": 400}"#), ProviderErrorKind::Rejected);
        assert_eq!(
            read(r#"{"type": "rate_limit_exceeded"}"#),
            ProviderErrorKind::RateLimited { retry_after: None }
        );
        assert_eq!(read(r#"{"message": "oops"}"#), ProviderErrorKind::Unavailable);
    }
}
