//! Responses of the dialect -> what we need of them. Unknown blocks, events and fields are skipped.

use http::StatusCode;
use serde::Deserialize;
use serde_json::value::RawValue;

use super::{
    super::{Finish, ModelEvent, Piece, ProviderError, Said, ToolCall, Usage, answer_tool},
    event_stream::Message,
};

/// A whole response.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Answer {
    pub(super) said: Said,
    pub(super) usage: Option<Usage>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Wire {
    output: Output,
    #[serde(default)]
    stop_reason: Option<String>,
    #[serde(default)]
    usage: Option<WireUsage>,
}

#[derive(Deserialize)]
struct Output {
    message: WireMessage,
}

#[derive(Deserialize)]
struct WireMessage {
    content: Vec<Block>,
}

/// One of its fields, or none that we know.
#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Block {
    #[serde(default)]
    text: Option<String>,
    #[serde(default)]
    tool_use: Option<ToolUse>,
}

#[derive(Deserialize)]
struct ToolUse {
    #[serde(rename = "toolUseId")]
    id: String,
    name: String,
    #[serde(default)]
    input: Option<Box<RawValue>>,
}

/// Absent is none.
#[derive(Deserialize)]
struct WireUsage {
    #[serde(default, rename = "inputTokens")]
    input: Option<u64>,
    #[serde(default, rename = "outputTokens")]
    output: Option<u64>,
    #[serde(default, rename = "cacheReadInputTokens")]
    cache_read: Option<u64>,
    #[serde(default, rename = "cacheWriteInputTokens")]
    cache_write: Option<u64>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct BlockStart {
    content_block_index: u32,
    #[serde(default)]
    start: Block,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct BlockDelta {
    content_block_index: u32,
    delta: Delta,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Delta {
    #[serde(default)]
    text: Option<String>,
    #[serde(default)]
    tool_use: Option<InputDelta>,
}

#[derive(Deserialize)]
struct InputDelta {
    #[serde(default)]
    input: String,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Stop {
    #[serde(default)]
    stop_reason: Option<String>,
}

#[derive(Deserialize)]
struct Metadata {
    #[serde(default)]
    usage: Option<WireUsage>,
}

/// Reads the body of a response. `structured`: the answer is the arguments of a tool.
pub(super) fn answer(body: &[u8], structured: bool) -> Result<Answer, ProviderError> {
    let Wire { output, stop_reason, usage } = read(body)?;
    let mut said = Said::default();
    for Block { text, tool_use } in output.message.content {
        said.text.extend(text.filter(|_| !structured));
        let Some(ToolUse { id, name, input }) = tool_use else { continue };
        let arguments = input.map_or_else(|| "{}".to_owned(), |input| input.get().to_owned());
        if structured && name == answer_tool::NAME {
            said.text = arguments;
        } else {
            said.calls.push(ToolCall { id, name, arguments });
        }
    }
    said.finish = finish(stop_reason.as_deref(), structured)?;
    Ok(Answer { said, usage: usage.map(Usage::from) })
}

/// Reads a stream, message by message.
#[derive(Debug)]
pub(super) struct Decoder {
    structured: bool,
    /// The block of each tool call, in their order.
    calls: Vec<u32>,
    /// The model has ended its answer. The usage comes after that.
    pub(super) finished: bool,
}

impl Decoder {
    pub(super) fn new(structured: bool) -> Self {
        Self { structured, calls: Vec::new(), finished: false }
    }

    /// What a message tells.
    pub(super) fn message(&mut self, message: &Message) -> Result<Vec<ModelEvent>, ProviderError> {
        match message.header(":message-type") {
            Some("event") => {}
            Some("exception") => return Err(failure(message.header(":exception-type"))),
            _ => return Err(failure(message.header(":error-code"))),
        }
        let payload = message.payload.as_ref();
        Ok(match message.header(":event-type") {
            Some("contentBlockStart") => self.begun(read(payload)?),
            Some("contentBlockDelta") => self.more(read(payload)?).into_iter().collect(),
            Some("messageStop") => {
                let Stop { stop_reason } = read(payload)?;
                self.finished = true;
                vec![ModelEvent::Finish(finish(stop_reason.as_deref(), self.structured)?)]
            }
            Some("metadata") => {
                let Metadata { usage } = read(payload)?;
                usage.map(|usage| ModelEvent::Usage(usage.into())).into_iter().collect()
            }
            _ => Vec::new(),
        })
    }

    fn begun(&mut self, start: BlockStart) -> Vec<ModelEvent> {
        let BlockStart { content_block_index, start: Block { text: _, tool_use } } = start;
        let Some(ToolUse { id, name, .. }) = tool_use.filter(|_| !self.structured) else {
            return Vec::new();
        };
        self.calls.push(content_block_index);
        let index = self.call(content_block_index).unwrap_or_default();
        vec![ModelEvent::Said(Piece::Call { index, id, name })]
    }

    fn more(&self, delta: BlockDelta) -> Option<ModelEvent> {
        let BlockDelta { content_block_index, delta: Delta { text, tool_use } } = delta;
        let json = tool_use.map(|InputDelta { input }| input);
        let piece = match (text, json) {
            (Some(text), _) if !self.structured => Piece::Text(text),
            (_, Some(json)) if json.is_empty() => return None,
            (_, Some(json)) if self.structured => Piece::Text(json),
            (_, Some(json)) => Piece::Arguments { index: self.call(content_block_index)?, json },
            _ => return None,
        };
        Some(ModelEvent::Said(piece))
    }

    /// Which of the calls this block is.
    fn call(&self, block: u32) -> Option<u32> {
        self.calls.iter().position(|known| *known == block).and_then(|place| u32::try_from(place).ok())
    }
}

impl From<WireUsage> for Usage {
    /// What was read from or written to the provider's cache is not part of its `inputTokens`.
    fn from(wire: WireUsage) -> Self {
        let WireUsage { input, output, cache_read, cache_write } = wire;
        let cached = cache_read.unwrap_or(0);
        let of_cache = cached.saturating_add(cache_write.unwrap_or(0));
        Self { input: input.unwrap_or(0).saturating_add(of_cache), output: output.unwrap_or(0), cached }
    }
}

/// What a reason says. One that we do not know is an end all the same.
fn finish(reason: Option<&str>, structured: bool) -> Result<Finish, ProviderError> {
    Ok(match reason {
        Some("max_tokens" | "model_context_window_exceeded") => Finish::Length,
        Some("tool_use") if !structured => Finish::ToolCalls,
        Some("content_filtered" | "guardrail_intervened") => Finish::ContentFilter,
        Some("malformed_tool_use" | "malformed_model_output") => {
            return Err(ProviderError::bad_answer("the model gave up on an answer that is not valid"));
        }
        _ => Finish::Stop,
    })
}

/// A failure in the middle of a stream that began well, by the status that it would have had before.
fn failure(name: Option<&str>) -> ProviderError {
    let status = match name {
        Some("throttlingException") => StatusCode::TOO_MANY_REQUESTS,
        Some("validationException") => StatusCode::BAD_REQUEST,
        Some("modelTimeoutException") => StatusCode::REQUEST_TIMEOUT,
        Some("serviceUnavailableException") => StatusCode::SERVICE_UNAVAILABLE,
        _ => StatusCode::INTERNAL_SERVER_ERROR,
    };
    ProviderError::named(status, name.unwrap_or_default())
}

fn read<'d, T: Deserialize<'d>>(json: &'d [u8]) -> Result<T, ProviderError> {
    serde_json::from_slice(json)
        .map_err(|_| ProviderError::bad_answer("the provider's answer cannot be understood"))
}

#[cfg(test)]
mod tests {
    use super::{
        super::event_stream::{Splitter, tests::message},
        *,
    };
    use crate::provider::ProviderErrorKind;

    /// The events of a stream, one on each line with its type, as the messages that carry them.
    fn stream(lines: &str) -> Vec<u8> {
        let message = |line: &str| {
            let (name, payload) = line.split_once(' ').expect("a type and a payload");
            let headers =
                [(":event-type", name), (":content-type", "application/json"), (":message-type", "event")];
            message(&headers, payload.as_bytes())
        };
        lines.lines().flat_map(message).collect()
    }

    /// What a stream tells when it comes in these pieces.
    fn events<'a>(pieces: impl IntoIterator<Item = &'a [u8]>, structured: bool) -> Vec<ModelEvent> {
        let (mut splitter, mut decoder) = (Splitter::default(), Decoder::new(structured));
        let mut events = Vec::new();
        for piece in pieces {
            splitter.push(piece);
            while let Some(message) = splitter.next_message().expect("good messages") {
                events.extend(decoder.message(&message).expect("a good event"));
            }
        }
        assert!(decoder.finished);
        events
    }

    fn one(headers: &[(&str, &str)], payload: &[u8]) -> Result<Vec<ModelEvent>, ProviderError> {
        let mut splitter = Splitter::default();
        splitter.push(&message(headers, payload));
        let message = splitter.next_message().expect("a good message").expect("a whole one");
        Decoder::new(false).message(&message)
    }

    #[test]
    fn a_response_with_words_and_calls_is_read() {
        let body = include_bytes!("../../../tests/golden/bedrock/tools.response.json");

        let call = ToolCall { id: "tooluse_1".into(), name: "look".into(), arguments: r#"{"at": 1}"#.into() };
        let said = Said { text: "Let me look.".into(), calls: vec![call], finish: Finish::ToolCalls };
        let usage = Some(Usage { input: 472 + 10 + 5, output: 89, cached: 10 });
        assert_eq!(answer(body, false), Ok(Answer { said, usage }));
    }

    #[test]
    fn the_arguments_of_the_answer_tool_are_the_text() {
        let body = br#"{"output": {"message": {"role": "assistant", "content": [{"text": "Sure."},
            {"toolUse": {"toolUseId": "t", "name": "answer", "input": {"name":"x"}}}]}}, "stopReason": "tool_use"}"#;

        let answer = answer(body, true).expect("an answer");

        assert_eq!(answer.said, Said::words(r#"{"name":"x"}"#));
    }

    #[test]
    fn every_split_point_of_a_stream_gives_the_same_events() {
        let stream = stream(include_str!("../../../tests/golden/bedrock/tools.response.events"));
        let said = |piece| ModelEvent::Said(piece);
        let call = |index, id: &str| said(Piece::Call { index, id: id.into(), name: "look".into() });
        let arguments = |index, json: &str| said(Piece::Arguments { index, json: json.into() });
        let expected = [
            said(Piece::Text("Let me ".into())),
            said(Piece::Text("löok.".into())),
            call(0, "tooluse_1"),
            arguments(0, "{\"at\""),
            arguments(0, ": 1}"),
            call(1, "tooluse_2"),
            arguments(1, "{}"),
            ModelEvent::Finish(Finish::ToolCalls),
            ModelEvent::Usage(Usage { input: 487, output: 89, cached: 10 }),
        ];

        for cut in 0..=stream.len() {
            assert_eq!(events([&stream[..cut], &stream[cut..]], false), expected, "split at {cut}");
        }
        assert_eq!(events(stream.chunks(1), false), expected);
    }

    #[test]
    fn a_structured_stream_is_the_text_of_the_answer() {
        let stream = stream(include_str!("../../../tests/golden/bedrock/schema.response.events"));

        let events = events([stream.as_slice()], true);

        let said: String = events
            .iter()
            .filter_map(|event| match event {
                ModelEvent::Said(Piece::Text(text)) => Some(text.as_str()),
                _ => None,
            })
            .collect();
        assert_eq!(said, r#"{"name": "x"}"#);
        assert!(events.contains(&ModelEvent::Finish(Finish::Stop)), "{events:?}");
    }

    #[test]
    fn an_exception_in_the_middle_is_told_by_its_type() {
        let kind = |name: &str| {
            let headers = [(":exception-type", name), (":message-type", "exception")];
            let error = one(&headers, br#"{"message": "secret"}"#).expect_err("an error");
            assert!(!format!("{error:?}").contains("secret"));
            error.kind
        };

        assert_eq!(kind("throttlingException"), ProviderErrorKind::RateLimited { retry_after: None });
        assert_eq!(kind("validationException"), ProviderErrorKind::Rejected);
        assert_eq!(kind("modelTimeoutException"), ProviderErrorKind::Timeout);
        assert_eq!(kind("modelStreamErrorException"), ProviderErrorKind::Unavailable);
        let unmodelled = [(":error-code", "InternalError"), (":message-type", "error")];
        assert_eq!(one(&unmodelled, b"").expect_err("an error").kind, ProviderErrorKind::Unavailable);
    }

    #[test]
    fn every_reason_has_its_meaning() {
        let meaning = |reason| finish(Some(reason), false).map_err(|error| error.kind);

        assert_eq!(meaning("end_turn"), Ok(Finish::Stop));
        assert_eq!(meaning("stop_sequence"), Ok(Finish::Stop));
        assert_eq!(meaning("max_tokens"), Ok(Finish::Length));
        assert_eq!(meaning("guardrail_intervened"), Ok(Finish::ContentFilter));
        assert_eq!(meaning("content_filtered"), Ok(Finish::ContentFilter));
        assert_eq!(meaning("malformed_tool_use"), Err(ProviderErrorKind::BadAnswer));
        assert_eq!(finish(Some("tool_use"), true), Ok(Finish::Stop));
    }

    #[test]
    fn what_is_no_answer_is_told_and_unknown_events_are_skipped() {
        for body in ["<html>", "[]", "{}", r#"{"output": {}}"#] {
            let error = answer(body.as_bytes(), false).expect_err(body);
            assert_eq!(error.kind, ProviderErrorKind::BadAnswer, "{body}");
        }
        let event = |name| [(":event-type", name), (":message-type", "event")];
        assert_eq!(one(&event("ofTheFuture"), b"?"), Ok(vec![]));
        assert_eq!(
            one(&event("contentBlockDelta"), b"?").expect_err("no JSON").kind,
            ProviderErrorKind::BadAnswer
        );
    }
}
