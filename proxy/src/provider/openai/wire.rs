//! Messages and tools as the dialect writes them.

use std::borrow::Cow;

use serde::Serialize;
use serde_json::Value;

use super::super::{Image, Message, Part, Role, Tool, ToolCall};

/// A message.
#[derive(Serialize)]
pub(super) struct WireMessage<'a> {
    role: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    content: Option<Content<'a>>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    tool_calls: Vec<WireCall<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    tool_call_id: Option<&'a str>,
}

#[derive(Serialize)]
#[serde(untagged)]
enum Content<'a> {
    Text(Cow<'a, str>),
    Parts(Vec<WirePart<'a>>),
}

#[derive(Serialize)]
#[serde(tag = "type", rename_all = "snake_case")]
enum WirePart<'a> {
    Text { text: &'a str },
    ImageUrl { image_url: WireImage<'a> },
}

#[derive(Serialize)]
struct WireImage<'a> {
    url: Cow<'a, str>,
}

#[derive(Serialize)]
struct WireCall<'a> {
    id: &'a str,
    #[serde(rename = "type")]
    kind: &'static str,
    function: Called<'a>,
}

#[derive(Serialize)]
struct Called<'a> {
    name: &'a str,
    arguments: &'a str,
}

/// A tool.
#[derive(Serialize)]
pub(super) struct WireTool<'a> {
    #[serde(rename = "type")]
    kind: &'static str,
    function: Function<'a>,
}

#[derive(Serialize)]
struct Function<'a> {
    name: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    description: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    parameters: Option<&'a Value>,
    #[serde(skip_serializing_if = "Option::is_none")]
    strict: Option<bool>,
}

impl<'a> WireTool<'a> {
    /// A function.
    pub(super) fn of(tool: &'a Tool) -> Self {
        let Tool { name, description, parameters, strict } = tool;
        let function = Function {
            name,
            description: description.as_deref(),
            parameters: parameters.as_ref(),
            strict: *strict,
        };
        Self { kind: "function", function }
    }
}

/// The messages that one becomes: each result of a tool is one of its own here.
pub(super) fn messages(message: &Message) -> impl Iterator<Item = WireMessage<'_>> {
    let role = match message.role {
        Role::System => "system",
        Role::User => "user",
        Role::Assistant => "assistant",
    };
    let results = message.content.iter().filter_map(result);
    let calls: Vec<_> = message.content.iter().filter_map(call).collect();
    let content = content(message);
    let has_results = message.content.iter().any(|part| matches!(part, Part::Result(_)));
    let rest = (content.is_some() || !calls.is_empty() || !has_results).then(|| WireMessage {
        role,
        content: content.or_else(|| calls.is_empty().then_some(Content::Text(Cow::Borrowed("")))),
        tool_calls: calls,
        tool_call_id: None,
    });
    results.chain(rest)
}

fn result(part: &Part) -> Option<WireMessage<'_>> {
    let Part::Result(result) = part else { return None };
    // The dialect has no mark for what went wrong: it is said in words.
    let text = if result.is_error {
        Cow::Owned(format!("error: {}", result.text))
    } else {
        Cow::Borrowed(result.text.as_str())
    };
    Some(WireMessage {
        role: "tool",
        content: Some(Content::Text(text)),
        tool_calls: Vec::new(),
        tool_call_id: Some(&result.call_id),
    })
}

fn content(message: &Message) -> Option<Content<'_>> {
    let said: Vec<_> = message.content.iter().filter_map(part).collect();
    match said.as_slice() {
        [] => None,
        [WirePart::Text { text }] => Some(Content::Text(Cow::Borrowed(text))),
        _ => Some(Content::Parts(said)),
    }
}

fn part(part: &Part) -> Option<WirePart<'_>> {
    match part {
        Part::Text(text) => Some(WirePart::Text { text }),
        Part::Image(image) => Some(WirePart::ImageUrl { image_url: WireImage { url: url(image) } }),
        Part::Call(_) | Part::Result(_) => None,
    }
}

/// A picture has an address here even where it is the picture itself (RFC 2397).
fn url(image: &Image) -> Cow<'_, str> {
    match image {
        Image::Url(url) => Cow::Borrowed(url),
        Image::Data { media_type, base64 } => Cow::Owned(format!("data:{media_type};base64,{base64}")),
    }
}

fn call(part: &Part) -> Option<WireCall<'_>> {
    let Part::Call(ToolCall { id, name, arguments }) = part else { return None };
    Some(WireCall { id, kind: "function", function: Called { name, arguments } })
}
