//! A bug while answering costs that request only: it is counted, logged without its text (which may quote the request)
//! and answered as our own trouble.

use std::panic::{self, AssertUnwindSafe};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use axum::body::{Body, Bytes};
use axum::extract::{Request, State};
use axum::middleware::Next;
use axum::response::Response;
use futures::FutureExt;
use http::StatusCode;
use http_body::{Frame, SizeHint};
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
    let Ok(response) = answer else {
        panics.with([]).add(1);
        return TROUBLE.answer(protocol);
    };
    response.map(|body| Body::new(Guarded { body: Some(body), protocol, panics }))
}

/// The body of an answer. It is polled by the task of the connection, which a bug in it would end with all its calls.
struct Guarded {
    /// Absent once it has panicked.
    body: Option<Body>,
    protocol: Protocol,
    panics: Arc<Family<0>>,
}

impl http_body::Body for Guarded {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        let Some(body) = &mut self.body else { return Poll::Ready(None) };
        let polled = panic::catch_unwind(AssertUnwindSafe(|| Pin::new(body).poll_frame(context)));
        polled.unwrap_or_else(|_| {
            self.body = None;
            self.panics.with([]).add(1);
            Poll::Ready(Some(TROUBLE.last_frame(self.protocol)))
        })
    }

    fn is_end_stream(&self) -> bool {
        self.body.as_ref().is_none_or(Body::is_end_stream)
    }

    fn size_hint(&self) -> SizeHint {
        self.body.as_ref().map(Body::size_hint).unwrap_or_default()
    }
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
    use futures::StreamExt;
    use http::header::CONTENT_TYPE;
    use http_body_util::BodyExt;
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

    #[tokio::test]
    async fn k05_a_bug_in_the_midst_of_an_answer_ends_that_answer_with_an_error() {
        let panics = Arc::new(Family::counter("test_panics", "Test.", []));
        let answer = || async {
            let pieces = futures::stream::iter(["first", "bug"]).map(|piece| {
                assert_ne!(piece, "bug");
                Ok::<_, std::convert::Infallible>(piece)
            });
            Body::from_stream(pieces)
        };
        let layer = from_fn_with_state(Arc::clone(&panics), apply);
        let router = Router::new().route("/", post(answer)).layer(layer);
        let ask = async |media_type: &str| {
            let request = Request::post("/").header(CONTENT_TYPE, media_type).body(Body::empty());
            let mut body =
                router.clone().oneshot(request.expect("a request")).await.expect("an answer").into_body();
            let first = body.frame().await.expect("a piece").expect("good").into_data().expect("data");
            assert_eq!(first, "first");
            let last = body.frame().await.expect("the end");
            assert!(body.frame().await.is_none());
            last
        };

        let broken = ask("application/json").await.expect_err("an error");
        let trailers = ask("application/grpc").await.expect("trailers").into_trailers().expect("trailers");

        assert!(broken.to_string().contains("the server failed to answer"), "{broken}");
        assert_eq!(trailers["grpc-status"], "13");
        assert_eq!(panics.with([]).get(), 2);
    }
}
