//! The HTTP front: the part of the OpenAI API that a token of this proxy is good for, so that tools that speak it need
//! nothing but a base URL and a key.

mod chat;
mod completion;
mod error;
mod models;
mod status;

use std::sync::Arc;

use axum::{
    Router,
    extract::DefaultBodyLimit,
    response::{IntoResponse, Response},
    routing::{get, post},
};
use http::StatusCode;

use crate::state::Shared;

/// The routes, to be put on a router behind authentication and a cap on bodies.
pub fn routes(shared: &Arc<Shared>) -> Router {
    Router::new()
        .route("/v1/chat/completions", post(chat::completions))
        .route("/v1/models", get(models::list))
        .route("/vibectl/v1/status", get(status::show))
        .method_not_allowed_fallback(method_not_allowed)
        .layer(DefaultBodyLimit::disable())
        .with_state(Arc::clone(shared))
}

async fn method_not_allowed() -> Response {
    let body = error::body("this path does not have that method", "invalid_request_error", None, None);
    (StatusCode::METHOD_NOT_ALLOWED, body).into_response()
}
