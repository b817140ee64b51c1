//! Refused requests, in the form of the API that was called.

use axum::{extract::rejection::BytesRejection, response::Response};
use http::{HeaderValue, header::RETRY_AFTER};

use crate::{
    error::CallError,
    provider::native::BadBody,
    service::{
        access_log::Entry,
        error_body::{Dialect, HttpError},
    },
};

/// A request that is not answered.
pub(super) enum Refused {
    /// Its body is too large, too slow or broken; the layer that found out has the status.
    Unread(BytesRejection),
    /// Everything else.
    Call(CallError),
}

impl Refused {
    /// The response; notes the outcome in the log's entry.
    pub(super) fn response(&self, dialect: Dialect, entry: &Entry) -> Response {
        match self {
            Self::Call(error) => {
                entry.outcome(error.label());
                response(error, dialect)
            }
            Self::Unread(rejection) => {
                let (status, message) = (rejection.status(), &rejection.body_text());
                let kind = "invalid_request_error";
                HttpError { status, message, kind, param: None, code: None }.response(dialect)
            }
        }
    }
}

impl From<BytesRejection> for Refused {
    fn from(rejection: BytesRejection) -> Self {
        Self::Unread(rejection)
    }
}

impl From<CallError> for Refused {
    fn from(error: CallError) -> Self {
        Self::Call(error)
    }
}

impl From<BadBody> for Refused {
    fn from(bad: BadBody) -> Self {
        Self::Call(CallError::Invalid { message: bad.to_string(), param: bad.param })
    }
}

/// The body for a failed call.
pub(super) fn body(error: &CallError, dialect: Dialect) -> Vec<u8> {
    with_form(error, |formed| formed.body(dialect))
}

/// The response to a failed call.
pub(super) fn response(error: &CallError, dialect: Dialect) -> Response {
    let mut response = with_form(error, |formed| formed.response(dialect));
    if let Some(wait) = error.retry_after() {
        // Whole seconds, rounded up: coming back too early is refused again.
        let seconds = wait.as_secs() + u64::from(wait.subsec_nanos() > 0);
        response.headers_mut().insert(RETRY_AFTER, HeaderValue::from(seconds));
    }
    response
}

fn with_form<T>(error: &CallError, write: impl FnOnce(HttpError<'_>) -> T) -> T {
    let (told, message) = (error.told(), &error.to_string());
    write(HttpError { status: told.http, message, kind: told.kind, param: error.param(), code: told.code })
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use http::StatusCode;

    use super::*;
    use crate::{
        limits::{LimitKind, Refused, Scope},
        router::NoRoute,
    };

    #[test]
    fn a_limit_tells_when_to_come_back() {
        let refused = Refused {
            kind: LimitKind::Rate,
            scope: Scope::Caller,
            maximum: 1,
            retry_after: Duration::from_millis(1_001),
        };

        let response = response(&CallError::Limited(refused), Dialect::OpenAi);

        assert_eq!(response.status(), StatusCode::TOO_MANY_REQUESTS);
        assert_eq!(response.headers()[RETRY_AFTER], "2");
    }

    #[test]
    fn an_unknown_model_reads_as_at_the_api_that_was_called() {
        let error = CallError::NoRoute(NoRoute::ModelNotFound("x".to_owned()));

        assert_eq!(
            body(&error, Dialect::OpenAi),
            br#"{"error":{"message":"unknown model: x","type":"invalid_request_error","param":"model","code":"model_not_found"}}"#
        );
        assert_eq!(
            body(&error, Dialect::Anthropic),
            br#"{"type":"error","error":{"type":"not_found_error","message":"unknown model: x"}}"#
        );
        assert_eq!(error.told().http, StatusCode::NOT_FOUND);
    }
}
