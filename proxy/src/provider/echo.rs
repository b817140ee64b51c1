//! The embedded provider: answers with the last user message, unchanged. It needs no network and no key, so it is what a
//! server without a config has, and what tests and demonstrations use.
//!
//! For a request with a schema the answer is an instance of it (`structured/instance.rs` says which) that carries the last
//! paragraph of that message, which in the prompts of tools is the request itself; or the configured reply where that
//! satisfies the schema. Same request, same answer. Delay, size of chunks, failures
//! and usage are as configured; without configured usage it is a quarter of the characters.

use std::{
    collections::VecDeque,
    sync::atomic::{AtomicU64, Ordering::Relaxed},
    time::Duration,
};

use http::StatusCode;
use tokio::time::sleep;

use super::{
    Completion, Message, ModelEvent, ModelRequest, Piece, ProviderError, ProviderErrorKind, Reply, Role,
    Said, Usage,
    embeddings::{self, Embeddings, EmbeddingsRequest, Vectors},
};
use crate::structured::Schema;

/// Most numbers in the vectors of one request: an answer of a few MiB.
const MAX_NUMBERS: u32 = 256 * 1024;

/// Length of vectors whose length is not asked for.
const DIMENSIONS: u32 = 64;

#[derive(Debug)]
pub(super) struct Echo {
    config: vibectl_config::Echo,
    calls: AtomicU64,
}

/// The rest of a streamed echo.
#[derive(Debug)]
pub struct EchoStream {
    events: VecDeque<ModelEvent>,
    delay: Duration,
    /// The first chunk has waited already.
    started: bool,
}

impl Echo {
    pub(super) fn new(config: vibectl_config::Echo) -> Self {
        Self { config, calls: AtomicU64::new(0) }
    }

    pub(super) async fn complete(&self, request: &ModelRequest) -> Result<Completion, ProviderError> {
        pause(milliseconds(self.config.delay_ms)).await;
        self.fail_if_due()?;
        let text = self.answer(request)?;
        let usage = self.usage(request, &text);
        Ok(Completion { reply: Reply::Said(Said::words(text)), usage: Some(usage) })
    }

    pub(super) async fn stream(&self, request: &ModelRequest) -> Result<EchoStream, ProviderError> {
        pause(milliseconds(self.config.delay_ms)).await;
        self.fail_if_due()?;
        let text = self.answer(request)?;
        let usage = ModelEvent::Usage(self.usage(request, &text));
        let events = chunks(&text, self.config.chunk_size).map(say).chain([usage]).collect();
        Ok(EchoStream { events, delay: milliseconds(self.config.chunk_delay_ms), started: false })
    }

    /// Vectors that have no meaning but that the same text has the same one.
    pub(super) fn embed(&self, request: &EmbeddingsRequest) -> Result<Embeddings, ProviderError> {
        self.fail_if_due()?;
        let Some(texts) = &request.texts else {
            let message = "this model only takes text, not tokens";
            return Err(ProviderError::new(ProviderErrorKind::Rejected, message));
        };
        let dimensions = request.dimensions.unwrap_or(DIMENSIONS);
        if u32::try_from(texts.len()).unwrap_or(u32::MAX).saturating_mul(dimensions) > MAX_NUMBERS {
            let message = format!("this model makes at most {MAX_NUMBERS} numbers for a request");
            return Err(ProviderError::new(ProviderErrorKind::Rejected, message));
        }
        let vectors = texts.iter().map(|text| embeddings::vector_of(text, dimensions)).collect();
        let input_tokens = Some(Usage::estimate(request.input_length));
        Ok(Embeddings { vectors: Vectors::Numbers(vectors), input_tokens })
    }

    fn answer(&self, request: &ModelRequest) -> Result<String, ProviderError> {
        if let Some(beyond) = beyond_text(request) {
            let message = format!("this model only takes text and gives one answer: {beyond}");
            return Err(ProviderError::new(ProviderErrorKind::Rejected, message));
        }
        let asked = || {
            let last = request.messages.iter().rfind(|message| message.role == Role::User);
            last.map(|message| message.words().into_owned())
        };
        let text = self.config.reply.clone().or_else(asked).unwrap_or_default();
        match &request.schema {
            None => Ok(text),
            Some(schema) => structured(schema, text, self.config.reply.is_some()),
        }
    }

    fn usage(&self, request: &ModelRequest, answer: &str) -> Usage {
        if let Some(fixed) = self.config.usage {
            return Usage { input: fixed.input_tokens.into(), output: fixed.output_tokens.into(), cached: 0 };
        }
        let asked = request.messages.iter().map(|message| message.words().chars().count()).sum();
        Usage { input: Usage::estimate(asked), output: Usage::estimate(answer.chars().count()), cached: 0 }
    }

    fn fail_if_due(&self) -> Result<(), ProviderError> {
        let Some(error) = &self.config.error else { return Ok(()) };
        let call = self.calls.fetch_add(1, Relaxed) + 1;
        if call.is_multiple_of(error.every.max(1).into()) {
            let status = StatusCode::from_u16(error.code).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
            return Err(ProviderError::acted_out(status, error.message.clone()));
        }
        Ok(())
    }
}

impl EchoStream {
    pub(super) async fn next(&mut self) -> Option<ModelEvent> {
        let event = self.events.pop_front()?;
        if self.started && matches!(event, ModelEvent::Said(_)) {
            pause(self.delay).await;
        }
        self.started = true;
        Some(event)
    }
}

/// What echo cannot do, with the tools of which it does nothing either.
fn beyond_text(request: &ModelRequest) -> Option<&str> {
    request.beyond.as_deref().or_else(|| request.messages.iter().find_map(Message::beyond_text))
}

fn say(text: String) -> ModelEvent {
    ModelEvent::Said(Piece::Text(text))
}

/// A timer fires at the next millisecond at the earliest, also for no time at all.
async fn pause(delay: Duration) {
    if !delay.is_zero() {
        sleep(delay).await;
    }
}

fn structured(schema: &Schema, text: String, configured: bool) -> Result<String, ProviderError> {
    if configured && schema.check(&text).is_ok() {
        return Ok(text);
    }
    let last = text.rsplit("\n\n").map(str::trim).find(|paragraph| !paragraph.is_empty());
    schema.instance(last.unwrap_or_default()).map(|instance| instance.to_string()).ok_or_else(|| {
        ProviderError::new(ProviderErrorKind::Rejected, "the echo model finds no answer to this schema")
    })
}

/// The text in pieces of `size` characters.
fn chunks(text: &str, size: u32) -> impl Iterator<Item = String> {
    let size = usize::try_from(size).unwrap_or(usize::MAX).max(1);
    let mut rest = text;
    std::iter::from_fn(move || {
        let end = rest.char_indices().nth(size).map_or(rest.len(), |(end, _)| end);
        let (piece, after) = rest.split_at(end);
        rest = after;
        (!piece.is_empty()).then(|| piece.to_owned())
    })
}

fn milliseconds(count: u32) -> Duration {
    Duration::from_millis(count.into())
}

#[cfg(test)]
mod tests {
    use serde_json::json;
    use vibectl_config::{EchoError, EchoUsage};

    use super::*;

    fn ask(content: &str) -> ModelRequest {
        let said = [(Role::System, "be brief"), (Role::User, content), (Role::Assistant, "ok")];
        let messages = said.map(|(role, text)| Message::text(role, text)).into();
        ModelRequest { messages, ..ModelRequest::default() }
    }

    fn text_of(completion: &Completion) -> &str {
        match &completion.reply {
            Reply::Said(said) => &said.text,
            Reply::Raw(..) => panic!("echo has no bytes of its own"),
        }
    }

    #[tokio::test]
    async fn the_answer_is_the_last_user_message() {
        let completion =
            Echo::new(vibectl_config::Echo::default()).complete(&ask("hello")).await.expect("echo answers");

        assert_eq!(text_of(&completion), "hello");
        assert_eq!(completion.usage, Some(Usage { input: 3, output: 1, cached: 0 }));
    }

    #[tokio::test(start_paused = true)]
    async fn a_stream_comes_in_pieces_of_whole_characters_with_the_delays_of_the_config() {
        let config =
            vibectl_config::Echo { delay_ms: 100, chunk_size: 2, chunk_delay_ms: 10, ..Default::default() };
        let start = tokio::time::Instant::now();

        let mut stream = Echo::new(config).stream(&ask("äöü")).await.expect("echo answers");

        let mut events = Vec::new();
        while let Some(event) = stream.next().await {
            events.push(event);
        }
        let usage = Usage { input: 3, output: 1, cached: 0 };
        assert_eq!(events, [say("äö".into()), say("ü".into()), ModelEvent::Usage(usage)]);
        assert_eq!(start.elapsed(), Duration::from_millis(110));
    }

    #[tokio::test]
    async fn every_nth_call_fails_as_configured() {
        let error = Some(EchoError { code: 429, message: "slow down".to_owned(), every: 2 });
        let echo = Echo::new(vibectl_config::Echo { error, ..Default::default() });

        echo.complete(&ask("1")).await.expect("the first succeeds");
        let error = echo.complete(&ask("2")).await.expect_err("the second fails");
        echo.complete(&ask("3")).await.expect("the third succeeds");

        assert_eq!(error.to_string(), "slow down");
        assert_eq!(error.kind, ProviderErrorKind::RateLimited { retry_after: None });
    }

    #[tokio::test]
    async fn reply_and_usage_can_be_fixed() {
        let usage = Some(EchoUsage { input_tokens: 7, output_tokens: 8 });
        let config = vibectl_config::Echo { reply: Some("fixed".to_owned()), usage, ..Default::default() };

        let completion = Echo::new(config).complete(&ask("hello")).await.expect("echo answers");

        assert_eq!(text_of(&completion), "fixed");
        assert_eq!(completion.usage, Some(Usage { input: 7, output: 8, cached: 0 }));
    }

    #[tokio::test]
    async fn a_schema_gets_an_instance_or_the_configured_reply() {
        let request = || {
            let schema = json!({"type": "object", "properties": {"a": {"type": "string"}}});
            ModelRequest {
                schema: Some(Schema::from_value(schema).expect("a good schema")),
                ..ask("a context\n\nhello\n\n")
            }
        };
        let config = vibectl_config::Echo { reply: Some(r#"{"b": 1}"#.to_owned()), ..Default::default() };

        let made =
            Echo::new(vibectl_config::Echo::default()).complete(&request()).await.expect("echo answers");
        let configured = Echo::new(config).complete(&request()).await.expect("echo answers");

        assert_eq!(text_of(&made), r#"{"a":"hello"}"#);
        assert_eq!(text_of(&configured), r#"{"b": 1}"#);
    }
}
