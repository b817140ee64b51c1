//! `POST /v1/messages`, whole and as a stream, and `POST /v1/messages/count_tokens`: the API of Anthropic.
//!
//! Where the model's provider speaks this API, its response goes back byte for byte, and fields and blocks that we do not know
//! survive in both directions. Elsewhere the answer is put into the API's form here.

mod answer;
mod blocks;

use axum::{extract::rejection::BytesRejection, response::Response};
use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue};
use serde::Serialize;

use super::{
    error::{self, Refused},
    respond::{self, Context, Head, Writer},
};
use crate::{
    call::{self, Summary, TokenCount},
    error::CallError,
    provider::{Piece, Said, anthropic::MessagesBody, native::NativeRequest},
    service::error_body::Dialect,
};

const BETA: HeaderName = HeaderName::from_static("anthropic-beta");

/// The handler of messages.
pub(super) async fn create(
    context: Context,
    headers: HeaderMap,
    body: Result<Bytes, BytesRejection>,
) -> Response {
    let asked = respond::read(body, |body| MessagesBody::parse(body, beta(&headers)));
    context.respond(Dialect::Anthropic, asked, Messages::new).await
}

/// The handler of counts.
pub(super) async fn count_tokens(
    context: Context,
    headers: HeaderMap,
    body: Result<Bytes, BytesRejection>,
) -> Response {
    let asked = respond::read(body, |body| MessagesBody::parse_uncapped(body, beta(&headers)));
    count(&context, asked)
        .await
        .unwrap_or_else(|refused| refused.response(Dialect::Anthropic, &context.entry))
}

async fn count(context: &Context, asked: Result<NativeRequest, Refused>) -> Result<Response, Refused> {
    #[derive(Serialize)]
    struct Count {
        input_tokens: u64,
        /// Not of the API: nobody has counted, this is the estimate by which limits reserve.
        #[serde(skip_serializing_if = "std::ops::Not::not")]
        estimated: bool,
    }
    let request = context.request(asked?);
    let TokenCount { input_tokens, estimated, model } =
        call::count_tokens(&context.shared, &context.principal.caller, request).await?;
    context.entry.model(&model);
    Ok(respond::json(serde_json::to_vec(&Count { input_tokens, estimated }).unwrap_or_default().into()))
}

/// The features that the caller asks for by header, all of them in one.
fn beta(headers: &HeaderMap) -> Option<HeaderValue> {
    let values: Vec<&[u8]> = headers.get_all(BETA).iter().map(HeaderValue::as_bytes).collect();
    if values.is_empty() {
        return None;
    }
    HeaderValue::from_bytes(&values.join(&b","[..])).ok()
}

/// Writes answers.
struct Messages {
    head: Head,
    blocks: blocks::Blocks,
    opened: bool,
}

impl Messages {
    fn new(head: Head) -> Self {
        Self { head, blocks: blocks::Blocks::default(), opened: false }
    }

    fn opening(&mut self) -> Vec<u8> {
        if std::mem::replace(&mut self.opened, true) {
            return Vec::new();
        }
        answer::event(&answer::start(&self.head))
    }
}

impl Writer for Messages {
    fn whole(self, said: Said, summary: &Summary) -> Result<Vec<u8>, CallError> {
        Ok(serde_json::to_vec(&answer::whole(&self.head, &said, summary)?).unwrap_or_default())
    }

    fn said(&mut self, piece: Piece) -> Vec<u8> {
        let mut events = self.opening();
        events.extend(self.blocks.said(piece).iter().flat_map(answer::event));
        events
    }

    fn done(&mut self, summary: &Summary) -> Vec<u8> {
        let mut events = self.opening();
        let last = [answer::end(summary), answer::Event::MessageStop];
        events.extend(self.blocks.finish().iter().chain(&last).flat_map(answer::event));
        events
    }

    fn failed(&mut self, error: &CallError) -> Vec<u8> {
        [b"event: error\ndata: ", &*error::body(error, Dialect::Anthropic), b"\n\n"].concat()
    }
}
