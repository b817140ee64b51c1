//! From a request that was read to its response: what all APIs over HTTP have in common.

use std::{convert::Infallible, sync::Arc, time::Instant};

use axum::{
    Extension,
    body::Body,
    extract::{FromRequestParts, rejection::BytesRejection},
    response::{IntoResponse, Response},
};
use bytes::Bytes;
use futures::StreamExt;
use http::{HeaderValue, StatusCode, header, request::Parts};

use super::error::Refused;
use crate::{
    auth::principal::Principal,
    call::{self, Answer, CallRequest, CallStream, Event, Summary},
    error::CallError,
    provider::{
        Piece, Reply, Said,
        native::{BadBody, NativeRequest},
    },
    service::{access_log::Entry, deadline::Deadline, error_body::Dialect, request_id::RequestId},
    state::{Shared, unix_now},
};

/// What the layers around the routes know about a request.
pub(super) struct Context {
    pub(super) shared: Arc<Shared>,
    pub(super) principal: Principal,
    pub(super) entry: Arc<Entry>,
    pub(super) id: Arc<str>,
    pub(super) deadline: Instant,
}

impl FromRequestParts<Arc<Shared>> for Context {
    type Rejection = StatusCode;

    async fn from_request_parts(parts: &mut Parts, shared: &Arc<Shared>) -> Result<Self, StatusCode> {
        async fn of<T: Clone + Send + Sync + 'static>(
            parts: &mut Parts,
            shared: &Arc<Shared>,
        ) -> Result<T, StatusCode> {
            let found = Extension::<T>::from_request_parts(parts, shared).await;
            // The layers are always there.
            found.map(|Extension(found)| found).map_err(|_| StatusCode::INTERNAL_SERVER_ERROR)
        }
        let RequestId(id) = of(parts, shared).await?;
        let Deadline(deadline) = of(parts, shared).await?;
        let (principal, entry) = (of(parts, shared).await?, of(parts, shared).await?);
        Ok(Self { shared: Arc::clone(shared), principal, entry, id, deadline })
    }
}

/// The part of an answer that does not change from event to event.
#[derive(Debug, Clone)]
pub(super) struct Head {
    /// Ours, for the log.
    pub(super) id: Arc<str>,
    /// Unix time in seconds.
    pub(super) created: i64,
    /// The name of the model that answers.
    pub(super) model: Arc<str>,
}

/// Writes an answer in the form of one API, for models whose provider does not speak it.
pub(super) trait Writer: Send + 'static {
    /// A whole answer.
    fn whole(self, said: Said, summary: &Summary) -> Result<Vec<u8>, CallError>;

    /// The events that a piece of an answer becomes.
    fn said(&mut self, piece: Piece) -> Vec<u8>;

    /// The last events.
    fn done(&mut self, summary: &Summary) -> Vec<u8>;

    /// The event for an answer that fails on its way; the last one, also after those of a provider.
    fn failed(&mut self, error: &CallError) -> Vec<u8>;
}

/// Reads the body of a request.
pub(super) fn read(
    body: Result<Bytes, BytesRejection>,
    parse: impl FnOnce(&Bytes) -> Result<NativeRequest, BadBody>,
) -> Result<NativeRequest, Refused> {
    Ok(parse(&body?)?)
}

impl Context {
    /// The response to a request.
    pub(super) async fn respond<W: Writer>(
        self,
        dialect: Dialect,
        asked: Result<NativeRequest, Refused>,
        writer: impl FnOnce(Head) -> W + Send,
    ) -> Response {
        let entry = Arc::clone(&self.entry);
        let answered = match asked {
            Ok(asked) => self.answer(asked, writer).await.map_err(Refused::from),
            Err(refused) => Err(refused),
        };
        answered.unwrap_or_else(|refused| refused.response(dialect, &entry))
    }

    async fn answer<W: Writer>(
        self,
        asked: NativeRequest,
        writer: impl FnOnce(Head) -> W + Send,
    ) -> Result<Response, CallError> {
        let (stream, request) = (asked.stream, self.request(asked));
        let Self { shared, principal, entry, id, .. } = self;
        let head = |model: &Arc<str>| Head { id, created: unix_now(), model: Arc::clone(model) };
        if stream {
            let answer = call::stream(&shared, &principal, request).await?;
            entry.model(answer.model());
            let writer = writer(head(answer.model()));
            return Ok(streamed(answer, writer, entry));
        }
        let Answer { reply, summary } = call::execute(&shared, &principal.caller, request).await?;
        entry.model(&summary.model);
        entry.cost(summary.cost);
        let body = match reply {
            Reply::Raw(body, _) => body,
            Reply::Said(said) => writer(head(&summary.model)).whole(said, &summary)?.into(),
        };
        Ok(json(body))
    }

    /// The call that is asked for.
    pub(super) fn request(&self, asked: NativeRequest) -> CallRequest {
        let NativeRequest { model, input_length, request, stream: _ } = asked;
        CallRequest { model, prompt: request, input_length, deadline: Some(self.deadline) }
    }
}

/// A response with this JSON.
pub(super) fn json(body: Bytes) -> Response {
    ([(header::CONTENT_TYPE, HeaderValue::from_static("application/json"))], body).into_response()
}

fn streamed<W: Writer>(answer: CallStream, writer: W, entry: Arc<Entry>) -> Response {
    let mut events = Events { writer, providers_own: false };
    let body = answer.into_stream().map(move |event| {
        match &event {
            Ok(Event::Done(summary)) => entry.cost(summary.cost),
            Ok(_) => {}
            Err(error) => entry.outcome(error.label()),
        }
        Ok::<_, Infallible>(events.of(event))
    });
    let mut response = Response::new(Body::from_stream(body));
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("text/event-stream"));
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-cache"));
    response
}

/// Turns the events of a call into those of the API.
struct Events<W> {
    writer: W,
    /// The provider writes the events itself.
    providers_own: bool,
}

impl<W: Writer> Events<W> {
    fn of(&mut self, event: Result<Event, CallError>) -> Bytes {
        match event {
            Ok(Event::Raw(bytes)) => {
                self.providers_own = true;
                bytes
            }
            Ok(Event::Said(piece)) => self.writer.said(piece).into(),
            // The provider has said all of this itself.
            Ok(Event::Done(_)) if self.providers_own => Bytes::new(),
            Ok(Event::Done(summary)) => self.writer.done(&summary).into(),
            Err(error) => self.writer.failed(&error).into(),
        }
    }
}
