//! A streamed response, event by event.

use std::collections::VecDeque;

use reqwest::Response;

use super::{
    super::{ModelEvent, ProviderError, events::EventSource},
    decode::Decoder,
};

/// The rest of a streamed response. Dropping it ends the upstream call.
#[derive(Debug)]
pub struct AnthropicStream {
    source: EventSource,
    decoder: Decoder,
    /// Events that came together with the one given last.
    pending: VecDeque<ModelEvent>,
}

impl AnthropicStream {
    pub(super) fn new(response: Response, structured: bool) -> Result<Self, ProviderError> {
        let (source, decoder) = (EventSource::of(response)?, Decoder::new(structured));
        Ok(Self { source, decoder, pending: VecDeque::new() })
    }

    pub(crate) async fn next(&mut self) -> Result<Option<ModelEvent>, ProviderError> {
        loop {
            if let Some(event) = self.pending.pop_front() {
                return Ok(Some(event));
            }
            if self.decoder.ended {
                self.source.drain().await;
                return Ok(None);
            }
            let Some(frame) = self.source.next().await? else {
                return Err(ProviderError::bad_answer("the provider's answer ended too early"));
            };
            if let Some(data) = frame.data() {
                self.pending.extend(self.decoder.event(&data)?);
            }
        }
    }
}
