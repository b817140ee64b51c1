//! Bounds the request body, in bytes and in time, whatever it claims about itself.
//!
//! Too large is `RESOURCE_EXHAUSTED` in gRPC and 413 in HTTP; not complete within [`READ_TIME`] is `DEADLINE_EXCEEDED` and a
//! broken request.

use std::error::Error;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use axum::BoxError;
use axum::body::Body;
use axum::extract::{Request, State};
use axum::middleware::Next;
use axum::response::Response;
use bytes::Bytes;
use http::header::CONTENT_LENGTH;
use http::{HeaderMap, HeaderValue, StatusCode};
use http_body::{Body as HttpBody, Frame, SizeHint};
use http_body_util::{LengthLimitError, Limited};
use tokio::time::{Sleep, sleep};
use tonic::{Code, Status};

use crate::service::reply::{Protocol, Refusal};
use crate::state::Shared;

/// How long a caller may take to send a request.
pub const READ_TIME: Duration = Duration::from_secs(30);
/// What gRPC puts before a message.
const GRPC_PREFIX: usize = 5;

const TOO_LARGE: Refusal = Refusal {
    code: Code::ResourceExhausted,
    status: StatusCode::PAYLOAD_TOO_LARGE,
    message: "the request is larger than permitted",
};
const TOO_SLOW: Refusal = Refusal {
    code: Code::DeadlineExceeded,
    status: StatusCode::REQUEST_TIMEOUT,
    message: "the request was sent too slowly",
};

/// The layer.
pub async fn apply(State(shared): State<Arc<Shared>>, request: Request, next: Next) -> Response {
    let protocol = Protocol::of(request.headers());
    let permitted =
        usize::try_from(shared.active.load().config.server.max_message_bytes).unwrap_or(usize::MAX);
    let permitted = permitted.saturating_add(GRPC_PREFIX);
    if claimed_length(request.headers()).is_some_and(|claimed| claimed > permitted) {
        return TOO_LARGE.answer(protocol);
    }
    let request = request.map(|body| {
        let inner = Limited::new(body, permitted);
        Body::new(CappedBody { inner, protocol, late: Box::pin(sleep(READ_TIME)) })
    });
    oversize_as_exhausted(next.run(request).await)
}

fn claimed_length(headers: &HeaderMap) -> Option<usize> {
    headers.get(CONTENT_LENGTH)?.to_str().ok()?.parse().ok()
}

/// tonic refuses a message by its length prefix with `OUT_OF_RANGE`; every other gRPC server, and the contract, says
/// `RESOURCE_EXHAUSTED`. Nothing else here uses `OUT_OF_RANGE`.
fn oversize_as_exhausted(mut response: Response) -> Response {
    if let Some(status) = response.headers_mut().get_mut(Status::GRPC_STATUS)
        && status.as_bytes() == b"11"
    {
        *status = HeaderValue::from_static("8");
    }
    response
}

struct CappedBody {
    inner: Limited<Body>,
    protocol: Protocol,
    late: Pin<Box<Sleep>>,
}

impl HttpBody for CappedBody {
    type Data = Bytes;
    type Error = BoxError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        let protocol = self.protocol;
        if let Poll::Ready(frame) = Pin::new(&mut self.inner).poll_frame(context) {
            return Poll::Ready(frame.map(|frame| frame.map_err(|error| translated(error, protocol))));
        }
        self.late.as_mut().poll(context).map(|()| Some(Err(TOO_SLOW.grpc().into())))
    }

    fn is_end_stream(&self) -> bool {
        self.inner.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        HttpBody::size_hint(&self.inner)
    }
}

/// tonic passes on a status that it finds among the sources of an error; axum's extractors know [`LengthLimitError`].
fn translated(error: BoxError, protocol: Protocol) -> BoxError {
    match protocol {
        Protocol::Grpc if is_length_limit(error.as_ref()) => TOO_LARGE.grpc().into(),
        _ => error,
    }
}

fn is_length_limit(error: &(dyn Error + 'static)) -> bool {
    error.is::<LengthLimitError>() || error.source().is_some_and(is_length_limit)
}
