//! Keeps a browser that is led here from taking an answer, which may be a model's words, for a page or a script.

use axum::extract::Request;
use axum::middleware::Next;
use axum::response::Response;
use http::HeaderValue;
use http::header::X_CONTENT_TYPE_OPTIONS;

use crate::service::reply::Protocol;

/// The layer. gRPC is nothing that a browser would take for anything.
pub async fn apply(request: Request, next: Next) -> Response {
    let protocol = Protocol::of(request.headers());
    let mut response = next.run(request).await;
    if protocol.is_http() {
        response.headers_mut().insert(X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    }
    response
}
