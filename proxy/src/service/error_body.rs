//! Errors over HTTP, in the form of the API that the caller speaks, so that its SDK makes its own typed exception of them.

use axum::response::{IntoResponse, Response};
use http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header::CONTENT_TYPE};
use serde::Serialize;

/// Sent by every client of the Anthropic API, and by no other.
const ANTHROPIC_VERSION: HeaderName = HeaderName::from_static("anthropic-version");

/// What Anthropic answers when it has more to do than it can; there is no name for it in HTTP.
const OVERLOADED: u16 = 529;

/// An API over HTTP.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Dialect {
    /// The API of `OpenAI`; also of those who have none in particular.
    OpenAi,
    /// The API of Anthropic.
    Anthropic,
}

/// An error before it has a form.
#[derive(Clone, Copy, Debug)]
pub struct HttpError<'a> {
    /// As `OpenAI` has it; [`Dialect::status`] is what is sent.
    pub status: StatusCode,
    /// In words.
    pub message: &'a str,
    /// `type` of the error object of `OpenAI`.
    pub kind: &'static str,
    /// The field of the request that is wrong.
    pub param: Option<&'static str>,
    /// `code` of the error object of `OpenAI`.
    pub code: Option<&'static str>,
}

#[derive(Serialize)]
#[serde(untagged)]
enum Body<'a> {
    OpenAi {
        error: OpenAiError<'a>,
    },
    Anthropic {
        #[serde(rename = "type")]
        kind: &'static str,
        error: AnthropicError<'a>,
    },
}

#[derive(Serialize)]
struct OpenAiError<'a> {
    message: &'a str,
    #[serde(rename = "type")]
    kind: &'static str,
    param: Option<&'static str>,
    code: Option<&'static str>,
}

#[derive(Serialize)]
struct AnthropicError<'a> {
    #[serde(rename = "type")]
    kind: &'static str,
    message: &'a str,
}

impl Dialect {
    /// What the sender of a request with these headers speaks.
    pub fn of(headers: &HeaderMap) -> Self {
        if headers.contains_key(ANTHROPIC_VERSION) { Self::Anthropic } else { Self::OpenAi }
    }

    fn status(self, status: StatusCode) -> StatusCode {
        match (self, status) {
            (Self::Anthropic, StatusCode::SERVICE_UNAVAILABLE) => {
                StatusCode::from_u16(OVERLOADED).unwrap_or(status)
            }
            _ => status,
        }
    }
}

impl HttpError<'_> {
    /// The body of a response, and the data of an event.
    pub fn body(&self, dialect: Dialect) -> Vec<u8> {
        let Self { status, message, kind, param, code } = *self;
        let body = match dialect {
            Dialect::OpenAi => Body::OpenAi { error: OpenAiError { message, kind, param, code } },
            Dialect::Anthropic => Body::Anthropic {
                kind: "error",
                error: AnthropicError { kind: anthropic_type(status), message },
            },
        };
        // Plain structures with string keys: there is nothing in them that could fail.
        serde_json::to_vec(&body).unwrap_or_default()
    }

    /// The response.
    pub fn response(&self, dialect: Dialect) -> Response {
        let content_type = (CONTENT_TYPE, HeaderValue::from_static("application/json"));
        (dialect.status(self.status), [content_type], self.body(dialect)).into_response()
    }
}

/// The word for a status; its documentation pairs them one to one.
fn anthropic_type(status: StatusCode) -> &'static str {
    match status.as_u16() {
        401 => "authentication_error",
        402 => "billing_error",
        403 => "permission_error",
        404 => "not_found_error",
        408 | 504 => "timeout_error",
        413 => "request_too_large",
        429 => "rate_limit_error",
        503 | OVERLOADED => "overloaded_error",
        400..=499 => "invalid_request_error",
        _ => "api_error",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn error(status: u16) -> HttpError<'static> {
        let status = StatusCode::from_u16(status).expect("a status");
        HttpError { status, message: "no \"x\"", kind: "server_error", param: Some("model"), code: None }
    }

    #[test]
    fn each_api_has_its_own_form() {
        assert_eq!(
            error(404).body(Dialect::OpenAi),
            br#"{"error":{"message":"no \"x\"","type":"server_error","param":"model","code":null}}"#
        );
        assert_eq!(
            error(404).body(Dialect::Anthropic),
            br#"{"type":"error","error":{"type":"not_found_error","message":"no \"x\""}}"#
        );
    }

    #[test]
    fn an_anthropic_client_is_told_of_overload_in_its_own_way() {
        assert_eq!(error(503).response(Dialect::Anthropic).status().as_u16(), 529);
        assert_eq!(error(503).response(Dialect::OpenAi).status().as_u16(), 503);
        assert_eq!(error(429).response(Dialect::Anthropic).status().as_u16(), 429);
    }
}
