//! The stack of layers around the two front ends, and what answers where there is no route.

pub mod access_log;
pub mod body_cap;
pub mod deadline;
pub mod error_body;
pub mod health;
pub mod hsts;
pub mod nosniff;
pub mod panics;
pub mod reply;
pub mod request_id;

use std::sync::Arc;

use axum::Router;
use axum::extract::Request;
use axum::middleware::{from_fn, from_fn_with_state};
use axum::response::Response;
use http::StatusCode;
use tonic::Code;

use crate::auth;
use crate::grpc;
use crate::http as front;
use crate::service::reply::{Protocol, Refusal};
use crate::state::Shared;

/// Everything that the service port answers.
///
/// Layers, outermost first; each sees what the ones above let through:
///
/// 1. `request_id`: everything below can name the request.
/// 2. `hsts`, `nosniff`: on every answer, also on those of the layers below.
/// 3. `access_log`: sees how every request ended, also those that the layers below refused.
/// 4. `panics`: a bug costs one request and is still logged and counted.
/// 5. `deadline`: bounds all work below, the reading of the request included.
/// 6. `body_cap`: nothing below can be made to hold more than one message of the permitted size.
/// 7. `auth`: no route and no fallback below is reachable without a caller; only health is beside it.
pub fn build(shared: &Arc<Shared>) -> Router {
    let api = Router::new()
        .route_service(GRPC_PATH, grpc::service(shared))
        .merge(grpc::reflection::routes(shared))
        .merge(front::routes(shared))
        .fallback(no_route)
        .layer(from_fn_with_state(Arc::clone(shared), auth::apply));
    let over_tls = shared.tls.get().is_some() || shared.awaits_certificate();
    let hsts = hsts::value(&shared.config().tls.hsts, over_tls);
    Router::new()
        .merge(shared.health.routes())
        .merge(api)
        .layer(from_fn_with_state(body_cap::Intake::new(shared), body_cap::apply))
        .layer(from_fn(deadline::apply))
        .layer(from_fn_with_state(Arc::clone(&shared.metrics.panics), panics::apply))
        .layer(from_fn_with_state(Arc::clone(shared), access_log::apply))
        .layer(from_fn(nosniff::apply))
        .layer(from_fn_with_state(hsts, hsts::apply))
        .layer(from_fn(request_id::apply))
}

/// Every method of the one service.
const GRPC_PATH: &str = "/vibectl.llm_proxy.VibectlLLMProxy/{*rest}";

/// tonic's own fallback would answer every path with HTTP 200.
pub(crate) async fn no_route(request: Request) -> Response {
    Refusal { code: Code::Unimplemented, status: StatusCode::NOT_FOUND, message: "Method not found!" }
        .answer(Protocol::of(request.headers()))
}
