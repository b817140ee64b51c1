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

use crate::metrics::family::Family;
use crate::service::reply::{Protocol, Refusal};

const TROUBLE: Refusal = Refusal {
    code: Code::Internal,
    status: StatusCode::INTERNAL_SERVER_ERROR,
    message: "the server failed to answer",
};

/// The layer, with where it counts.
pub async fn apply(State(panics): State<Arc<Family<0>>>, request: Request, next: Next) -> Response {
    let protocol = Protocol::of(request.headers());
    let answer = AssertUnwindSafe(next.run(request)).catch_unwind().await;
    answer.unwrap_or_else(|_| {
        panics.with([]).add(1);
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

#[cfg(test)]
mod tests {
    use axum::{Router, body::Body, middleware::from_fn_with_state, routing::post};
    use http::header::CONTENT_TYPE;
    use tower::ServiceExt;

    use super::*;

    async fn handler(request: Request) -> &'static str {
        assert!(!request.uri().path().ends_with("bug"), "a secret of the request");
        "well"
    }

    #[tokio::test]
    async fn k05_a_bug_while_answering_costs_that_request_and_no_other() {
        let panics = Arc::new(Family::counter("test_panics", "Test.", []));
        let layer = from_fn_with_state(Arc::clone(&panics), apply);
        let router = Router::new().route("/{what}", post(handler)).layer(layer);
        let ask = async |path: &str, media_type: &str| {
            let request = Request::post(path).header(CONTENT_TYPE, media_type).body(Body::empty());
            let response = router.clone().oneshot(request.expect("a request")).await.expect("an answer");
            let grpc = response.headers().get("grpc-status").cloned();
            let status = response.status();
            let body = axum::body::to_bytes(response.into_body(), 1024).await.expect("a body");
            (status, grpc, String::from_utf8_lossy(&body).into_owned())
        };

        let (status, _, body) = ask("/bug", "application/json").await;
        let (over_grpc, grpc_status, _) = ask("/bug", "application/grpc").await;
        let (after, _, well) = ask("/next", "application/json").await;

        assert_eq!(status, StatusCode::INTERNAL_SERVER_ERROR);
        assert!(body.contains("the server failed to answer") && !body.contains("secret"), "{body}");
        assert_eq!(over_grpc, StatusCode::OK);
        assert_eq!(grpc_status.expect("a status"), "13");
        assert_eq!((after, well.as_str()), (StatusCode::OK, "well"));
        assert_eq!(panics.with([]).get(), 2);
    }
}
