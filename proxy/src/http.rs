//! The HTTP front: the APIs of OpenAI and of Anthropic, so that tools that speak them need nothing but a base URL and a key.

mod chat;
mod embeddings;
mod error;
mod messages;
mod models;
mod respond;
mod responses;
mod status;

use std::sync::Arc;

use axum::{
    Router,
    extract::{DefaultBodyLimit, Request},
    response::Response,
    routing::{get, post},
};
use http::StatusCode;

use crate::{
    service::error_body::{Dialect, HttpError},
    state::Shared,
};

/// The routes, to be put on a router behind authentication and a cap on bodies.
pub fn routes(shared: &Arc<Shared>) -> Router {
    Router::new()
        .route("/v1/chat/completions", post(chat::completions))
        .route("/v1/embeddings", post(embeddings::create))
        .route("/v1/messages", post(messages::create))
        .route("/v1/messages/count_tokens", post(messages::count_tokens))
        .route("/v1/responses", post(responses::create))
        .route("/v1/models", get(models::list))
        .route("/v1/models/{*id}", get(models::retrieve))
        .route("/vibectl/v1/status", get(status::show))
        .method_not_allowed_fallback(method_not_allowed)
        .layer(DefaultBodyLimit::disable())
        .with_state(Arc::clone(shared))
}

async fn method_not_allowed(request: Request) -> Response {
    let (status, message) = (StatusCode::METHOD_NOT_ALLOWED, "this path does not have that method");
    let kind = "invalid_request_error";
    let dialect = Dialect::of(request.headers());
    HttpError { status, message, kind, param: None, code: None }.response(dialect)
}
