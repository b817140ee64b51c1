//! Responses of the dialect -> what we need of them. Unknown fields are skipped; servers leave out or null much of the rest.

use serde::Deserialize;

use super::super::{Finish, Piece, ProviderError, Said, ToolCall, Usage, error::WireError};

/// A whole response.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Answer {
    pub(super) said: Said,
    pub(super) usage: Option<Usage>,
}

/// One event of a stream.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Chunk {
    pub(super) pieces: Vec<Piece>,
    pub(super) usage: Option<Usage>,
    /// The model has ended its answer.
    pub(super) finish: Option<Finish>,
    /// It has nothing of an answer in it.
    pub(super) only_usage: bool,
}

#[derive(Deserialize)]
struct Wire {
    #[serde(default)]
    choices: Option<Vec<Choice>>,
    #[serde(default)]
    usage: Option<WireUsage>,
    #[serde(default)]
    error: Option<WireError>,
}

#[derive(Deserialize)]
struct Choice {
    #[serde(default, alias = "delta")]
    message: Option<WireSaid>,
    #[serde(default)]
    finish_reason: Option<serde_json::Value>,
}

#[derive(Default, Deserialize)]
struct WireSaid {
    #[serde(default)]
    content: Option<String>,
    #[serde(default)]
    refusal: Option<String>,
    #[serde(default)]
    tool_calls: Option<Vec<WireCall>>,
}

#[derive(Deserialize)]
struct WireCall {
    #[serde(default)]
    index: Option<u32>,
    #[serde(default)]
    id: Option<String>,
    #[serde(default)]
    function: Option<WireFunction>,
}

#[derive(Default, Deserialize)]
struct WireFunction {
    #[serde(default)]
    name: Option<String>,
    #[serde(default)]
    arguments: Option<String>,
}

#[derive(Deserialize)]
struct WireUsage {
    #[serde(default)]
    prompt_tokens: Option<u64>,
    #[serde(default)]
    completion_tokens: Option<u64>,
    #[serde(default)]
    prompt_tokens_details: Option<PromptDetails>,
}

#[derive(Deserialize)]
struct PromptDetails {
    #[serde(default)]
    cached_tokens: Option<u64>,
}

/// Reads the body of a response.
pub(super) fn answer(body: &[u8]) -> Result<Answer, ProviderError> {
    let Wire { choices, usage, error } = read(body)?;
    if let Some(error) = error {
        return Err(ProviderError::from_stream(&error));
    }
    let choices = choices.filter(|choices| !choices.is_empty());
    let choices = choices.ok_or_else(|| ProviderError::bad_answer("the provider's answer has no choices"))?;
    let mut said = Said::default();
    for Choice { message, finish_reason } in choices {
        said.finish = finish(finish_reason.as_ref()).unwrap_or_default();
        let message = message.unwrap_or_default();
        said.calls.extend(message.tool_calls.into_iter().flatten().map(call));
        said.text.extend(words(message.content, message.refusal));
    }
    Ok(Answer { said, usage: usage.map(Usage::from) })
}

/// Reads the data of an event.
pub(super) fn chunk(data: &[u8]) -> Result<Chunk, ProviderError> {
    let Wire { choices, usage, error } = read(data)?;
    if let Some(error) = error {
        return Err(ProviderError::from_stream(&error));
    }
    let choices = choices.unwrap_or_default();
    let finish = choices.iter().find_map(|choice| finish(choice.finish_reason.as_ref()));
    let only_usage = choices.is_empty() && usage.is_some();
    let messages = choices.into_iter().filter_map(|choice| choice.message);
    let pieces = messages.flat_map(pieces).collect();
    Ok(Chunk { pieces, usage: usage.map(Usage::from), finish, only_usage })
}

fn read(json: &[u8]) -> Result<Wire, ProviderError> {
    serde_json::from_slice(json)
        .map_err(|_| ProviderError::bad_answer("the provider's answer cannot be understood"))
}

/// What the model says; a refusal is its words, too.
fn words(content: Option<String>, refusal: Option<String>) -> Option<String> {
    content.filter(|content| !content.is_empty()).or(refusal)
}

fn call(wire: WireCall) -> ToolCall {
    let WireFunction { name, arguments } = wire.function.unwrap_or_default();
    ToolCall {
        id: wire.id.unwrap_or_default(),
        name: name.unwrap_or_default(),
        arguments: arguments.unwrap_or_default(),
    }
}

/// The first chunk of a call names it, the others go on with its arguments.
fn pieces(delta: WireSaid) -> Vec<Piece> {
    let mut pieces: Vec<_> = words(delta.content, delta.refusal).map(Piece::Text).into_iter().collect();
    for wire in delta.tool_calls.into_iter().flatten() {
        let index = wire.index.unwrap_or_default();
        let WireFunction { name, arguments } = wire.function.unwrap_or_default();
        if let Some(name) = name {
            pieces.push(Piece::Call { index, id: wire.id.unwrap_or_default(), name });
        }
        let arguments = arguments.filter(|arguments| !arguments.is_empty());
        pieces.extend(arguments.map(|json| Piece::Arguments { index, json }));
    }
    pieces
}

/// Absent while the answer goes on. A reason that we do not know is an end all the same.
fn finish(reason: Option<&serde_json::Value>) -> Option<Finish> {
    let reason = reason.filter(|reason| !reason.is_null())?;
    Some(match reason.as_str() {
        Some("length") => Finish::Length,
        Some("tool_calls" | "function_call") => Finish::ToolCalls,
        Some("content_filter") => Finish::ContentFilter,
        _ => Finish::Stop,
    })
}

impl From<WireUsage> for Usage {
    fn from(wire: WireUsage) -> Self {
        Self {
            input: wire.prompt_tokens.unwrap_or(0),
            output: wire.completion_tokens.unwrap_or(0),
            cached: wire.prompt_tokens_details.and_then(|details| details.cached_tokens).unwrap_or(0),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_response_of_openai_is_read() {
        let body = include_bytes!("../../../tests/golden/openai/openai.response.json");

        let usage = Usage { input: 19, output: 10, cached: 5 };
        assert_eq!(
            answer(body),
            Ok(Answer { said: Said::words("Hello! How can I assist you today?"), usage: Some(usage) })
        );
    }

    #[test]
    fn a_response_without_details_is_read() {
        let body = include_bytes!("../../../tests/golden/openai/minimal.response.json");

        assert_eq!(answer(body), Ok(Answer { said: Said::words("hi"), usage: None }));
    }

    #[test]
    fn a_refusal_is_what_the_model_says() {
        let body = br#"{"choices": [{"message": {"content": null, "refusal": "I cannot"}}]}"#;

        assert_eq!(answer(body).map(|answer| answer.said), Ok(Said::words("I cannot")));
    }

    #[test]
    fn what_is_no_answer_is_told() {
        let message = |body: &[u8]| answer(body).expect_err("no answer").to_string();

        assert_eq!(message(b"<html>"), "the provider's answer cannot be understood");
        assert_eq!(message(b"{}"), "the provider's answer has no choices");
        assert_eq!(
            message(br#"{"error": {"code": 429}}"#),
            "the provider's rate limit is reached (status 429)"
        );
    }

    #[test]
    fn the_last_chunk_of_a_stream_has_only_the_usage() {
        let last = chunk(br#"{"choices": [], "usage": {"prompt_tokens": 1, "completion_tokens": 2}}"#)
            .expect("a chunk");
        let other =
            chunk(br#"{"choices": [{"delta": {"content": "a"}, "finish_reason": "stop"}], "usage": null}"#)
                .expect("a chunk");

        assert_eq!((last.only_usage, last.usage), (true, Some(Usage { input: 1, output: 2, cached: 0 })));
        assert_eq!((other.only_usage, other.finish), (false, Some(Finish::Stop)));
        assert_eq!(other.pieces, [Piece::Text("a".to_owned())]);
    }

    #[test]
    fn what_the_model_wants_done_is_read_whole_and_in_pieces() {
        let whole =
            br#"{"choices": [{"finish_reason": "tool_calls", "message": {"content": null, "tool_calls": [
            {"id": "c1", "type": "function", "function": {"name": "f", "arguments": "{\"a\":1}"}}]}}]}"#;
        let call = ToolCall { id: "c1".into(), name: "f".into(), arguments: "{\"a\":1}".into() };
        let expected = Said { text: String::new(), calls: vec![call], finish: Finish::ToolCalls };
        assert_eq!(answer(whole).map(|answer| answer.said), Ok(expected));

        let first = br#"{"choices": [{"delta": {"tool_calls": [
            {"index": 1, "id": "c2", "function": {"name": "g", "arguments": ""}}]}}]}"#;
        let next =
            br#"{"choices": [{"delta": {"tool_calls": [{"index": 1, "function": {"arguments": "{"}}]}}]}"#;
        let pieces = |data: &[u8]| chunk(data).expect("a chunk").pieces;
        assert_eq!(pieces(first), [Piece::Call { index: 1, id: "c2".into(), name: "g".into() }]);
        assert_eq!(pieces(next), [Piece::Arguments { index: 1, json: "{".into() }]);
    }
}
