//! The answer to a call, piece by piece.

use std::sync::Arc;

use futures::{Stream, stream};

use super::{
    Begun, Settlement, Standing, Summary,
    attempt::{self, Answered},
    check_length,
    deadline::{Late, Timer},
};
use crate::{
    error::CallError,
    provider::{ModelEvent, ModelRequest, ModelStream, Piece, ProviderError, Usage},
    router::Target,
    structured::Schema,
};

use bytes::Bytes;

/// A piece of an answer.
#[derive(Debug)]
pub enum Event {
    /// Some of what the model says.
    Said(Piece),
    /// A piece of the provider's own response to the caller's own request.
    Raw(Bytes),
    /// The answer is complete; the last event.
    Done(Summary),
}

/// The rest of an answer. Dropping it ends the upstream call and books what it took.
#[derive(Debug)]
pub struct CallStream {
    model: Arc<str>,
    /// In a box: a stream of events moves this with each of them.
    open: Option<Box<Open>>,
}

/// A stream that has begun well.
#[derive(Debug)]
pub(super) struct Opened {
    source: ModelStream,
    first: Option<ModelEvent>,
    usage: Option<Usage>,
}

#[derive(Debug)]
struct Open {
    source: ModelStream,
    first: Option<ModelEvent>,
    settlement: Settlement,
    standing: Standing,
    timer: Timer,
    target: Arc<Target>,
    promised: Option<Promised>,
}

/// A schema that the answer has to satisfy, and the answer so far.
#[derive(Debug)]
struct Promised {
    schema: Schema,
    text: String,
}

/// Asks the target for a stream and waits for the first piece of its answer.
pub(super) async fn open(target: &Target, prompt: &ModelRequest) -> Result<Opened, ProviderError> {
    let mut source = target.provider.stream(&target.model, prompt).await?;
    let mut usage = None;
    loop {
        match source.next().await.transpose()? {
            Some(ModelEvent::Usage(reported)) => usage = Some(reported),
            first => return Ok(Opened { source, first, usage }),
        }
    }
}

impl CallStream {
    pub(super) fn new(
        answered: Answered<Opened>,
        schema: Option<Schema>,
        begun: Begun,
        standing: Standing,
    ) -> Self {
        let Answered { target, answer: Opened { source, first, usage }, deadline } = answered;
        let Begun { route, mut settlement, .. } = begun;
        settlement.reported(usage);
        let promised = schema.map(|schema| Promised { schema, text: String::new() });
        let timer = deadline.timer();
        let open = Open { source, first, settlement, standing, timer, target, promised };
        Self { model: route.model, open: Some(Box::new(open)) }
    }

    /// The name of the model that answers, as callers see it.
    pub fn model(&self) -> &Arc<str> {
        &self.model
    }

    /// The next piece; `None` after [`Event::Done`] or an error.
    pub async fn next(&mut self) -> Option<Result<Event, CallError>> {
        let next = self.open.as_mut()?.next().await;
        match next {
            Ok(Some(event)) => Some(Ok(event)),
            Ok(None) => self.open.take().map(|open| open.finish(&self.model).map(Event::Done)),
            Err(error) => {
                // The provider's connection and the permit go now, however long the caller keeps this.
                self.open = None;
                Some(Err(error))
            }
        }
    }

    /// As a stream for the fronts.
    pub fn into_stream(self) -> impl Stream<Item = Result<Event, CallError>> + Send + 'static {
        stream::unfold(self, async |mut rest| rest.next().await.map(|event| (event, rest)))
    }
}

impl Open {
    async fn next(&mut self) -> Result<Option<Event>, CallError> {
        loop {
            let event = match self.first.take() {
                Some(first) => Some(first),
                None => self.read().await?,
            };
            return Ok(match event {
                Some(ModelEvent::Usage(usage)) => {
                    self.settlement.reported(Some(usage));
                    continue;
                }
                Some(ModelEvent::Finish(finish)) => {
                    self.settlement.finished(finish);
                    continue;
                }
                Some(ModelEvent::Said(piece)) => {
                    self.settlement.said(piece.chars());
                    if let (Some(promised), Piece::Text(text)) = (&mut self.promised, &piece) {
                        promised.text.push_str(text);
                        check_length(promised.text.len())?;
                    }
                    Some(Event::Said(piece))
                }
                Some(ModelEvent::Raw(bytes, chars)) => {
                    self.settlement.said(chars);
                    // What the caller asked its provider for is between the two.
                    self.promised = None;
                    Some(Event::Raw(bytes))
                }
                None => None,
            });
        }
    }

    async fn read(&mut self) -> Result<Option<ModelEvent>, CallError> {
        // A provider that always has something to say would keep the other branches from ever being looked at.
        if self.standing.is_lost() {
            return Err(CallError::Revoked);
        }
        let read = if let Some(late) = self.timer.over() {
            Err(late)
        } else {
            tokio::select! {
                biased;
                read = self.source.next() => Ok(read),
                late = &mut self.timer => Err(late),
                () = self.standing.lost() => return Err(CallError::Revoked),
            }
        };
        let event = match read {
            Ok(event) => event,
            Err(Late::Provider) => Some(Err(ProviderError::took_too_long())),
            Err(Late::Call) => {
                self.settlement.late();
                return Err(CallError::DeadlineExceeded);
            }
        };
        event.transpose().map_err(|error| {
            self.settlement.failed(error.kind.label());
            attempt::log(&self.target, &error);
            attempt::failed(&self.target, error)
        })
    }

    fn finish(mut self, model: &Arc<str>) -> Result<Summary, CallError> {
        self.settlement.answered();
        if let Some(Promised { schema, text }) = &self.promised {
            schema.check(text)?;
        }
        Ok(self.settlement.complete(Arc::clone(model)))
    }
}
