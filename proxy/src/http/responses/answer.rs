//! Answers as the API writes them.

use serde::Serialize;

use super::super::respond::Head;
use crate::{
    call::Summary,
    error::CallError,
    provider::{Finish, Said, ToolCall},
};

/// A response, at any stage.
#[derive(Debug, Serialize)]
pub(super) struct Response<'a> {
    id: String,
    object: &'static str,
    created_at: i64,
    status: &'static str,
    model: &'a str,
    output: Vec<Item>,
    error: Option<Failure>,
    incomplete_details: Option<Incomplete>,
    /// What is asked for is not repeated; these say nothing.
    metadata: Nothing,
    parallel_tool_calls: bool,
    tool_choice: &'static str,
    tools: [(); 0],
    store: bool,
    usage: Option<Usage>,
}

/// An object without fields.
#[derive(Debug, Serialize)]
struct Nothing {}

/// A part of the output.
#[derive(Debug, Clone, Serialize)]
#[serde(tag = "type", rename_all = "snake_case")]
pub(super) enum Item {
    Message { id: String, status: &'static str, role: &'static str, content: Vec<Part> },
    FunctionCall { id: String, status: &'static str, call_id: String, name: String, arguments: String },
}

/// A part of a message.
#[derive(Debug, Clone, Serialize)]
#[serde(tag = "type", rename_all = "snake_case")]
pub(super) enum Part {
    OutputText { text: String, annotations: [(); 0] },
}

#[derive(Debug, Serialize)]
struct Failure {
    code: &'static str,
    message: String,
}

#[derive(Debug, Serialize)]
struct Incomplete {
    reason: &'static str,
}

#[derive(Debug, Serialize)]
struct Usage {
    input_tokens: u64,
    input_tokens_details: InputDetails,
    output_tokens: u64,
    output_tokens_details: OutputDetails,
    total_tokens: u64,
}

#[derive(Debug, Serialize)]
struct InputDetails {
    cached_tokens: u64,
}

/// Providers of other APIs do not tell thinking from saying.
#[derive(Debug, Serialize)]
struct OutputDetails {
    reasoning_tokens: u64,
}

impl Response<'_> {
    /// Whether it is all that the model would have said.
    pub(super) fn is_complete(&self) -> bool {
        self.incomplete_details.is_none()
    }
}

impl Item {
    /// What it is called.
    pub(super) fn id(&self) -> &str {
        match self {
            Self::Message { id, .. } | Self::FunctionCall { id, .. } => id,
        }
    }
}

pub(super) const IN_PROGRESS: &str = "in_progress";
pub(super) const COMPLETED: &str = "completed";

/// A response that is under way.
pub(super) fn begun(head: &Head) -> Response<'_> {
    response(head, IN_PROGRESS, Vec::new())
}

/// A response that has come to its end, or was cut.
pub(super) fn ended<'a>(head: &'a Head, output: Vec<Item>, summary: &Summary) -> Response<'a> {
    let reason = match summary.finish {
        Finish::Stop | Finish::ToolCalls => None,
        Finish::Length => Some("max_output_tokens"),
        Finish::ContentFilter => Some("content_filter"),
    };
    let status = if reason.is_some() { "incomplete" } else { COMPLETED };
    let incomplete_details = reason.map(|reason| Incomplete { reason });
    Response { incomplete_details, usage: Some(usage(summary)), ..response(head, status, output) }
}

/// A response that failed on its way.
pub(super) fn failed<'a>(head: &'a Head, error: &CallError) -> Response<'a> {
    let code = error.told().code.unwrap_or("server_error");
    let error = Some(Failure { code, message: error.to_string() });
    Response { error, ..response(head, "failed", Vec::new()) }
}

/// The items of a whole answer.
pub(super) fn output(head: &Head, said: Said) -> Vec<Item> {
    let Said { text, calls, .. } = said;
    let text = (!text.is_empty() || calls.is_empty()).then(|| message(head, 0, COMPLETED, Some(text)));
    let first = u32::from(text.is_some());
    let calls = (first..).zip(calls).map(|(index, call)| function_call(head, index, COMPLETED, call));
    text.into_iter().chain(calls).collect()
}

/// A message; without text it has only just begun.
pub(super) fn message(head: &Head, index: u32, status: &'static str, text: Option<String>) -> Item {
    Item::Message {
        id: message_id(head, index),
        status,
        role: "assistant",
        content: text.into_iter().map(output_text).collect(),
    }
}

/// A call of a tool.
pub(super) fn function_call(head: &Head, index: u32, status: &'static str, call: ToolCall) -> Item {
    let ToolCall { id: call_id, name, arguments } = call;
    Item::FunctionCall { id: function_call_id(head, index), status, call_id, name, arguments }
}

/// Some words.
pub(super) fn output_text(text: String) -> Part {
    Part::OutputText { text, annotations: [] }
}

/// What the message at this place is called.
pub(super) fn message_id(head: &Head, index: u32) -> String {
    format!("msg_{}_{index}", head.id)
}

/// What the call at this place is called.
pub(super) fn function_call_id(head: &Head, index: u32) -> String {
    format!("fc_{}_{index}", head.id)
}

fn response<'a>(head: &'a Head, status: &'static str, output: Vec<Item>) -> Response<'a> {
    Response {
        id: format!("resp_{}", head.id),
        object: "response",
        created_at: head.created,
        status,
        model: &head.model,
        output,
        error: None,
        incomplete_details: None,
        metadata: Nothing {},
        parallel_tool_calls: true,
        tool_choice: "auto",
        tools: [],
        store: false,
        usage: None,
    }
}

fn usage(summary: &Summary) -> Usage {
    let crate::usage::Usage { input_tokens, output_tokens, estimated: _ } = summary.usage;
    Usage {
        input_tokens,
        input_tokens_details: InputDetails { cached_tokens: summary.cached_tokens },
        output_tokens,
        output_tokens_details: OutputDetails { reasoning_tokens: 0 },
        total_tokens: input_tokens.saturating_add(output_tokens),
    }
}
