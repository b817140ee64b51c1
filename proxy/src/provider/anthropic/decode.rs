//! Responses of the dialect -> what we need of them. Unknown blocks, events and fields are skipped.

use serde::Deserialize;
use serde_json::Value;

use super::super::{
    Finish, ModelEvent, Piece, ProviderError, Said, ToolCall, Usage, answer_tool, error::WireError,
};

/// A whole response.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Answer {
    pub(super) said: Said,
    pub(super) usage: Usage,
}

#[derive(Deserialize)]
struct Wire {
    content: Vec<Block>,
    #[serde(default)]
    stop_reason: Option<String>,
    #[serde(default)]
    usage: WireUsage,
}

#[derive(Deserialize)]
#[serde(tag = "type", rename_all = "snake_case")]
enum Block {
    Text {
        #[serde(default)]
        text: String,
    },
    ToolUse {
        id: String,
        name: String,
        #[serde(default)]
        input: Value,
    },
    #[serde(other)]
    Other,
}

#[derive(Default, Deserialize)]
struct WireUsage {
    #[serde(default, rename = "input_tokens")]
    input: Option<u64>,
    #[serde(default, rename = "output_tokens")]
    output: Option<u64>,
    #[serde(default, rename = "cache_creation_input_tokens")]
    cache_creation: Option<u64>,
    #[serde(default, rename = "cache_read_input_tokens")]
    cache_read: Option<u64>,
}

#[derive(Deserialize)]
#[serde(tag = "type", rename_all = "snake_case")]
enum Event {
    MessageStart {
        message: Started,
    },
    ContentBlockStart {
        index: u32,
        content_block: Block,
    },
    ContentBlockDelta {
        index: u32,
        delta: Delta,
    },
    MessageDelta {
        delta: Ended,
        #[serde(default)]
        usage: WireUsage,
    },
    MessageStop,
    Error {
        #[serde(default)]
        error: WireError,
    },
    #[serde(other)]
    Other,
}

#[derive(Deserialize)]
struct Started {
    #[serde(default)]
    usage: WireUsage,
}

#[derive(Deserialize)]
#[serde(tag = "type", rename_all = "snake_case")]
enum Delta {
    #[serde(rename = "text_delta")]
    Text { text: String },
    #[serde(rename = "input_json_delta")]
    Json { partial_json: String },
    #[serde(other)]
    Other,
}

#[derive(Deserialize)]
struct Ended {
    #[serde(default)]
    stop_reason: Option<String>,
}

/// Reads the body of a response. `structured`: the answer is the arguments of a tool.
pub(super) fn answer(body: &[u8], structured: bool) -> Result<Answer, ProviderError> {
    let Wire { content, stop_reason, usage } = read(body)?;
    let mut said = Said::default();
    for block in content {
        match block {
            Block::Text { text } if !structured => said.text.push_str(&text),
            Block::ToolUse { name, input, .. } if structured && name == answer_tool::NAME => {
                said.text = input.to_string();
            }
            Block::ToolUse { id, name, input } => {
                said.calls.push(ToolCall { id, name, arguments: input.to_string() });
            }
            Block::Text { .. } | Block::Other => {}
        }
    }
    said.finish = finish(stop_reason.as_deref(), structured);
    let mut total = Usage::default();
    count(&mut total, &usage);
    Ok(Answer { said, usage: total })
}

/// Reads the body of a response to a request to count tokens.
pub(super) fn token_count(body: &[u8]) -> Result<u64, ProviderError> {
    #[derive(Deserialize)]
    struct Count {
        input_tokens: u64,
    }
    read(body).map(|Count { input_tokens }| input_tokens)
}

/// Reads a stream, event by event.
#[derive(Debug)]
pub(super) struct Decoder {
    structured: bool,
    usage: Usage,
    /// The block of each tool call, in their order.
    calls: Vec<u32>,
    /// The answer is complete.
    pub(super) ended: bool,
}

impl Decoder {
    pub(super) fn new(structured: bool) -> Self {
        Self { structured, usage: Usage::default(), calls: Vec::new(), ended: false }
    }

    /// What the data of an event tells.
    pub(super) fn event(&mut self, data: &[u8]) -> Result<Vec<ModelEvent>, ProviderError> {
        Ok(match read(data)? {
            Event::MessageStart { message } => self.counted(&message.usage),
            Event::ContentBlockStart { index, content_block } => self.begun(index, content_block),
            Event::ContentBlockDelta { index, delta } => self.more(index, delta).into_iter().collect(),
            Event::MessageDelta { delta, usage } => {
                let ends = delta.stop_reason.is_some();
                let finish = finish(delta.stop_reason.as_deref(), self.structured);
                let finish = ends.then_some(ModelEvent::Finish(finish));
                finish.into_iter().chain(self.counted(&usage)).collect()
            }
            Event::MessageStop => {
                self.ended = true;
                Vec::new()
            }
            Event::Error { error } => return Err(ProviderError::from_stream(&error)),
            Event::Other => Vec::new(),
        })
    }

    fn begun(&mut self, index: u32, block: Block) -> Vec<ModelEvent> {
        match block {
            Block::Text { text } if !self.structured && !text.is_empty() => {
                vec![ModelEvent::Said(Piece::Text(text))]
            }
            Block::ToolUse { id, name, .. } if !self.structured => {
                self.calls.push(index);
                let index = self.call(index).unwrap_or_default();
                vec![ModelEvent::Said(Piece::Call { index, id, name })]
            }
            Block::Text { .. } | Block::ToolUse { .. } | Block::Other => Vec::new(),
        }
    }

    fn more(&self, index: u32, delta: Delta) -> Option<ModelEvent> {
        let piece = match delta {
            Delta::Text { text } if !self.structured => Piece::Text(text),
            Delta::Json { partial_json } if partial_json.is_empty() => return None,
            Delta::Json { partial_json } if self.structured => Piece::Text(partial_json),
            Delta::Json { partial_json } => Piece::Arguments { index: self.call(index)?, json: partial_json },
            Delta::Text { .. } | Delta::Other => return None,
        };
        Some(ModelEvent::Said(piece))
    }

    /// Which of the calls this block is.
    fn call(&self, block: u32) -> Option<u32> {
        self.calls.iter().position(|known| *known == block).and_then(|place| u32::try_from(place).ok())
    }

    fn counted(&mut self, usage: &WireUsage) -> Vec<ModelEvent> {
        count(&mut self.usage, usage);
        vec![ModelEvent::Usage(self.usage)]
    }
}

/// Counts are totals, of which later events repeat what has changed. What was read from or written to the provider's cache is
/// not part of its `input_tokens`.
fn count(total: &mut Usage, wire: &WireUsage) {
    let WireUsage { input, output, cache_creation, cache_read } = wire;
    if let Some(input) = input {
        total.cached = cache_read.unwrap_or_default();
        total.input = input + total.cached + cache_creation.unwrap_or_default();
    }
    total.output = output.unwrap_or(total.output);
}

fn finish(reason: Option<&str>, structured: bool) -> Finish {
    match reason {
        Some("max_tokens" | "model_context_window_exceeded") => Finish::Length,
        Some("tool_use") if !structured => Finish::ToolCalls,
        Some("refusal") => Finish::ContentFilter,
        _ => Finish::Stop,
    }
}

fn read<'d, T: Deserialize<'d>>(json: &'d [u8]) -> Result<T, ProviderError> {
    serde_json::from_slice(json)
        .map_err(|_| ProviderError::bad_answer("the provider's answer cannot be understood"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::provider::{ProviderErrorKind, sse::Splitter};

    const STREAM: &[u8] = include_bytes!("../../../tests/golden/anthropic/tools.response.sse");
    const STRUCTURED: &[u8] = include_bytes!("../../../tests/golden/anthropic/schema.response.sse");

    /// What a stream tells when it comes in these pieces.
    fn events<'a>(pieces: impl IntoIterator<Item = &'a [u8]>, structured: bool) -> Vec<ModelEvent> {
        let (mut splitter, mut decoder) = (Splitter::default(), Decoder::new(structured));
        let mut events = Vec::new();
        for piece in pieces {
            splitter.push(piece);
            while let Some(frame) = splitter.next_frame().expect("short events") {
                if let Some(data) = frame.data() {
                    events.extend(decoder.event(&data).expect("a good event"));
                }
            }
        }
        assert!(decoder.ended);
        events
    }

    fn text(text: &str) -> ModelEvent {
        ModelEvent::Said(Piece::Text(text.to_owned()))
    }

    fn used(output: u64) -> ModelEvent {
        ModelEvent::Usage(Usage { input: 472 + 10 + 5, output, cached: 10 })
    }

    #[test]
    fn a_response_with_words_and_calls_is_read() {
        let body = include_bytes!("../../../tests/golden/anthropic/tools.response.json");

        let call = ToolCall { id: "toolu_1".into(), name: "look".into(), arguments: r#"{"at":1}"#.into() };
        let said = Said { text: "Let me look.".into(), calls: vec![call], finish: Finish::ToolCalls };
        assert_eq!(
            answer(body, false),
            Ok(Answer { said, usage: Usage { input: 472, output: 89, cached: 0 } })
        );
    }

    #[test]
    fn the_arguments_of_the_answer_tool_are_the_text() {
        let body = br#"{"content": [{"type": "text", "text": "Sure."},
            {"type": "tool_use", "id": "t", "name": "answer", "input": {"name": "x"}}],
            "stop_reason": "tool_use", "usage": {"input_tokens": 1, "output_tokens": 2}}"#;

        let answer = answer(body, true).expect("an answer");

        assert_eq!(answer.said, Said::words(r#"{"name":"x"}"#));
    }

    #[test]
    fn every_split_point_of_a_stream_gives_the_same_events() {
        let call = |index, id: &str| Piece::Call { index, id: id.into(), name: "look".into() };
        let arguments = |index, json: &str| Piece::Arguments { index, json: json.into() };
        let said = |piece| ModelEvent::Said(piece);
        let expected = [
            used(2),
            text("Let me "),
            text("look."),
            said(call(0, "toolu_1")),
            said(arguments(0, "{\"at\"")),
            said(arguments(0, ": 1}")),
            said(call(1, "toolu_2")),
            said(arguments(1, "{}")),
            ModelEvent::Finish(Finish::ToolCalls),
            used(89),
        ];

        for cut in 0..=STREAM.len() {
            assert_eq!(events([&STREAM[..cut], &STREAM[cut..]], false), expected, "split at {cut}");
        }
        assert_eq!(events(STREAM.chunks(1), false), expected);
    }

    #[test]
    fn a_structured_stream_is_the_text_of_the_answer() {
        let events = events([STRUCTURED], true);

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
    fn an_error_in_the_middle_is_told_by_its_type() {
        let kind = |kind: &str| {
            let event = format!(r#"{{"type": "error", "error": {{"type": "{kind}", "message": "sk-1"}}}}"#);
            let error = Decoder::new(false).event(event.as_bytes()).expect_err("an error");
            assert!(!format!("{error:?}").contains("sk-1"));
            error.kind
        };

        assert_eq!(kind("overloaded_error"), ProviderErrorKind::Unavailable);
        assert_eq!(kind("rate_limit_error"), ProviderErrorKind::RateLimited { retry_after: None });
        assert_eq!(kind("invalid_request_error"), ProviderErrorKind::Rejected);
        assert_eq!(kind("authentication_error"), ProviderErrorKind::Auth);
    }

    #[test]
    fn what_is_no_answer_is_told() {
        for body in ["<html>", "[]", r#"{"content": 7}"#] {
            let error = answer(body.as_bytes(), false).expect_err(body);
            assert_eq!(error.kind, ProviderErrorKind::BadAnswer, "{body}");
        }
    }
}
