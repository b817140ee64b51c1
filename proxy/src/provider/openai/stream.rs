//! A streamed response, event by event: handed on as it is, or decoded.

use std::collections::VecDeque;

use super::{
    super::{ModelEvent, Piece, ProviderError, client::Response, events::EventSource, sse::Frame},
    body::ChatBody,
    decode::{self, Chunk},
};

const LAST_EVENT: &[u8] = b"[DONE]";

/// The rest of a streamed response. Dropping it ends the upstream call.
#[derive(Debug)]
pub struct OpenAiStream {
    source: EventSource,
    /// Events that came together with the one given last.
    pending: VecDeque<ModelEvent>,
    form: Form,
    /// The model has said that its answer is complete.
    finished: bool,
}

/// What the events are for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Form {
    Decoded,
    /// The caller's own request; the event with the usage is ours alone when the caller did not ask for it.
    Raw {
        wants_usage: bool,
    },
}

impl OpenAiStream {
    pub(super) fn new(response: Response, body: Option<&ChatBody>) -> Result<Self, ProviderError> {
        let form = body.map_or(Form::Decoded, |body| Form::Raw { wants_usage: body.wants_usage() });
        Ok(Self { source: EventSource::of(response)?, pending: VecDeque::new(), form, finished: false })
    }

    pub(crate) async fn next(&mut self) -> Result<Option<ModelEvent>, ProviderError> {
        loop {
            if let Some(event) = self.pending.pop_front() {
                return Ok(Some(event));
            }
            match self.source.next().await? {
                Some(frame) => self.take(frame).await?,
                None if self.finished => return Ok(None),
                None => return Err(ProviderError::bad_answer("the provider's answer ended too early")),
            }
        }
    }

    async fn take(&mut self, frame: Frame) -> Result<(), ProviderError> {
        let Some(data) = frame.data() else { return Ok(()) };
        if data.as_ref() == LAST_EVENT {
            drop(data);
            self.finished = true;
            self.source.drain().await;
            if self.form != Form::Decoded {
                self.pending.push_back(ModelEvent::Raw(frame.into_raw(), 0));
            }
            return Ok(());
        }
        let chunk = decode::chunk(&data)?;
        drop(data);
        self.finished |= chunk.finish.is_some();
        let usage = chunk.usage.map(ModelEvent::Usage);
        match self.form {
            Form::Raw { wants_usage: false } if chunk.only_usage => {}
            Form::Raw { .. } => {
                let chars = chunk.pieces.iter().map(Piece::chars).sum();
                self.pending.push_back(ModelEvent::Raw(frame.into_raw(), chars));
            }
            Form::Decoded => {
                let Chunk { pieces, finish, .. } = chunk;
                self.pending.extend(pieces.into_iter().map(ModelEvent::Said));
                self.pending.extend(finish.map(ModelEvent::Finish));
            }
        }
        self.pending.extend(usage);
        Ok(())
    }
}
