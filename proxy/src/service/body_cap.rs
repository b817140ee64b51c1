//! Bounds the request body, in bytes and in time, whatever it claims about itself.
//!
//! What all unfinished requests hold together is bounded as well ([`BUDGET`]): many callers that each stop one byte short
//! of their message cost no more than that.
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
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::{Sleep, sleep};
use tonic::{Code, Status};

use crate::service::reply::{Protocol, Refusal};
use crate::state::Shared;

/// How long a caller may take to send a request.
pub const READ_TIME: Duration = Duration::from_secs(30);
/// Bytes of all requests that are being received. One that does not fit is told to come back.
pub const BUDGET: usize = 128 * 1024 * 1024;
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

const BUSY: Refusal = Refusal {
    code: Code::Unavailable,
    status: StatusCode::SERVICE_UNAVAILABLE,
    message: "the server is receiving as much as it can; try again",
};

/// What the layer needs to know.
#[derive(Clone, Debug)]
pub struct Intake {
    shared: Arc<Shared>,
    budget: Arc<Semaphore>,
}

impl Intake {
    /// Nothing received yet.
    pub fn new(shared: &Arc<Shared>) -> Self {
        Self { shared: Arc::clone(shared), budget: Arc::new(Semaphore::new(BUDGET)) }
    }
}

/// The layer.
pub async fn apply(State(intake): State<Intake>, request: Request, next: Next) -> Response {
    let Intake { shared, budget } = intake;
    let protocol = Protocol::of(request.headers());
    let permitted =
        usize::try_from(shared.active.load().config.server.max_message_bytes).unwrap_or(usize::MAX);
    let permitted = permitted.saturating_add(GRPC_PREFIX);
    if claimed_length(request.headers()).is_some_and(|claimed| claimed > permitted) {
        return TOO_LARGE.answer(protocol);
    }
    let request = request.map(|body| {
        let inner = Limited::new(body, permitted);
        Body::new(CappedBody { inner, protocol, late: Box::pin(sleep(READ_TIME)), budget, held: None })
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
    budget: Arc<Semaphore>,
    held: Option<OwnedSemaphorePermit>,
}

impl CappedBody {
    /// Takes what a frame needs out of the budget, until the request has been received or given up.
    fn hold(&mut self, frame: Frame<Bytes>) -> Result<Frame<Bytes>, BoxError> {
        let length = frame.data_ref().map_or(0, Bytes::len);
        let more = Arc::clone(&self.budget).try_acquire_many_owned(u32::try_from(length)?);
        let more = more.map_err(|_| BUSY.grpc())?;
        match &mut self.held {
            Some(held) => held.merge(more),
            None => self.held = Some(more),
        }
        Ok(frame)
    }
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
            let frame = frame.map(|frame| frame.map_err(|error| translated(error, protocol)));
            return Poll::Ready(frame.map(|frame| frame.and_then(|frame| self.hold(frame))));
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

#[cfg(test)]
mod tests {
    use http_body_util::{BodyExt, Full};

    use super::*;

    fn body(bytes: usize, budget: &Arc<Semaphore>) -> CappedBody {
        capped(Body::new(Full::new(Bytes::from(vec![0; bytes]))), budget)
    }

    fn capped(body: Body, budget: &Arc<Semaphore>) -> CappedBody {
        let (inner, late) = (Limited::new(body, 100), Box::pin(sleep(READ_TIME)));
        CappedBody { inner, protocol: Protocol::Grpc, late, budget: Arc::clone(budget), held: None }
    }

    fn code(error: &BoxError) -> Option<Code> {
        error.downcast_ref::<Status>().map(Status::code)
    }

    #[tokio::test]
    async fn requests_share_a_budget_and_give_it_back() {
        let budget = Arc::new(Semaphore::new(50));
        let mut first = body(40, &budget);
        first.frame().await.expect("a frame").expect("within the budget");

        let refused = body(20, &budget).collect().await.expect_err("40 and 20 are too much");
        assert_eq!(code(&refused), Some(Code::Unavailable));
        drop(first);

        assert!(body(20, &budget).collect().await.is_ok());
        assert_eq!(budget.available_permits(), 50);
    }

    #[tokio::test]
    async fn too_long_a_body_is_resource_exhausted() {
        let budget = Arc::new(Semaphore::new(1000));

        let refused = body(101, &budget).collect().await.expect_err("100 are permitted");

        assert_eq!(code(&refused), Some(Code::ResourceExhausted));
    }

    #[tokio::test(start_paused = true)]
    async fn c11_a_body_that_comes_too_slowly_or_not_at_all_is_given_up() {
        let budget = Arc::new(Semaphore::new(100));
        let drip = futures::stream::unfold((), |()| async {
            sleep(Duration::from_secs(5)).await;
            Some((Ok::<_, std::io::Error>(Bytes::from_static(b"x")), ()))
        });
        let nothing = futures::stream::pending::<Result<Bytes, std::io::Error>>();

        for body in [Body::from_stream(drip), Body::from_stream(nothing)] {
            let refused = capped(body, &budget).collect().await.expect_err("never complete");
            assert_eq!(code(&refused), Some(Code::DeadlineExceeded));
        }
    }
}
