//! A streamed response, event by event.

use std::collections::VecDeque;

use super::{
    super::{ModelEvent, ProviderError, client::Response, events::EventSource},
    decode::Decoder,
};

/// The rest of a streamed response. Dropping it ends the upstream call.
#[derive(Debug)]
pub struct GeminiStream {
    source: EventSource,
    decoder: Decoder,
    /// Events that came together with the one given last.
    pending: VecDeque<ModelEvent>,
}

impl GeminiStream {
    pub(in crate::provider) fn new(response: Response) -> Result<Self, ProviderError> {
        let source = EventSource::of(response)?;
        Ok(Self { source, decoder: Decoder::default(), pending: VecDeque::new() })
    }

    /// No event says that it is the last one: the end of the response does, after an event with a reason for it.
    pub(crate) async fn next(&mut self) -> Result<Option<ModelEvent>, ProviderError> {
        loop {
            if let Some(event) = self.pending.pop_front() {
                return Ok(Some(event));
            }
            match self.source.next().await? {
                Some(frame) => {
                    if let Some(data) = frame.data() {
                        self.pending.extend(self.decoder.event(&data)?);
                    }
                }
                None if self.decoder.finished => return Ok(None),
                None => return Err(ProviderError::bad_answer("the provider's answer ended too early")),
            }
        }
    }
}
