//! One message of a caller's request: its text, and how much else there is in it.

use serde::Deserialize;
use serde_json::value::RawValue;

use super::{
    super::{Message, Role},
    body::BadBody,
};

/// A message as it is written.
#[derive(Deserialize)]
pub(super) struct WireMessage<'a> {
    role: String,
    #[serde(borrow, default)]
    content: Option<&'a RawValue>,
}

/// What a message says.
pub(super) struct Said {
    /// Its text.
    pub(super) message: Message,
    /// Characters of its text, and of the JSON of everything else in it.
    pub(super) length: usize,
    /// What is in it besides text.
    pub(super) beyond_text: Option<&'static str>,
}

#[derive(Deserialize)]
struct TextPart {
    #[serde(rename = "type")]
    kind: String,
    text: String,
}

impl WireMessage<'_> {
    pub(super) fn read(self) -> Result<Said, BadBody> {
        let (role, beyond_text) = match self.role.as_str() {
            "system" | "developer" => (Role::System, None),
            "assistant" => (Role::Assistant, None),
            "user" => (Role::User, None),
            _ => (Role::User, Some("messages of tools")),
        };
        let content = self.content.map_or("null", RawValue::get);
        if let Ok(text) = serde_json::from_str::<Option<String>>(content) {
            let content = text.unwrap_or_default();
            let length = content.chars().count();
            return Ok(Said { message: Message { role, content }, length, beyond_text });
        }
        let parts: Vec<&RawValue> = serde_json::from_str(content).map_err(|_| {
            BadBody::new(Some("messages"), "content of messages is neither text nor a list of parts")
        })?;
        let mut said = Said { message: Message { role, content: String::new() }, length: 0, beyond_text };
        let mut texts = Vec::new();
        for part in parts {
            match serde_json::from_str::<TextPart>(part.get()) {
                Ok(part) if part.kind == "text" => {
                    said.length += part.text.chars().count();
                    texts.push(part.text);
                }
                _ => {
                    said.length += part.get().len();
                    said.beyond_text = said.beyond_text.or(Some("parts other than text"));
                }
            }
        }
        said.message.content = texts.join("\n");
        Ok(said)
    }
}
