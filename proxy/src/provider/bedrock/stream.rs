//! A streamed response, message by message. Nothing is read ahead of the one who asks.

use std::collections::VecDeque;

use http::header::{CONTENT_TYPE, HeaderValue};

use super::{
    super::{ModelEvent, ProviderError, client::Response},
    decode::Decoder,
    event_stream::{BadMessage, Splitter},
};

/// The rest of a streamed response. Dropping it ends the upstream call.
#[derive(Debug)]
pub struct BedrockStream {
    response: Response,
    splitter: Splitter,
    decoder: Decoder,
    /// Events that came together with the one given last.
    pending: VecDeque<ModelEvent>,
}

impl BedrockStream {
    pub(super) fn new(response: Response, structured: bool) -> Result<Self, ProviderError> {
        let content_type = response.headers().get(CONTENT_TYPE).map(HeaderValue::as_bytes);
        if !content_type.is_some_and(|value| value.starts_with(super::EVENT_STREAM.as_bytes())) {
            return Err(ProviderError::bad_answer("the provider did not answer with a stream"));
        }
        let (splitter, decoder) = (Splitter::default(), Decoder::new(structured));
        Ok(Self { response, splitter, decoder, pending: VecDeque::new() })
    }

    pub(crate) async fn next(&mut self) -> Result<Option<ModelEvent>, ProviderError> {
        loop {
            if let Some(event) = self.pending.pop_front() {
                return Ok(Some(event));
            }
            if let Some(message) = self.splitter.next_message().map_err(bad)? {
                self.pending.extend(self.decoder.message(&message)?);
                continue;
            }
            match self.response.chunk().await.map_err(ProviderError::from_transport)? {
                Some(piece) => self.splitter.push(&piece),
                None if self.decoder.finished && !self.splitter.is_amid_message() => return Ok(None),
                None => return Err(ProviderError::bad_answer("the provider's answer ended too early")),
            }
        }
    }
}

fn bad(problem: BadMessage) -> ProviderError {
    ProviderError::bad_answer(match problem {
        BadMessage::TooLong => "an event of the provider's answer is too long",
        BadMessage::Checksum | BadMessage::Form => "the provider's answer was damaged on its way",
    })
}
