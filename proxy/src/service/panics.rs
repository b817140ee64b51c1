//! A bug while answering costs that request only: it is counted, logged without its text (which may quote the request)
//! and answered as our own trouble.

use std::panic::{self, AssertUnwindSafe};
use std::sync::Arc;

use axum::extract::{Request, State};
use axum::middleware::Next;
use axum::response::Response;
use futures::FutureExt;
use http::StatusCode;
use tonic::Code;

use crate::service::reply::{Protocol, Refusal};
use crate::state::Shared;

const TROUBLE: Refusal = Refusal {
    code: Code::Internal,
    status: StatusCode::INTERNAL_SERVER_ERROR,
    message: "the server failed to answer",
};

/// The layer.
pub async fn apply(State(shared): State<Arc<Shared>>, request: Request, next: Next) -> Response {
    let protocol = Protocol::of(request.headers());
    let answer = AssertUnwindSafe(next.run(request)).catch_unwind().await;
    answer.unwrap_or_else(|_| {
        shared.metrics.panics.with([]).add(1);
        TROUBLE.answer(protocol)
    })
}

/// Makes panics one structured log line with the place and never the text, which may quote a prompt.
pub fn log_panics() {
    panic::set_hook(Box::new(|info| {
        let place = info.location().map(ToString::to_string).unwrap_or_default();
        tracing::error!(place, "bug: panicked");
    }));
}
