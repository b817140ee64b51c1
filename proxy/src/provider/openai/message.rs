//! One message of a caller's request: what it says, and how much there is in it.

use std::borrow::Cow;

use serde::Deserialize;
use serde_json::value::RawValue;

use super::super::{Image, Message, Part, Role, ToolCall, ToolResult, native::BadBody};

/// A message as it is written.
#[derive(Deserialize)]
pub(super) struct WireMessage<'a> {
    role: String,
    #[serde(borrow, default)]
    content: Option<&'a RawValue>,
    #[serde(borrow, default)]
    name: Option<&'a RawValue>,
    #[serde(borrow, default)]
    tool_calls: Option<&'a RawValue>,
    #[serde(borrow, default)]
    tool_call_id: Option<&'a RawValue>,
}

/// What a message says.
pub(super) struct Read {
    pub(super) message: Message,
    /// Characters of its text, and of the JSON of everything else in it.
    pub(super) length: usize,
    /// What is in it that a [`Message`] cannot hold. It is no mistake: a provider of this dialect may know better.
    pub(super) beyond: Option<Cow<'static, str>>,
}

#[derive(Deserialize)]
#[serde(tag = "type", rename_all = "snake_case")]
enum WirePart {
    Text { text: String },
    ImageUrl { image_url: WireImage },
}

#[derive(Deserialize)]
struct WireImage {
    url: String,
}

#[derive(Deserialize)]
struct WireCall {
    id: String,
    function: WireFunction,
}

#[derive(Deserialize)]
struct WireFunction {
    name: String,
    arguments: String,
}

impl WireMessage<'_> {
    pub(super) fn read(self) -> Result<Read, BadBody> {
        let role = match self.role.as_str() {
            "system" | "developer" => Role::System,
            "assistant" => Role::Assistant,
            _ => Role::User,
        };
        let mut read = Read { message: Message { role, content: Vec::new() }, length: 0, beyond: None };
        if !matches!(self.role.as_str(), "system" | "developer" | "assistant" | "user" | "tool") {
            read.beyond = Some("messages of another role".into());
        }
        if self.name.is_some() {
            read.beyond = Some("the name of who says a message".into());
        }
        read.content(self.content)?;
        if self.role == "tool" {
            read.as_result(self.tool_call_id);
        }
        if let Some(calls) = self.tool_calls {
            read.calls(calls);
        }
        Ok(read)
    }
}

impl Read {
    fn content(&mut self, content: Option<&RawValue>) -> Result<(), BadBody> {
        let content = content.map_or("null", RawValue::get);
        if let Ok(text) = serde_json::from_str::<Option<String>>(content) {
            self.length += text.as_ref().map_or(0, |text| text.chars().count());
            self.message.content.extend(text.map(Part::Text));
            return Ok(());
        }
        let parts: Vec<&RawValue> = serde_json::from_str(content).map_err(|_| {
            BadBody::new(Some("messages"), "content of messages is neither text nor a list of parts")
        })?;
        for part in parts {
            match serde_json::from_str::<WirePart>(part.get()) {
                Ok(WirePart::Text { text }) => {
                    self.length += text.chars().count();
                    self.message.content.push(Part::Text(text));
                }
                Ok(WirePart::ImageUrl { image_url }) => {
                    self.length += part.get().len();
                    self.message.content.push(Part::Image(image(image_url.url)));
                }
                Err(_) => {
                    self.length += part.get().len();
                    self.beyond = Some("parts other than text and images".into());
                }
            }
        }
        Ok(())
    }

    /// The whole message is what came of a call.
    fn as_result(&mut self, call_id: Option<&RawValue>) {
        let call_id = call_id.and_then(|id| serde_json::from_str::<String>(id.get()).ok());
        let text = self.message.words().into_owned();
        match (call_id, self.message.beyond_text()) {
            (Some(call_id), None) => {
                self.message.content = vec![Part::Result(ToolResult { call_id, text, is_error: false })];
            }
            _ => self.beyond = Some("messages of tools that are not text".into()),
        }
    }

    fn calls(&mut self, calls: &RawValue) {
        self.length += calls.get().len();
        match serde_json::from_str::<Option<Vec<WireCall>>>(calls.get()) {
            Ok(calls) => self.message.content.extend(calls.into_iter().flatten().map(|call| {
                let WireFunction { name, arguments } = call.function;
                Part::Call(ToolCall { id: call.id, name, arguments })
            })),
            Err(_) => self.beyond = Some("calls of tools that are no functions".into()),
        }
    }
}

/// `data:` addresses carry the picture itself (RFC 2397).
pub(super) fn image(url: String) -> Image {
    let data = url.strip_prefix("data:").and_then(|rest| rest.split_once(";base64,"));
    match data {
        Some((media_type, base64)) => {
            Image::Data { media_type: media_type.to_owned(), base64: base64.to_owned() }
        }
        None => Image::Url(url),
    }
}
