//! The content of one message of a caller's request: what it says, and how much there is in it.

use std::borrow::Cow;

use serde::Deserialize;
use serde_json::value::RawValue;

use super::super::{
    Image, Part, ToolCall, ToolResult,
    native::{BadBody, Beyond, short},
};

/// A message as it is written.
#[derive(Deserialize)]
pub(super) struct WireMessage<'a> {
    #[serde(borrow)]
    pub(super) role: Cow<'a, str>,
    #[serde(borrow)]
    pub(super) content: &'a RawValue,
}

/// What it says.
#[derive(Debug, Default)]
pub(super) struct Content {
    pub(super) parts: Vec<Part>,
    /// Characters of its text, and of the JSON of everything else in it.
    pub(super) length: usize,
}

#[derive(Deserialize)]
struct Kind<'a> {
    #[serde(rename = "type", borrow)]
    kind: Cow<'a, str>,
}

#[derive(Deserialize)]
struct Text {
    text: String,
}

#[derive(Deserialize)]
struct WireImage {
    source: Source,
}

#[derive(Deserialize)]
#[serde(tag = "type", rename_all = "snake_case")]
enum Source {
    Base64 { media_type: String, data: String },
    Url { url: String },
}

#[derive(Deserialize)]
struct ToolUse<'a> {
    id: String,
    name: String,
    #[serde(borrow)]
    input: &'a RawValue,
}

#[derive(Deserialize)]
struct WireResult<'a> {
    tool_use_id: String,
    #[serde(borrow, default)]
    content: Option<&'a RawValue>,
    #[serde(default)]
    is_error: Option<bool>,
}

/// Reads text or a list of blocks, found in the field `name`. A block that has no place in a conversation of nobody's dialect is
/// noted: a provider of this dialect may know better.
pub(super) fn content(
    content: &RawValue,
    name: &'static str,
    beyond: &mut Beyond,
) -> Result<Content, BadBody> {
    if let Ok(text) = serde_json::from_str::<String>(content.get()) {
        return Ok(Content { length: text.chars().count(), parts: vec![Part::Text(text)] });
    }
    let blocks: Vec<&RawValue> = serde_json::from_str(content.get()).map_err(|_| {
        BadBody::new(Some(name), format!("{name}: content is neither text nor a list of blocks"))
    })?;
    let mut content = Content::default();
    for block in blocks {
        let Ok(Kind { kind }) = serde_json::from_str(block.get()) else {
            return Err(BadBody::new(Some(name), format!("{name}: a block of content has no type")));
        };
        match part(&kind, block.get()) {
            Ok(Part::Text(text)) => {
                content.length += text.chars().count();
                content.parts.push(Part::Text(text));
            }
            Ok(part) => {
                content.length += block.get().len();
                content.parts.push(part);
            }
            Err(what) => {
                content.length += block.get().len();
                beyond.note(what);
            }
        }
    }
    Ok(content)
}

/// What a block says, or what there is in it that cannot be said elsewhere.
fn part(kind: &str, json: &str) -> Result<Part, Cow<'static, str>> {
    let in_this_form = |_| Cow::from(format!("a block of type {} in this form", short(kind)));
    match kind {
        "text" => serde_json::from_str(json).map(|Text { text }| Part::Text(text)).map_err(in_this_form),
        "image" => serde_json::from_str(json)
            .map(|WireImage { source }| {
                Part::Image(match source {
                    Source::Base64 { media_type, data } => Image::Data { media_type, base64: data },
                    Source::Url { url } => Image::Url(url),
                })
            })
            .map_err(in_this_form),
        "tool_use" => serde_json::from_str(json)
            .map(|ToolUse { id, name, input }| {
                Part::Call(ToolCall { id, name, arguments: input.get().to_owned() })
            })
            .map_err(in_this_form),
        "tool_result" => {
            let WireResult { tool_use_id, content, is_error } =
                serde_json::from_str(json).map_err(in_this_form)?;
            let text = content.map_or(Ok(String::new()), result_text)?;
            let is_error = is_error.unwrap_or(false);
            Ok(Part::Result(ToolResult { call_id: tool_use_id, text, is_error }))
        }
        other => Err(format!("blocks of type {}", short(other)).into()),
    }
}

/// What came of a call, in words.
fn result_text(content: &RawValue) -> Result<String, Cow<'static, str>> {
    const NOT_TEXT: &str = "results of tools that are not text";
    if let Ok(text) = serde_json::from_str::<String>(content.get()) {
        return Ok(text);
    }
    let blocks: Vec<&RawValue> = serde_json::from_str(content.get()).map_err(|_| NOT_TEXT)?;
    let text = |block: &&RawValue| {
        let Kind { kind } = serde_json::from_str(block.get()).ok()?;
        let Text { text } = serde_json::from_str(block.get()).ok().filter(|_| kind == "text")?;
        Some(text)
    };
    let texts: Option<Vec<String>> = blocks.iter().map(text).collect();
    Ok(texts.ok_or(NOT_TEXT)?.join("\n"))
}
