//! One log line and one set of metrics for every request, when its answer has ended. Never a prompt, an answer or a
//! token.

use std::pin::Pin;
use std::sync::{Arc, OnceLock};
use std::task::{Context, Poll};
use std::time::Instant;

use axum::body::Body;
use axum::extract::{MatchedPath, Request, State};
use axum::middleware::Next;
use axum::response::Response;
use bytes::Bytes;
use http::{Extensions, HeaderMap, StatusCode};
use http_body::{Body as HttpBody, Frame, SizeHint};
use tonic::{Code, Status};

use crate::cost::Cost;
use crate::listener::Peer;
use crate::listener::connection::InProgress;
use crate::metrics::family::OTHER;
use crate::service::reply::Protocol;
use crate::service::request_id::RequestId;
use crate::state::Shared;

/// gRPC methods that metrics tell apart.
const METHODS: [&str; 5] = ["Execute", "StreamExecute", "GetServerInfo", "Check", "Watch"];

/// What the layers and front ends below know about a request and the log line should tell. In the extensions.
#[derive(Debug, Default)]
pub struct Entry {
    subject: OnceLock<String>,
    token: OnceLock<String>,
    model: OnceLock<String>,
    outcome: OnceLock<String>,
    cost: OnceLock<Cost>,
}

impl Entry {
    /// The entry of a request; a detached one where there is no layer above (in tests).
    pub fn of(extensions: &Extensions) -> Arc<Self> {
        extensions.get::<Arc<Self>>().cloned().unwrap_or_default()
    }

    /// Who called. The first word counts, here and below.
    pub fn subject(&self, subject: &str) {
        let _ = self.subject.set(subject.to_owned());
    }

    /// The identifier of the token that was accepted, where it has one.
    pub fn token(&self, id: Option<&str>) {
        if let Some(id) = id {
            let _ = self.token.set(id.to_owned());
        }
    }

    /// The model that answered: one of the config, never what a caller made up.
    pub fn model(&self, model: &str) {
        let _ = self.model.set(model.to_owned());
    }

    /// What the complete answer cost, where that is known.
    pub fn cost(&self, cost: Option<Cost>) {
        if let Some(cost) = cost {
            let _ = self.cost.set(cost);
        }
    }

    /// How the call ended, where the status cannot tell: an error code sent as a message.
    pub fn outcome(&self, outcome: &str) {
        let _ = self.outcome.set(outcome.to_owned());
    }
}

/// The layer.
pub async fn apply(State(shared): State<Arc<Shared>>, mut request: Request, next: Next) -> Response {
    let entry = Arc::new(Entry::default());
    request.extensions_mut().insert(Arc::clone(&entry));
    let mut record = Record {
        entry,
        protocol: Protocol::of(request.headers()),
        method: method_of(&request),
        request_id: request.extensions().get::<RequestId>().map(|id| Arc::clone(&id.0)).unwrap_or_default(),
        _in_progress: request.extensions().get().cloned(),
        peer: request.extensions().get::<Peer>().copied(),
        started: Instant::now(),
        status: StatusCode::OK,
        code: None,
        complete: false,
        shared,
    };
    let response = next.run(request).await;
    record.status = response.status();
    record.code = grpc_code(response.headers());
    record.complete = record.code.is_some() || response.body().is_end_stream();
    response.map(|inner| Body::new(LoggedBody { inner, record }))
}

/// Bounded: a known gRPC method (only names of services have a dot), the pattern of a route, or [`OTHER`].
fn method_of(request: &Request) -> String {
    let path = request.uri().path();
    let matched = request.extensions().get::<MatchedPath>().map(MatchedPath::as_str);
    match (matched, path.rsplit_once('/')) {
        (Some(pattern), Some((_, method))) if pattern.contains('.') => {
            if METHODS.contains(&method) {
                method.to_owned()
            } else {
                OTHER.to_owned()
            }
        }
        (Some(pattern), _) => pattern.to_owned(),
        (None, _) => OTHER.to_owned(),
    }
}

fn grpc_code(headers: &HeaderMap) -> Option<Code> {
    headers.get(Status::GRPC_STATUS).map(|status| Code::from_bytes(status.as_bytes()))
}

/// Written when dropped, so that a request whose caller went away is recorded as well.
struct Record {
    entry: Arc<Entry>,
    protocol: Protocol,
    method: String,
    request_id: Arc<str>,
    peer: Option<Peer>,
    _in_progress: Option<Arc<InProgress>>,
    started: Instant,
    status: StatusCode,
    code: Option<Code>,
    complete: bool,
    shared: Arc<Shared>,
}

impl Record {
    /// `OK`, `NOT_FOUND` and so on for gRPC, the number for HTTP; 499 is what proxies write for a caller that went away.
    fn code(&self) -> String {
        match (self.protocol, self.complete) {
            (Protocol::Grpc, true) => code_name(self.code.unwrap_or(Code::Ok)).to_owned(),
            (Protocol::Grpc, false) => code_name(Code::Cancelled).to_owned(),
            (Protocol::Http(_), true) => self.status.as_str().to_owned(),
            (Protocol::Http(_), false) => "499".to_owned(),
        }
    }
}

impl Drop for Record {
    fn drop(&mut self) {
        let (code, took) = (self.code(), self.started.elapsed());
        let metrics = &self.shared.metrics;
        metrics.requests.with([&self.method, &code]).add(1);
        metrics.request_duration.observe(took.as_secs_f64());
        let Entry { subject, token, model, outcome, cost } = self.entry.as_ref();
        tracing::info!(
            request_id = &*self.request_id,
            method = self.method,
            subject = subject.get(),
            token = token.get(),
            model = model.get(),
            code,
            outcome = outcome.get(),
            cost_usd = cost.get().map(tracing::field::display),
            duration_ms = u64::try_from(took.as_millis()).unwrap_or(u64::MAX),
            peer = self.peer.map(|peer| tracing::field::display(peer.0)),
            "request"
        );
    }
}

/// Spelled as in the gRPC specification.
fn code_name(code: Code) -> &'static str {
    match code {
        Code::Ok => "OK",
        Code::Cancelled => "CANCELLED",
        Code::Unknown => "UNKNOWN",
        Code::InvalidArgument => "INVALID_ARGUMENT",
        Code::DeadlineExceeded => "DEADLINE_EXCEEDED",
        Code::NotFound => "NOT_FOUND",
        Code::AlreadyExists => "ALREADY_EXISTS",
        Code::PermissionDenied => "PERMISSION_DENIED",
        Code::ResourceExhausted => "RESOURCE_EXHAUSTED",
        Code::FailedPrecondition => "FAILED_PRECONDITION",
        Code::Aborted => "ABORTED",
        Code::OutOfRange => "OUT_OF_RANGE",
        Code::Unimplemented => "UNIMPLEMENTED",
        Code::Internal => "INTERNAL",
        Code::Unavailable => "UNAVAILABLE",
        Code::DataLoss => "DATA_LOSS",
        Code::Unauthenticated => "UNAUTHENTICATED",
    }
}

struct LoggedBody {
    inner: Body,
    record: Record,
}

impl HttpBody for LoggedBody {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        let polled = Pin::new(&mut self.inner).poll_frame(context);
        if let Poll::Ready(frame) = &polled {
            match frame {
                Some(Ok(frame)) => {
                    if let Some(trailers) = frame.trailers_ref() {
                        self.record.code = grpc_code(trailers);
                        self.record.complete = true;
                    }
                }
                Some(Err(_)) => {}
                None => self.record.complete = true,
            }
        }
        // hyper does not poll again after a last frame that says so.
        self.record.complete |= self.inner.is_end_stream();
        polled
    }

    fn is_end_stream(&self) -> bool {
        self.inner.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        HttpBody::size_hint(&self.inner)
    }
}
