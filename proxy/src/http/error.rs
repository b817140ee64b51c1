//! Errors in the form of the OpenAI API.

use axum::{
    Json,
    response::{IntoResponse, Response},
};
use http::{HeaderValue, header::RETRY_AFTER};
use serde::Serialize;

use crate::error::CallError;

/// The body of an error response, and the data of an error event.
#[derive(Debug, Serialize)]
pub(super) struct ErrorBody {
    error: ErrorObject,
}

#[derive(Debug, Serialize)]
struct ErrorObject {
    message: String,
    #[serde(rename = "type")]
    kind: &'static str,
    param: Option<&'static str>,
    code: Option<&'static str>,
}

/// An error body with these words.
pub(super) fn body(
    message: impl Into<String>,
    kind: &'static str,
    param: Option<&'static str>,
    code: Option<&'static str>,
) -> Json<ErrorBody> {
    Json(ErrorBody { error: ErrorObject { message: message.into(), kind, param, code } })
}

/// The body for a failed call.
pub(super) fn body_of(error: &CallError) -> Json<ErrorBody> {
    let told = error.told();
    body(error.to_string(), told.kind, error.param(), told.code)
}

/// The response to a failed call.
pub(super) fn response(error: &CallError) -> Response {
    let mut response = (error.told().http, body_of(error)).into_response();
    if let Some(wait) = error.retry_after() {
        // Whole seconds, rounded up: coming back too early is refused again.
        let seconds = wait.as_secs() + u64::from(wait.subsec_nanos() > 0);
        response.headers_mut().insert(RETRY_AFTER, HeaderValue::from(seconds));
    }
    response
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

        let response = response(&CallError::Limited(refused));

        assert_eq!(response.status(), StatusCode::TOO_MANY_REQUESTS);
        assert_eq!(response.headers()[RETRY_AFTER], "2");
    }

    #[test]
    fn an_unknown_model_reads_as_at_openai() {
        let error = CallError::NoRoute(NoRoute::ModelNotFound("x".to_owned()));

        let Json(body) = body_of(&error);

        assert_eq!(
            serde_json::to_string(&body).expect("JSON"),
            r#"{"error":{"message":"unknown model: x","type":"invalid_request_error","param":"model","code":"model_not_found"}}"#
        );
        assert_eq!(error.told().http, StatusCode::NOT_FOUND);
    }
}
