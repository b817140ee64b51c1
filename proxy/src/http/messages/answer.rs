//! Answers and events as the API writes them.

use serde::Serialize;
use serde_json::value::RawValue;

use super::super::respond::Head;
use crate::{
    call::Summary,
    error::CallError,
    provider::{Finish, Said, ToolCall},
};

/// A whole answer; in a stream, what is known of it at the start.
#[derive(Debug, Serialize)]
pub(super) struct Message<'a> {
    id: String,
    #[serde(rename = "type")]
    kind: &'static str,
    role: &'static str,
    model: &'a str,
    content: Vec<Block<'a>>,
    stop_reason: Option<&'static str>,
    stop_sequence: Option<&'static str>,
    usage: Usage,
}

/// A part of an answer; in a stream, without what comes in deltas.
#[derive(Debug, Serialize)]
#[serde(tag = "type", rename_all = "snake_case")]
pub(super) enum Block<'a> {
    Text { text: &'a str },
    ToolUse { id: &'a str, name: &'a str, input: &'a RawValue },
}

#[derive(Debug, Serialize)]
pub(super) struct Usage {
    #[serde(rename = "input_tokens")]
    input: u64,
    #[serde(rename = "cache_creation_input_tokens")]
    cache_creation: u64,
    #[serde(rename = "cache_read_input_tokens")]
    cache_read: u64,
    #[serde(rename = "output_tokens")]
    output: u64,
}

/// An event of a stream.
#[derive(Debug, Serialize)]
#[serde(tag = "type", rename_all = "snake_case")]
pub(super) enum Event<'a> {
    MessageStart { message: Message<'a> },
    ContentBlockStart { index: u32, content_block: Begun },
    ContentBlockDelta { index: u32, delta: Delta },
    ContentBlockStop { index: u32 },
    MessageDelta { delta: End, usage: Usage },
    MessageStop,
}

/// A block that begins.
#[derive(Debug, PartialEq, Eq, Serialize)]
#[serde(tag = "type", rename_all = "snake_case")]
pub(super) enum Begun {
    Text { text: &'static str },
    ToolUse { id: String, name: String, input: Empty },
}

/// An object without fields.
#[derive(Debug, PartialEq, Eq, Serialize)]
pub(super) struct Empty {}

/// More of a block.
#[derive(Debug, PartialEq, Eq, Serialize)]
#[serde(tag = "type", rename_all = "snake_case")]
pub(super) enum Delta {
    TextDelta { text: String },
    InputJsonDelta { partial_json: String },
}

#[derive(Debug, Serialize)]
pub(super) struct End {
    stop_reason: &'static str,
    stop_sequence: Option<&'static str>,
}

impl Event<'_> {
    fn name(&self) -> &'static str {
        match self {
            Self::MessageStart { .. } => "message_start",
            Self::ContentBlockStart { .. } => "content_block_start",
            Self::ContentBlockDelta { .. } => "content_block_delta",
            Self::ContentBlockStop { .. } => "content_block_stop",
            Self::MessageDelta { .. } => "message_delta",
            Self::MessageStop => "message_stop",
        }
    }
}

/// An event as it is sent.
pub(super) fn event(event: &Event<'_>) -> Vec<u8> {
    let mut bytes = format!("event: {}\ndata: ", event.name()).into_bytes();
    // These are plain structures with string keys: there is nothing in them that could fail.
    let _ = serde_json::to_writer(&mut bytes, event);
    bytes.extend_from_slice(b"\n\n");
    bytes
}

/// The whole answer.
pub(super) fn whole<'a>(head: &'a Head, said: &'a Said, summary: &Summary) -> Result<Message<'a>, CallError> {
    let text = (!said.text.is_empty() || said.calls.is_empty()).then_some(Block::Text { text: &said.text });
    let calls = said.calls.iter().map(call);
    let content = text.into_iter().map(Ok).chain(calls).collect::<Result<_, _>>()?;
    let stop_reason = Some(reason(summary.finish));
    Ok(Message { content, stop_reason, usage: usage(summary), ..message(head) })
}

/// The first event. How much was read, providers of other APIs say at the end; clients take the numbers of the last event.
pub(super) fn start(head: &Head) -> Event<'_> {
    Event::MessageStart { message: message(head) }
}

/// The event with the end of the answer.
pub(super) fn end(summary: &Summary) -> Event<'static> {
    let delta = End { stop_reason: reason(summary.finish), stop_sequence: None };
    Event::MessageDelta { delta, usage: usage(summary) }
}

fn message(head: &Head) -> Message<'_> {
    Message {
        id: format!("msg_{}", head.id),
        kind: "message",
        role: "assistant",
        model: &head.model,
        content: Vec::new(),
        stop_reason: None,
        stop_sequence: None,
        usage: Usage { input: 0, cache_creation: 0, cache_read: 0, output: 0 },
    }
}

fn call(ToolCall { id, name, arguments }: &ToolCall) -> Result<Block<'_>, CallError> {
    // A call without arguments is written as nothing by some, and is an empty object here.
    let arguments = if arguments.trim().is_empty() { "{}" } else { arguments };
    let input: &RawValue =
        serde_json::from_str(arguments).map_err(|_| CallError::BadArguments(name.clone()))?;
    if input.get().starts_with('{') {
        Ok(Block::ToolUse { id, name, input })
    } else {
        Err(CallError::BadArguments(name.clone()))
    }
}

/// What the provider's cache had is not part of `input_tokens` here.
fn usage(summary: &Summary) -> Usage {
    Usage {
        input: summary.usage.input_tokens.saturating_sub(summary.cached_tokens),
        cache_creation: 0,
        cache_read: summary.cached_tokens,
        output: summary.usage.output_tokens,
    }
}

fn reason(finish: Finish) -> &'static str {
    match finish {
        Finish::Stop => "end_turn",
        Finish::Length => "max_tokens",
        Finish::ToolCalls => "tool_use",
        Finish::ContentFilter => "refusal",
    }
}
