//! Answers in the form of the OpenAI API, for models whose provider does not speak it.

use serde::Serialize;

use super::super::respond::Head;
use crate::{
    call::Summary,
    provider::{Finish, Piece, Said, ToolCall},
};

/// A whole answer or one chunk of a stream.
#[derive(Debug, Serialize)]
pub(super) struct Completion {
    id: String,
    object: &'static str,
    created: i64,
    model: String,
    choices: Vec<Choice>,
    #[serde(skip_serializing_if = "Option::is_none")]
    usage: Option<Usage>,
}

#[derive(Debug, Serialize)]
struct Choice {
    index: u32,
    #[serde(skip_serializing_if = "Option::is_none")]
    message: Option<Message>,
    #[serde(skip_serializing_if = "Option::is_none")]
    delta: Option<Message>,
    finish_reason: Option<&'static str>,
}

#[derive(Debug, Default, Serialize)]
struct Message {
    #[serde(skip_serializing_if = "Option::is_none")]
    role: Option<&'static str>,
    #[serde(skip_serializing_if = "Content::is_absent")]
    content: Content,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    tool_calls: Vec<Call>,
}

/// The words of a message. A whole answer without words says so with a null, a chunk by not having the field.
#[derive(Debug, Default, Serialize)]
#[serde(untagged)]
enum Content {
    #[default]
    Absent,
    Null(()),
    Text(String),
}

impl Content {
    fn is_absent(&self) -> bool {
        matches!(self, Self::Absent)
    }
}

/// A call of a tool; in a chunk, the part of it that has come.
#[derive(Debug, Serialize)]
struct Call {
    #[serde(skip_serializing_if = "Option::is_none")]
    index: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    id: Option<String>,
    #[serde(rename = "type", skip_serializing_if = "Option::is_none")]
    kind: Option<&'static str>,
    function: Function,
}

#[derive(Debug, Serialize)]
struct Function {
    #[serde(skip_serializing_if = "Option::is_none")]
    name: Option<String>,
    arguments: String,
}

#[derive(Debug, Serialize)]
struct Usage {
    prompt_tokens: u64,
    completion_tokens: u64,
    total_tokens: u64,
    prompt_tokens_details: PromptDetails,
}

#[derive(Debug, Serialize)]
struct PromptDetails {
    cached_tokens: u64,
}

/// The whole answer.
pub(super) fn answer(head: &Head, said: Said, summary: &Summary) -> Completion {
    let Said { text, calls, finish } = said;
    let content = if text.is_empty() && !calls.is_empty() { Content::Null(()) } else { Content::Text(text) };
    let tool_calls = calls.into_iter().map(whole).collect();
    let message = Message { role: Some("assistant"), content, tool_calls };
    let finish_reason = Some(reason(finish));
    let choice = Choice { index: 0, message: Some(message), delta: None, finish_reason };
    Completion { usage: Some(counted(summary)), ..completion(head, "chat.completion", vec![choice]) }
}

/// The first chunk, which says who speaks.
pub(super) fn opening(head: &Head) -> Completion {
    let content = Content::Text(String::new());
    chunk(head, Message { role: Some("assistant"), content, ..Message::default() }, None)
}

/// Some of the answer.
pub(super) fn piece(head: &Head, piece: Piece) -> Completion {
    let delta = match piece {
        Piece::Text(text) => Message { content: Content::Text(text), ..Message::default() },
        Piece::Call { index, id, name } => {
            let function = Function { name: Some(name), arguments: String::new() };
            part(Call { index: Some(index), id: Some(id), kind: Some("function"), function })
        }
        Piece::Arguments { index, json } => {
            let function = Function { name: None, arguments: json };
            part(Call { index: Some(index), id: None, kind: None, function })
        }
    };
    chunk(head, delta, None)
}

/// The end of the answer.
pub(super) fn closing(head: &Head, finish: Finish) -> Completion {
    chunk(head, Message::default(), Some(reason(finish)))
}

/// The chunk with the usage, for those who asked for it.
pub(super) fn usage(head: &Head, summary: &Summary) -> Completion {
    Completion { usage: Some(counted(summary)), ..completion(head, "chat.completion.chunk", Vec::new()) }
}

fn chunk(head: &Head, delta: Message, finish_reason: Option<&'static str>) -> Completion {
    let choice = Choice { index: 0, message: None, delta: Some(delta), finish_reason };
    completion(head, "chat.completion.chunk", vec![choice])
}

fn completion(head: &Head, object: &'static str, choices: Vec<Choice>) -> Completion {
    let Head { id, created, model } = head;
    let id = format!("chatcmpl-{id}");
    Completion { id, object, created: *created, model: model.to_string(), choices, usage: None }
}

fn part(call: Call) -> Message {
    Message { tool_calls: vec![call], ..Message::default() }
}

fn whole(ToolCall { id, name, arguments }: ToolCall) -> Call {
    Call {
        index: None,
        id: Some(id),
        kind: Some("function"),
        function: Function { name: Some(name), arguments },
    }
}

fn reason(finish: Finish) -> &'static str {
    match finish {
        Finish::Stop => "stop",
        Finish::Length => "length",
        Finish::ToolCalls => "tool_calls",
        Finish::ContentFilter => "content_filter",
    }
}

fn counted(summary: &Summary) -> Usage {
    let crate::usage::Usage { input_tokens, output_tokens, estimated: _ } = summary.usage;
    Usage {
        prompt_tokens: input_tokens,
        completion_tokens: output_tokens,
        total_tokens: input_tokens.saturating_add(output_tokens),
        prompt_tokens_details: PromptDetails { cached_tokens: summary.cached_tokens },
    }
}
