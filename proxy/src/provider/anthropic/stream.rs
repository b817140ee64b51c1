//! A streamed response, event by event.

use std::collections::VecDeque;

use super::{
    super::{ModelEvent, ModelRequest, ProviderError, client::Response, events::EventSource, sse::Frame},
    decode::Decoder,
};

/// What the events are for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Form {
    /// To be read; the answer may be the arguments of a tool.
    Decoded { structured: bool },
    /// The caller's own request.
    Raw,
}

impl Form {
    /// For a request that is not the caller's own.
    pub(super) fn of(request: &ModelRequest) -> Self {
        Self::Decoded { structured: request.schema.is_some() }
    }
}

/// The rest of a streamed response. Dropping it ends the upstream call.
#[derive(Debug)]
pub struct AnthropicStream {
    source: EventSource,
    decoder: Decoder,
    form: Form,
    /// Events that came together with the one given last.
    pending: VecDeque<ModelEvent>,
}

impl AnthropicStream {
    pub(super) fn new(response: Response, form: Form) -> Result<Self, ProviderError> {
        let decoder = Decoder::new(form == Form::Decoded { structured: true });
        Ok(Self { source: EventSource::of(response)?, decoder, form, pending: VecDeque::new() })
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
            self.take(frame)?;
        }
    }

    fn take(&mut self, frame: Frame) -> Result<(), ProviderError> {
        let Some(data) = frame.data() else { return Ok(()) };
        let events = self.decoder.event(&data)?;
        drop(data);
        if self.form == Form::Raw {
            let said =
                |event: &ModelEvent| if let ModelEvent::Said(piece) = event { piece.chars() } else { 0 };
            let chars = events.iter().map(said).sum();
            self.pending.push_back(ModelEvent::Raw(frame.into_raw(), chars));
            self.pending.extend(events.into_iter().filter(|event| matches!(event, ModelEvent::Usage(_))));
        } else {
            self.pending.extend(events);
        }
        Ok(())
    }
}
