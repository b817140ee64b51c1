//! `POST /v1/chat/completions`, whole and as a stream.
//!
//! Where the model's provider speaks this API, its response goes back byte for byte, and fields that we do not know survive
//! in both directions. Elsewhere the answer is put into the API's form here.

mod completion;

use axum::{extract::rejection::BytesRejection, response::Response};
use bytes::Bytes;
use serde::Serialize;

use super::{
    error,
    respond::{self, Context, Head, Writer},
};
use crate::{
    call::Summary,
    error::CallError,
    provider::{Piece, Said, openai::ChatBody},
    service::error_body::Dialect,
};

const LAST_EVENT: &[u8] = b"data: [DONE]\n\n";

/// The handler.
pub(super) async fn completions(context: Context, body: Result<Bytes, BytesRejection>) -> Response {
    let asked = respond::read(body, ChatBody::parse);
    let body = asked.as_ref().ok().and_then(|asked| asked.request.chat_body());
    let wants_usage = body.is_some_and(ChatBody::wants_usage);
    context.respond(Dialect::OpenAi, asked, |head| Chat { head, wants_usage, opened: false }).await
}

/// Writes answers.
struct Chat {
    head: Head,
    wants_usage: bool,
    opened: bool,
}

impl Chat {
    fn opening(&mut self) -> Vec<u8> {
        if std::mem::replace(&mut self.opened, true) {
            Vec::new()
        } else {
            data(&completion::opening(&self.head))
        }
    }
}

impl Writer for Chat {
    fn whole(self, said: Said, summary: &Summary) -> Result<Vec<u8>, CallError> {
        Ok(serde_json::to_vec(&completion::answer(&self.head, said, summary)).unwrap_or_default())
    }

    fn said(&mut self, piece: Piece) -> Vec<u8> {
        [self.opening(), data(&completion::piece(&self.head, piece))].concat()
    }

    fn done(&mut self, summary: &Summary) -> Vec<u8> {
        let usage = if self.wants_usage { data(&completion::usage(&self.head, summary)) } else { Vec::new() };
        let closing = data(&completion::closing(&self.head, summary.finish));
        [self.opening(), closing, usage, LAST_EVENT.to_vec()].concat()
    }

    fn failed(&mut self, error: &CallError) -> Vec<u8> {
        [b"data: ", &*error::body(error, Dialect::OpenAi), b"\n\n"].concat()
    }
}

fn data(event: &impl Serialize) -> Vec<u8> {
    let mut bytes = b"data: ".to_vec();
    // These are plain structures with string keys: there is nothing in them that could fail.
    let _ = serde_json::to_writer(&mut bytes, event);
    bytes.extend_from_slice(b"\n\n");
    bytes
}
