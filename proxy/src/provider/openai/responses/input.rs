//! The items of a request's `input`: messages, calls of tools and what came of them.

use std::borrow::Cow;

use serde::Deserialize;
use serde_json::value::RawValue;

use super::super::{
    super::{
        Message, Part, Role, ToolCall, ToolResult,
        native::{BadBody, Beyond, Body, short},
    },
    message::image,
};

#[derive(Deserialize)]
struct Item<'a> {
    #[serde(rename = "type", borrow, default)]
    kind: Option<Cow<'a, str>>,
    #[serde(borrow, default)]
    role: Option<Cow<'a, str>>,
    #[serde(borrow, default)]
    content: Option<&'a RawValue>,
}

#[derive(Deserialize)]
struct FunctionCall {
    call_id: String,
    name: String,
    arguments: String,
}

#[derive(Deserialize)]
struct FunctionOutput<'a> {
    call_id: String,
    #[serde(borrow)]
    output: &'a RawValue,
}

#[derive(Deserialize)]
struct WirePart {
    #[serde(rename = "type")]
    kind: String,
    #[serde(default)]
    text: Option<String>,
    #[serde(default)]
    image_url: Option<String>,
}

/// Adds what the input says to the messages. Returns its characters: those of text, and of the JSON of everything else.
pub(super) fn read(body: &Body, messages: &mut Vec<Message>, beyond: &mut Beyond) -> Result<usize, BadBody> {
    let input: &RawValue = body.require("input")?;
    if let Ok(text) = serde_json::from_str::<String>(input.get()) {
        let length = text.chars().count();
        messages.push(Message::text(Role::User, text));
        return Ok(length);
    }
    let items: Vec<&RawValue> = serde_json::from_str(input.get())
        .map_err(|_| BadBody::new(Some("input"), "input is neither text nor a list of items"))?;
    let mut length = 0;
    for json in items {
        let item: Item<'_> = serde_json::from_str(json.get())
            .map_err(|_| BadBody::new(Some("input"), "input: an item is not of the right form"))?;
        length += match (item.kind.as_deref(), &item.role) {
            (None | Some("message"), Some(role)) => said(role, item.content, messages, beyond)?,
            (Some("function_call"), _) => {
                let FunctionCall { call_id, name, arguments } = of_kind(json, "function_call")?;
                add(messages, Role::Assistant, Part::Call(ToolCall { id: call_id, name, arguments }));
                json.get().len()
            }
            (Some("function_call_output"), _) => {
                let FunctionOutput { call_id, output } = of_kind(json, "function_call_output")?;
                let text = output_text(output, beyond);
                add(messages, Role::User, Part::Result(ToolResult { call_id, text, is_error: false }));
                json.get().len()
            }
            (Some(other), _) => {
                beyond.note(format!("items of type {}", short(other)));
                json.get().len()
            }
            (None, None) => {
                return Err(BadBody::new(Some("input"), "input: an item has neither type nor role"));
            }
        };
    }
    Ok(length)
}

fn of_kind<'a, T: Deserialize<'a>>(json: &'a RawValue, kind: &str) -> Result<T, BadBody> {
    serde_json::from_str(json.get())
        .map_err(|_| BadBody::new(Some("input"), format!("input: a {kind} is not of the right form")))
}

fn said(
    role: &str,
    content: Option<&RawValue>,
    messages: &mut Vec<Message>,
    beyond: &mut Beyond,
) -> Result<usize, BadBody> {
    let role = match role {
        "user" => Role::User,
        "assistant" => Role::Assistant,
        "system" | "developer" => Role::System,
        other => {
            let message = format!("input: there is no role {:?}", short(other));
            return Err(BadBody::new(Some("input"), message));
        }
    };
    let wrong = || BadBody::new(Some("input"), "input: content is neither text nor a list of parts");
    let content = content.ok_or_else(wrong)?;
    if let Ok(text) = serde_json::from_str::<String>(content.get()) {
        let length = text.chars().count();
        messages.push(Message::text(role, text));
        return Ok(length);
    }
    let parts: Vec<&RawValue> = serde_json::from_str(content.get()).map_err(|_| wrong())?;
    let mut message = Message { role, content: Vec::with_capacity(parts.len()) };
    let mut length = 0;
    for json in parts {
        let part: WirePart = serde_json::from_str(json.get()).map_err(|_| wrong())?;
        match (part.kind.as_str(), part.text, part.image_url) {
            ("input_text" | "output_text" | "text", Some(text), _) => {
                length += text.chars().count();
                message.content.push(Part::Text(text));
            }
            ("input_image", _, Some(url)) => {
                length += json.get().len();
                message.content.push(Part::Image(image(url)));
            }
            (other, ..) => {
                length += json.get().len();
                beyond.note(format!("parts of type {}", short(other)));
            }
        }
    }
    messages.push(message);
    Ok(length)
}

/// What came of a call, in words.
fn output_text(output: &RawValue, beyond: &mut Beyond) -> String {
    if let Ok(text) = serde_json::from_str::<String>(output.get()) {
        return text;
    }
    let parts: Option<Vec<WirePart>> = serde_json::from_str(output.get()).ok();
    let texts: Option<Vec<String>> = parts.and_then(|parts| {
        parts.into_iter().map(|part| part.text.filter(|_| part.kind == "input_text")).collect()
    });
    texts.map_or_else(
        || {
            beyond.note("results of tools that are not text");
            String::new()
        },
        |texts| texts.join("\n"),
    )
}

/// Calls that follow each other are one message, and so are results; calls belong to what was said before them.
fn add(messages: &mut Vec<Message>, role: Role, part: Part) {
    let belongs = |last: &&mut Message| {
        last.role == role
            && (role == Role::Assistant || last.content.iter().all(|part| matches!(part, Part::Result(_))))
    };
    match messages.last_mut().filter(belongs) {
        Some(last) => last.content.push(part),
        None => messages.push(Message { role, content: vec![part] }),
    }
}
