//! Names every request: the caller's `x-request-id` when it is fit for a log line, else a new one; echoed in the answer.

use std::sync::Arc;

use axum::extract::Request;
use axum::middleware::Next;
use axum::response::Response;
use http::{HeaderName, HeaderValue};

use crate::service::error_body::Dialect;

/// The header of both directions.
pub const HEADER: HeaderName = HeaderName::from_static("x-request-id");
/// What clients of the Anthropic API read instead.
const ANTHROPIC_HEADER: HeaderName = HeaderName::from_static("request-id");
/// Longest id that is taken from a caller.
const MAX_LENGTH: usize = 128;

/// The name of a request, in its extensions.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RequestId(pub Arc<str>);

/// The layer.
pub async fn apply(mut request: Request, next: Next) -> Response {
    let id = request.headers().get(HEADER).and_then(acceptable).map_or_else(generate, Arc::from);
    let dialect = Dialect::of(request.headers());
    request.extensions_mut().insert(RequestId(Arc::clone(&id)));
    let mut response = next.run(request).await;
    if let Ok(value) = HeaderValue::from_str(&id) {
        if dialect == Dialect::Anthropic {
            response.headers_mut().insert(ANTHROPIC_HEADER, value.clone());
        }
        response.headers_mut().insert(HEADER, value);
    }
    response
}

fn generate() -> Arc<str> {
    Arc::from(uuid::Uuid::new_v4().to_string())
}

fn acceptable(value: &HeaderValue) -> Option<&str> {
    let text = value.to_str().ok()?;
    let fits =
        !text.is_empty() && text.len() <= MAX_LENGTH && text.bytes().all(|byte| byte.is_ascii_graphic());
    fits.then_some(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_that_would_spoil_a_log_line_are_replaced() {
        let accepted =
            |text: &str| HeaderValue::from_str(text).is_ok_and(|value| acceptable(&value).is_some());

        assert!(accepted("7f2c-abc"));
        assert!(!accepted(""));
        assert!(!accepted("two words"));
        assert!(!accepted(&"x".repeat(129)));
    }
}
