//! What is said to a model and what it answers, in the dialect of nobody: fronts read into it and write from it, providers the
//! other way round. What it cannot hold is named in [`ModelRequest::beyond`] by the front that met it, and never dropped.

use std::borrow::Cow;

use serde_json::Value;

use super::{anthropic::MessagesBody, native::Native, openai::ChatBody};
use crate::structured::Schema;

/// What a model is asked.
#[derive(Debug, Default)]
pub struct ModelRequest {
    /// The conversation, in order.
    pub messages: Vec<Message>,
    /// What the model may have done for it.
    pub tools: Vec<Tool>,
    /// Whether it is to use them.
    pub tool_choice: ToolChoice,
    /// Whether it may ask for several at once; absent means the provider's default.
    pub parallel_tool_calls: Option<bool>,
    /// What the answer must be an instance of.
    pub schema: Option<Schema>,
    /// How the answer is made.
    pub parameters: Parameters,
    /// What of the caller's request all this cannot say, in the words of the caller's API.
    pub beyond: Option<Cow<'static, str>>,
    /// The caller's own request, sent as it is where the provider speaks its dialect.
    pub native: Option<Native>,
}

impl ModelRequest {
    /// Tokens of the longest answer that is wanted, all choices together; `None` when the request does not say.
    pub fn output_cap(&self) -> Option<u64> {
        let choices = self.chat_body().map_or(1, ChatBody::choices);
        self.parameters.max_output_tokens.map(|cap| u64::from(cap) * u64::from(choices))
    }

    /// The caller's own request, if it is one of chat completions.
    pub fn chat_body(&self) -> Option<&ChatBody> {
        match &self.native {
            Some(Native::Chat(body)) => Some(body),
            Some(Native::Messages(_)) | None => None,
        }
    }

    /// The caller's own request, if it is one of the Messages API.
    pub fn messages_body(&self) -> Option<&MessagesBody> {
        match &self.native {
            Some(Native::Messages(body)) => Some(body),
            Some(Native::Chat(_)) | None => None,
        }
    }
}

/// One message of the conversation.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Message {
    /// Who says it.
    pub role: Role,
    /// What is said.
    pub content: Vec<Part>,
}

impl Message {
    /// A message of words alone.
    pub fn text(role: Role, text: impl Into<String>) -> Self {
        Self { role, content: vec![Part::Text(text.into())] }
    }

    /// Its words, without what else there is in it.
    pub fn words(&self) -> Cow<'_, str> {
        let texts: Vec<&str> = self
            .content
            .iter()
            .filter_map(|part| match part {
                Part::Text(text) => Some(text.as_str()),
                Part::Image(_) | Part::Call(_) | Part::Result(_) => None,
            })
            .collect();
        match texts.as_slice() {
            [one] => Cow::Borrowed(one),
            many => Cow::Owned(many.join("\n")),
        }
    }

    /// What there is in it besides words.
    pub fn beyond_text(&self) -> Option<&'static str> {
        self.content.iter().find_map(|part| match part {
            Part::Text(_) => None,
            Part::Image(_) => Some("images"),
            Part::Call(_) | Part::Result(_) => Some("messages of tools"),
        })
    }
}

/// Who says something.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Role {
    /// The one who set up the conversation.
    System,
    /// The caller, and what the caller had done for the model.
    User,
    /// The model, earlier.
    Assistant,
}

/// A part of a message.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Part {
    /// Words.
    Text(String),
    /// A picture.
    Image(Image),
    /// The model wants something done.
    Call(ToolCall),
    /// What came of it.
    Result(ToolResult),
}

/// A picture.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Image {
    /// Where the provider finds it.
    Url(String),
    /// The picture itself.
    Data {
        /// Such as `image/png`.
        media_type: String,
        /// In base64.
        base64: String,
    },
}

/// Something that the model wants done.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ToolCall {
    /// What the result refers to.
    pub id: String,
    /// Which tool.
    pub name: String,
    /// A JSON object, as the model wrote it.
    pub arguments: String,
}

/// What came of a call.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ToolResult {
    /// Which call.
    pub call_id: String,
    /// In words.
    pub text: String,
    /// It went wrong.
    pub is_error: bool,
}

/// Something that the caller can have done.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Tool {
    /// Its name.
    pub name: String,
    /// What it is for.
    pub description: Option<String>,
    /// JSON schema of its arguments.
    pub parameters: Option<Value>,
    /// The provider is to see to it that arguments satisfy the schema.
    pub strict: Option<bool>,
}

/// Whether a model is to use tools.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub enum ToolChoice {
    /// Nothing was said.
    #[default]
    Unsaid,
    /// As it sees fit.
    Auto,
    /// Not now.
    Forbidden,
    /// At least one.
    Required,
    /// This one.
    Named(String),
}

/// How an answer is made; absent means the provider's default.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Parameters {
    /// Tokens after which the answer is cut.
    pub max_output_tokens: Option<u32>,
    /// How random the answer is.
    pub temperature: Option<f64>,
    /// Share of the likeliest tokens that are considered.
    pub top_p: Option<f64>,
    /// Texts at which the answer ends.
    pub stop: Vec<String>,
    /// Start of the provider's random numbers.
    pub seed: Option<i64>,
}

/// Tokens of one call as the provider reported them.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Usage {
    /// Tokens of the prompt, cached ones included.
    pub input: u64,
    /// Tokens of the answer.
    pub output: u64,
    /// Tokens of the prompt that the provider had seen before.
    pub cached: u64,
}

impl Usage {
    /// The tokens of a text of this many characters when nobody has counted them.
    pub fn estimate(chars: usize) -> u64 {
        u64::try_from(chars / 4).unwrap_or(u64::MAX).max(1)
    }
}

/// A whole answer.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Said {
    /// The model's words.
    pub text: String,
    /// What it wants done.
    pub calls: Vec<ToolCall>,
    /// Why it ended.
    pub finish: Finish,
}

impl Said {
    /// Words alone.
    pub fn words(text: impl Into<String>) -> Self {
        Self { text: text.into(), ..Self::default() }
    }

    /// Characters of all of it.
    pub fn chars(&self) -> usize {
        let calls = self.calls.iter().map(|call| call.name.chars().count() + call.arguments.chars().count());
        self.text.chars().count() + calls.sum::<usize>()
    }
}

/// A piece of an answer as it comes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Piece {
    /// Some of the model's words.
    Text(String),
    /// It begins to say what it wants done.
    Call {
        /// Which of its calls, from 0.
        index: u32,
        /// What the result refers to.
        id: String,
        /// Which tool.
        name: String,
    },
    /// Some of the arguments of a call.
    Arguments {
        /// Which of its calls.
        index: u32,
        /// A piece of JSON text.
        json: String,
    },
}

impl Piece {
    /// Characters in it.
    pub fn chars(&self) -> usize {
        match self {
            Self::Text(text) => text.chars().count(),
            Self::Call { name, .. } => name.chars().count(),
            Self::Arguments { json, .. } => json.chars().count(),
        }
    }
}

/// Why an answer ended.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Finish {
    /// The model had said everything.
    #[default]
    Stop,
    /// It was cut at the cap, or at the end of the context.
    Length,
    /// It waits for what it wants done.
    ToolCalls,
    /// Somebody's filter cut it.
    ContentFilter,
}
