//! `POST /v1/responses`, whole and as a stream. The answer is put into the API's form here, whatever the provider speaks;
//! nothing of it is kept.

mod answer;
mod events;

use axum::{extract::rejection::BytesRejection, response::Response};
use bytes::Bytes;

use self::events::Events;
use super::respond::{self, Context, Head, Writer};
use crate::{
    call::Summary,
    error::CallError,
    provider::{Piece, Said, openai::responses},
    service::error_body::Dialect,
};

/// The handler.
pub(super) async fn create(context: Context, body: Result<Bytes, BytesRejection>) -> Response {
    let asked = respond::read(body, responses::parse);
    context.respond(Dialect::OpenAi, asked, Responses::new).await
}

/// Writes answers.
struct Responses {
    head: Head,
    events: Events,
}

impl Responses {
    fn new(head: Head) -> Self {
        Self { events: Events::of(head.clone()), head }
    }
}

impl Writer for Responses {
    fn whole(self, said: Said, summary: &Summary) -> Result<Vec<u8>, CallError> {
        let output = answer::output(&self.head, said);
        Ok(serde_json::to_vec(&answer::ended(&self.head, output, summary)).unwrap_or_default())
    }

    fn said(&mut self, piece: Piece) -> Vec<u8> {
        self.events.said(piece)
    }

    fn done(&mut self, summary: &Summary) -> Vec<u8> {
        self.events.done(summary)
    }

    fn failed(&mut self, error: &CallError) -> Vec<u8> {
        self.events.failed(error)
    }
}
