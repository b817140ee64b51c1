//! Bounds a request in time: by what the caller asks for (`grpc-timeout`), at most [`MAX_CALL`].
//!
//! The moment is in the extensions as [`Deadline`], for whoever can say it better (a call ends earlier by its own limit);
//! this layer is what holds when nobody does, for the head of the answer and for its body.

use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use axum::body::Body;
use axum::extract::Request;
use axum::middleware::Next;
use axum::response::Response;
use bytes::Bytes;
use http::{HeaderMap, StatusCode};
use http_body::{Body as HttpBody, Frame, SizeHint};
use tokio::time::{Instant, Sleep, sleep_until, timeout_at};
use tonic::Code;

use crate::service::reply::{Protocol, Refusal};

/// The longest that any call may take, streams included. A connection that is told to end gets this long, too.
pub const MAX_CALL: Duration = Duration::from_hours(1);

const LATE: Refusal = Refusal {
    code: Code::DeadlineExceeded,
    status: StatusCode::GATEWAY_TIMEOUT,
    message: "the call took longer than permitted",
};

/// When the request has to be answered, in its extensions.
#[derive(Clone, Copy, Debug)]
pub struct Deadline(pub std::time::Instant);

/// The layer.
pub async fn apply(mut request: Request, next: Next) -> Response {
    let protocol = Protocol::of(request.headers());
    let permitted = grpc_timeout(request.headers()).map_or(MAX_CALL, |asked| asked.min(MAX_CALL));
    let deadline = Instant::now() + permitted;
    request.extensions_mut().insert(Deadline(deadline.into_std()));
    match timeout_at(deadline, next.run(request)).await {
        Ok(response) => response.map(|inner| {
            Body::new(TimedBody { inner, protocol, late: Box::pin(sleep_until(deadline)), ended: false })
        }),
        Err(_) => LATE.answer(protocol),
    }
}

/// Ends an answer at the deadline: with trailers in gRPC, with a broken body in HTTP.
struct TimedBody {
    inner: Body,
    protocol: Protocol,
    late: Pin<Box<Sleep>>,
    ended: bool,
}

impl HttpBody for TimedBody {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        if self.ended {
            return Poll::Ready(None);
        }
        if let Poll::Ready(frame) = Pin::new(&mut self.inner).poll_frame(context) {
            return Poll::Ready(frame);
        }
        match self.late.as_mut().poll(context) {
            Poll::Pending => Poll::Pending,
            Poll::Ready(()) => {
                self.ended = true;
                // Dropped here, so that the provider is told although the caller may still read.
                self.inner = Body::empty();
                Poll::Ready(Some(LATE.last_frame(self.protocol)))
            }
        }
    }

    fn is_end_stream(&self) -> bool {
        self.ended || self.inner.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        HttpBody::size_hint(&self.inner)
    }
}

/// The value of `grpc-timeout`: at most eight digits and a unit. Anything else is as if absent, as in other servers.
fn grpc_timeout(headers: &HeaderMap) -> Option<Duration> {
    let text = headers.get("grpc-timeout")?.to_str().ok()?;
    let (digits, unit) = text.split_at_checked(text.len().checked_sub(1)?)?;
    if digits.len() > 8 || !digits.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    let amount: u64 = digits.parse().ok()?;
    match unit {
        "H" => Some(Duration::from_hours(amount)),
        "M" => Some(Duration::from_mins(amount)),
        "S" => Some(Duration::from_secs(amount)),
        "m" => Some(Duration::from_millis(amount)),
        "u" => Some(Duration::from_micros(amount)),
        "n" => Some(Duration::from_nanos(amount)),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn timeouts_are_read_as_the_grpc_specification_says() {
        let read = |text: &'static str| {
            grpc_timeout(&HeaderMap::from_iter([(
                http::HeaderName::from_static("grpc-timeout"),
                http::HeaderValue::from_static(text),
            )]))
        };

        assert_eq!(read("1H"), Some(Duration::from_hours(1)));
        assert_eq!(read("99999999H"), Some(Duration::from_hours(99_999_999)));
        assert_eq!(read("250m"), Some(Duration::from_millis(250)));
        assert_eq!(read("1n"), Some(Duration::from_nanos(1)));
        for bad in ["", "S", "-1S", "1", "1s", "123456789S", "1.5S", "+1S"] {
            assert_eq!(read(bad), None, "{bad:?}");
        }
    }
}
