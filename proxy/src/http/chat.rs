//! `POST /v1/chat/completions`, whole and as a stream.
//!
//! Where the model's provider speaks this API, its response goes back byte for byte, and fields that we do not know survive
//! in both directions. Elsewhere the answer is put into the API's form here.

use std::{convert::Infallible, sync::Arc};

use axum::{
    Extension, Json,
    body::Body,
    extract::{State, rejection::BytesRejection},
    response::{IntoResponse, Response},
};
use bytes::Bytes;
use futures::StreamExt;
use http::{HeaderValue, header};
use serde::Serialize;

use super::{completion::Head, error};
use crate::{
    auth::principal::Principal,
    call::{self, Answer, CallRequest, CallStream, Event, Summary},
    error::CallError,
    provider::{
        Reply,
        openai::{BadBody, ChatBody, ChatRequest},
    },
    service::{access_log::Entry, deadline::Deadline, request_id::RequestId},
    state::{Shared, unix_now},
};

const LAST_EVENT: &[u8] = b"data: [DONE]\n\n";

/// The handler.
pub(super) async fn completions(
    State(shared): State<Arc<Shared>>,
    Extension(principal): Extension<Principal>,
    Extension(entry): Extension<Arc<Entry>>,
    Extension(RequestId(id)): Extension<RequestId>,
    Extension(Deadline(deadline)): Extension<Deadline>,
    body: Result<Bytes, BytesRejection>,
) -> Response {
    let body = match body {
        Ok(body) => body,
        Err(rejection) => return unread(&rejection),
    };
    let answered = match ChatBody::parse(&body) {
        Ok(ChatRequest { model, stream, input_length, request }) => {
            let asked = Asked {
                id,
                stream,
                wants_usage: request.chat_body.as_ref().is_some_and(ChatBody::wants_usage),
            };
            let request = CallRequest { model, prompt: request, input_length, deadline: Some(deadline) };
            asked.answer(&shared, &principal, &entry, request).await
        }
        Err(bad) => Err(bad.into()),
    };
    answered.unwrap_or_else(|error| {
        entry.outcome(error.label());
        error::response(&error)
    })
}

/// How the answer is wanted.
struct Asked {
    id: Arc<str>,
    stream: bool,
    wants_usage: bool,
}

impl Asked {
    async fn answer(
        self,
        shared: &Arc<Shared>,
        principal: &Principal,
        entry: &Arc<Entry>,
        request: CallRequest,
    ) -> Result<Response, CallError> {
        if self.stream {
            let answer = call::stream(shared, principal, request).await?;
            entry.model(answer.model());
            return Ok(self.streamed(answer, Arc::clone(entry)));
        }
        let Answer { reply, summary } = call::execute(shared, &principal.caller, request).await?;
        entry.model(&summary.model);
        Ok(match reply {
            Reply::Raw(body, _) => json_body(body),
            Reply::Said(said) => Json(self.head(&summary.model).answer(said, &summary)).into_response(),
        })
    }

    fn head(&self, model: &Arc<str>) -> Head {
        Head { id: Arc::clone(&self.id), created: unix_now(), model: Arc::clone(model) }
    }

    fn streamed(self, answer: CallStream, entry: Arc<Entry>) -> Response {
        let mut events =
            Events { head: self.head(answer.model()), wants_usage: self.wants_usage, form: Form::Unknown };
        let body = answer.into_stream().map(move |event| {
            if let Err(error) = &event {
                entry.outcome(error.label());
            }
            Ok::<_, Infallible>(events.of(event))
        });
        let mut response = Response::new(Body::from_stream(body));
        let headers = response.headers_mut();
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("text/event-stream"));
        headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-cache"));
        response
    }
}

/// Turns the events of a call into those of the API.
struct Events {
    head: Head,
    wants_usage: bool,
    form: Form,
}

/// Who writes the events; the first one tells.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Form {
    Unknown,
    Ours,
    Providers,
}

impl Events {
    fn of(&mut self, event: Result<Event, CallError>) -> Bytes {
        match event {
            Ok(Event::Raw(bytes)) => {
                self.form = Form::Providers;
                bytes
            }
            Ok(Event::Said(piece)) => [self.opening(), data(&self.head.piece(piece))].concat().into(),
            // The provider has said all of this itself.
            Ok(Event::Done(_)) if self.form == Form::Providers => Bytes::new(),
            Ok(Event::Done(summary)) => self.end(&summary),
            Err(error) => data(&error::body_of(&error).0).into(),
        }
    }

    fn opening(&mut self) -> Vec<u8> {
        if self.form == Form::Ours {
            return Vec::new();
        }
        self.form = Form::Ours;
        data(&self.head.opening())
    }

    fn end(&mut self, summary: &Summary) -> Bytes {
        let usage = if self.wants_usage { data(&self.head.usage(summary)) } else { Vec::new() };
        [self.opening(), data(&self.head.closing(summary.finish)), usage, LAST_EVENT.to_vec()].concat().into()
    }
}

fn data(event: &impl Serialize) -> Vec<u8> {
    let mut bytes = b"data: ".to_vec();
    // These are plain structures with string keys: there is nothing in them that could fail.
    let _ = serde_json::to_writer(&mut bytes, event);
    bytes.extend_from_slice(b"\n\n");
    bytes
}

fn json_body(body: Bytes) -> Response {
    ([(header::CONTENT_TYPE, HeaderValue::from_static("application/json"))], body).into_response()
}

/// A body that is too large, too slow or broken; the layer that found out has the status.
fn unread(rejection: &BytesRejection) -> Response {
    (rejection.status(), error::body(rejection.body_text(), "invalid_request_error", None, None))
        .into_response()
}

impl From<BadBody> for CallError {
    fn from(bad: BadBody) -> Self {
        Self::Invalid { message: bad.to_string(), param: bad.param }
    }
}
