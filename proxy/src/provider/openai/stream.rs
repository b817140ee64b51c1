//! A streamed response, event by event. Nothing is read ahead of the one who asks: a slow caller slows the provider down.

use std::time::Duration;

use reqwest::Response;
use tokio::time::timeout;

use super::{
    super::{
        ModelEvent, ProviderError,
        sse::{Frame, Splitter},
    },
    body::ChatBody,
    decode,
};

/// How long to wait for the end of the response after its last event, so that the connection can be used again.
const END_GRACE: Duration = Duration::from_millis(20);

const LAST_EVENT: &[u8] = b"[DONE]";

/// The rest of a streamed response. Dropping it ends the upstream call.
#[derive(Debug)]
pub struct OpenAiStream {
    response: Option<Response>,
    splitter: Splitter,
    /// An event that came together with the one given last.
    pending: Option<ModelEvent>,
    form: Form,
    /// The model has said that its answer is complete.
    finished: bool,
}

/// What the events are for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Form {
    Text,
    /// The caller's own request; the event with the usage is ours alone when the caller did not ask for it.
    Raw {
        wants_usage: bool,
    },
}

impl OpenAiStream {
    pub(super) fn new(response: Response, body: Option<&ChatBody>) -> Self {
        let form = body.map_or(Form::Text, |body| Form::Raw { wants_usage: body.wants_usage() });
        Self { response: Some(response), splitter: Splitter::default(), pending: None, form, finished: false }
    }

    pub(crate) async fn next(&mut self) -> Result<Option<ModelEvent>, ProviderError> {
        if let Some(event) = self.pending.take() {
            return Ok(Some(event));
        }
        loop {
            match self.splitter.next_frame() {
                Ok(Some(frame)) => {
                    if let Some(event) = self.event(frame).await? {
                        return Ok(Some(event));
                    }
                }
                Ok(None) => {
                    if !self.read().await? {
                        return self.end();
                    }
                }
                Err(_) => {
                    return Err(ProviderError::bad_answer("an event of the provider's answer is too long"));
                }
            }
        }
    }

    /// Reads some more; false at the end.
    async fn read(&mut self) -> Result<bool, ProviderError> {
        let Some(response) = &mut self.response else { return Ok(false) };
        if let Some(piece) = response.chunk().await.map_err(ProviderError::from_transport)? {
            self.splitter.push(&piece);
        } else {
            self.response = None;
            self.splitter.finish();
        }
        Ok(true)
    }

    async fn event(&mut self, frame: Frame) -> Result<Option<ModelEvent>, ProviderError> {
        let Some(data) = frame.data() else { return Ok(None) };
        if data.as_ref() == LAST_EVENT {
            self.finished = true;
            self.drain().await;
            return Ok(self.raw(frame.clone(), 0));
        }
        let chunk = decode::chunk(&data)?;
        drop(data);
        self.finished |= chunk.finished;
        let usage = chunk.usage.map(ModelEvent::Usage);
        let said = match self.form {
            Form::Raw { wants_usage: false } if chunk.only_usage => None,
            Form::Raw { .. } => self.raw(frame, chunk.text.chars().count()),
            Form::Text => (!chunk.text.is_empty()).then_some(ModelEvent::Text(chunk.text)),
        };
        Ok(match said {
            Some(said) => {
                self.pending = usage;
                Some(said)
            }
            None => usage,
        })
    }

    fn raw(&self, frame: Frame, chars: usize) -> Option<ModelEvent> {
        matches!(self.form, Form::Raw { .. }).then(|| ModelEvent::Raw(frame.into_raw(), chars))
    }

    /// Lets the response come to its end, which follows the last event at once unless the provider is an odd one.
    async fn drain(&mut self) {
        if let Some(mut response) = self.response.take() {
            let _ = timeout(END_GRACE, async { while let Ok(Some(_)) = response.chunk().await {} }).await;
        }
    }

    fn end(&mut self) -> Result<Option<ModelEvent>, ProviderError> {
        if self.finished {
            Ok(None)
        } else {
            Err(ProviderError::bad_answer("the provider's answer ended too early"))
        }
    }
}
