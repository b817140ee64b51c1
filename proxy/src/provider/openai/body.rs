//! A caller's own chat completions request.
//!
//! What we have to know of it is read out; all of it is kept, value for value, to be sent on with another model name. No
//! field of it chooses a provider, an address or a key.

use std::{borrow::Cow, fmt};

use bytes::{BufMut, Bytes, BytesMut};
use serde::{
    Deserialize, Deserializer,
    de::{Error as _, MapAccess, Visitor},
};
use serde_json::{Map, Value, value::RawValue};
use thiserror::Error;

use super::{
    super::{ModelRequest, Parameters},
    message::{Read, WireMessage},
    tools,
};
use crate::structured::{InvalidSchema, Schema};

/// Why a body is not a chat completions request.
#[derive(Debug, Error, PartialEq, Eq)]
#[error("{message}")]
pub struct BadBody {
    /// The field that is wrong.
    pub param: Option<&'static str>,
    message: String,
}

/// What a caller asks for.
#[derive(Debug)]
pub struct ChatRequest {
    /// The model, if one is named.
    pub model: Option<String>,
    /// Whether the answer is wanted as a stream.
    pub stream: bool,
    /// Characters of the prompt; of parts that are not text and of tools, the characters of their JSON.
    pub input_length: usize,
    /// The request, with the body it was read from.
    pub request: ModelRequest,
}

/// The body itself, to be sent on.
#[derive(Debug)]
pub struct ChatBody {
    /// Top-level fields in their order, each value as it was written.
    fields: Vec<(String, Bytes)>,
    wants_usage: bool,
    choices: u32,
}

impl ChatBody {
    /// Reads a request.
    pub fn parse(body: &Bytes) -> Result<ChatRequest, BadBody> {
        let text = std::str::from_utf8(body).map_err(|_| BadBody::new(None, "the body is not UTF-8"))?;
        let Fields(fields) = serde_json::from_str(text).map_err(|error| {
            let place = format!("line {}, column {}", error.line(), error.column());
            BadBody::new(None, format!("the body is not a JSON object without repeated keys ({place})"))
        })?;
        let field = |name: &'static str| fields.iter().find(|(key, _)| key == name).map(|(_, value)| *value);
        let read = Reader { field: &field };
        let messages: Vec<WireMessage<'_>> =
            read.get("messages")?.ok_or_else(|| BadBody::new(Some("messages"), "messages is missing"))?;
        let options: Option<StreamOptions> = read.get("stream_options")?;
        let mut input_length = field("tools").map_or(0, |tools| tools.get().len());
        let choices = read.get("n")?.unwrap_or(1);
        let said = fields.iter().map(|(name, value)| (name.as_str(), value.get()));
        let mut beyond = Beyond(tools::unread(said));
        if choices != 1 {
            beyond.note("more than one choice");
        }
        let schema = read.schema()?.transpose().unwrap_or_else(|invalid| {
            beyond.note(format!("a schema that is not valid: {invalid}"));
            None
        });
        let mut prompt = Vec::with_capacity(messages.len());
        for message in messages {
            let Read { message, length, beyond: in_message } = message.read()?;
            input_length += length;
            beyond.0 = beyond.0.or(in_message);
            prompt.push(message);
        }
        let request = ModelRequest {
            messages: prompt,
            tools: beyond.unless(tools::tools(field("tools"))),
            tool_choice: beyond.unless(tools::tool_choice(field("tool_choice"))),
            parallel_tool_calls: read.get("parallel_tool_calls")?,
            schema,
            parameters: read.parameters()?,
            beyond: beyond.0,
            chat_body: None,
        };
        let chat_body = Self {
            fields: fields
                .iter()
                .map(|(key, value)| (key.clone(), body.slice_ref(value.get().as_bytes())))
                .collect(),
            wants_usage: options.and_then(|options| options.include_usage).unwrap_or(false),
            choices,
        };
        Ok(ChatRequest {
            model: read.get("model")?,
            stream: read.get("stream")?.unwrap_or(false),
            input_length,
            request: ModelRequest { chat_body: Some(chat_body), ..request },
        })
    }

    /// Whether the caller of a stream asked for the event with the usage.
    pub fn wants_usage(&self) -> bool {
        self.wants_usage
    }

    /// How many answers are wanted.
    pub fn choices(&self) -> u32 {
        self.choices
    }

    /// The body for a provider: another model name and, for a stream, the usage asked for; else as it came.
    pub(super) fn for_provider(&self, model: &str, stream: bool) -> Bytes {
        let mut parts: Vec<(&str, Bytes)> = Vec::with_capacity(self.fields.len() + 2);
        parts.push(("model", json(&Value::from(model))));
        for (key, value) in &self.fields {
            match key.as_str() {
                "model" => {}
                "stream_options" if stream => {}
                key => parts.push((key, value.clone())),
            }
        }
        if stream {
            parts.push(("stream_options", json(&self.options_with_usage())));
        }
        let mut body = BytesMut::new();
        for (index, (key, value)) in parts.iter().enumerate() {
            body.put_u8(if index == 0 { b'{' } else { b',' });
            body.put(json(&Value::from(*key)));
            body.put_u8(b':');
            body.put(value.clone());
        }
        body.put_u8(b'}');
        body.freeze()
    }

    fn options_with_usage(&self) -> Value {
        let given = self.fields.iter().find(|(key, _)| key == "stream_options");
        let mut options: Map<String, Value> =
            given.and_then(|(_, value)| serde_json::from_slice(value).ok()).unwrap_or_default();
        options.insert("include_usage".to_owned(), Value::Bool(true));
        Value::Object(options)
    }
}

fn json(value: &Value) -> Bytes {
    value.to_string().into()
}

/// The first thing that no [`ModelRequest`] can say.
struct Beyond(Option<Cow<'static, str>>);

impl Beyond {
    fn note(&mut self, what: impl Into<Cow<'static, str>>) {
        self.0.get_or_insert(what.into());
    }

    fn unless<T: Default>(&mut self, read: Result<T, Cow<'static, str>>) -> T {
        read.unwrap_or_else(|what| {
            self.note(what);
            T::default()
        })
    }
}

/// Top-level fields. A repeated key is refused: which one counts depends on who reads it.
struct Fields<'a>(Vec<(String, &'a RawValue)>);

impl<'de: 'a, 'a> Deserialize<'de> for Fields<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct FieldsVisitor;
        impl<'de> Visitor<'de> for FieldsVisitor {
            type Value = Fields<'de>;

            fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
                formatter.write_str("an object")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
                let mut fields: Vec<(String, &RawValue)> = Vec::new();
                while let Some((key, value)) = map.next_entry::<String, &RawValue>()? {
                    if fields.iter().any(|(known, _)| *known == key) {
                        return Err(A::Error::custom("repeated key"));
                    }
                    fields.push((key, value));
                }
                Ok(Fields(fields))
            }
        }
        deserializer.deserialize_map(FieldsVisitor)
    }
}

/// Typed access to the fields.
struct Reader<'r, 'a> {
    field: &'r dyn Fn(&'static str) -> Option<&'a RawValue>,
}

impl<'a> Reader<'_, 'a> {
    /// A field; null is as if absent.
    fn get<T: Deserialize<'a>>(&self, name: &'static str) -> Result<Option<T>, BadBody> {
        let Some(value) = (self.field)(name) else { return Ok(None) };
        serde_json::from_str(value.get())
            .map_err(|_| BadBody::new(Some(name), format!("{name} is not of the right type")))
    }

    /// The schema of the answer. One that we cannot read is no mistake here: a provider of this dialect may know better.
    fn schema(&self) -> Result<Option<Result<Schema, InvalidSchema>>, BadBody> {
        Ok(match self.get::<ResponseFormat>("response_format")? {
            None | Some(ResponseFormat::Text) => None,
            Some(ResponseFormat::JsonObject) => {
                Some(Schema::from_value(serde_json::json!({"type": "object"})))
            }
            Some(ResponseFormat::JsonSchema { json_schema }) => Some(Schema::from_value(json_schema.schema)),
        })
    }

    fn parameters(&self) -> Result<Parameters, BadBody> {
        let stop = match self.get::<OneOrMany>("stop")? {
            None => Vec::new(),
            Some(OneOrMany::One(one)) => vec![one],
            Some(OneOrMany::Many(many)) => many,
        };
        Ok(Parameters {
            max_output_tokens: match self.get("max_completion_tokens")? {
                Some(cap) => Some(cap),
                None => self.get("max_tokens")?,
            },
            temperature: self.get("temperature")?,
            top_p: self.get("top_p")?,
            stop,
            seed: self.get("seed")?,
        })
    }
}

#[derive(Deserialize)]
#[serde(tag = "type", rename_all = "snake_case")]
enum ResponseFormat {
    Text,
    JsonObject,
    JsonSchema { json_schema: NamedSchema },
}

#[derive(Deserialize)]
struct NamedSchema {
    schema: Value,
}

#[derive(Deserialize)]
struct StreamOptions {
    include_usage: Option<bool>,
}

#[derive(Deserialize)]
#[serde(untagged)]
enum OneOrMany {
    One(String),
    Many(Vec<String>),
}

impl BadBody {
    pub(super) fn new(param: Option<&'static str>, message: impl Into<String>) -> Self {
        Self { param, message: message.into() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::provider::{Message, Part, Role, ToolCall, ToolChoice, ToolResult};

    fn parsed(body: &str) -> Result<ChatRequest, BadBody> {
        ChatBody::parse(&Bytes::copy_from_slice(body.as_bytes()))
    }

    fn refused(body: &str) -> (Option<&'static str>, String) {
        let error = parsed(body).expect_err("refused");
        (error.param, error.to_string())
    }

    #[test]
    fn everything_but_the_model_is_sent_on_as_it_was_written() {
        let body = r#"{ "messages":[{"role":"user", "content":"\u0061"}],"model":"small", "x_new": {"b": 1.0, "a":1e2} }"#;

        let request = parsed(body).expect("a good body");

        let sent = request.request.chat_body.as_ref().expect("kept").for_provider("big \"1\"", false);
        let expected = r#"{"model":"big \"1\"","messages":[{"role":"user", "content":"\u0061"}],"x_new":{"b": 1.0, "a":1e2}}"#;
        assert_eq!(sent, expected);
    }

    #[test]
    fn a_stream_is_made_to_tell_its_usage() {
        let request =
            parsed(r#"{"messages":[],"stream":true,"stream_options":{"include_usage":false,"x":1}}"#)
                .expect("a good body");

        assert!(request.stream);
        let body = request.request.chat_body.expect("kept");
        assert!(!body.wants_usage());
        let sent = body.for_provider("m", true);
        let expected =
            r#"{"model":"m","messages":[],"stream":true,"stream_options":{"include_usage":true,"x":1}}"#;
        assert_eq!(sent, expected);
    }

    #[test]
    fn text_is_read_from_every_form_of_content() {
        let request = parsed(
            r#"{"messages":[{"role":"developer","content":[{"type":"text","text":"a"},{"type":"text","text":"b"}]},
                {"role":"assistant","content":null},{"role":"user","content":"cd"}]}"#,
        )
        .expect("a good body");

        let said: Vec<_> = request.request.messages.iter().map(|one| (one.role, one.words())).collect();
        assert_eq!(
            said,
            [(Role::System, "a\nb".into()), (Role::Assistant, "".into()), (Role::User, "cd".into())]
        );
        assert_eq!(request.input_length, 4);
        assert_eq!(request.request.beyond, None);
    }

    #[test]
    fn what_is_not_text_is_counted_and_noted() {
        let image = r#"{"type":"image_url","image_url":{"url":"data:"}}"#;
        let request =
            parsed(&format!(r#"{{"messages":[{{"role":"user","content":[{image}]}}]}}"#)).expect("good");

        assert_eq!(request.input_length, image.len());
        assert_eq!(request.request.messages[0].beyond_text(), Some("images"));
    }

    #[test]
    fn a_mistake_names_its_field() {
        assert_eq!(refused(r#"{"model":"m"}"#), (Some("messages"), "messages is missing".to_owned()));
        assert_eq!(refused(r#"{"messages":[],"stream":"yes"}"#).0, Some("stream"));
        assert_eq!(refused(r#"{"messages":[{"role":"user","content":7}]}"#).0, Some("messages"));
        assert_eq!(
            refused(r#"{"messages":[],"response_format":{"type":"poem"}}"#).0,
            Some("response_format")
        );
    }

    #[test]
    fn a_schema_that_we_cannot_read_is_left_to_the_provider() {
        let schema = r#"{"type":"json_schema","json_schema":{"schema":{"contains":true}}}"#;
        let request = parsed(&format!(r#"{{"messages":[],"response_format":{schema}}}"#)).expect("good");

        assert!(request.request.schema.is_none());
        assert_eq!(
            request.request.beyond.as_deref(),
            Some("a schema that is not valid: /contains: this keyword is not supported")
        );
    }

    #[test]
    fn a_repeated_key_is_refused() {
        let (param, message) = refused(r#"{"model":"small","messages":[],"model":"large"}"#);

        assert_eq!(param, None);
        assert!(message.starts_with("the body is not a JSON object without repeated keys"), "{message}");
    }

    #[test]
    fn what_is_done_with_tools_is_read() {
        let request = parsed(
            r#"{"messages":[{"role":"user","content":"?"},
                {"role":"assistant","content":null,"tool_calls":[{"id":"c","type":"function","function":{"name":"f","arguments":"{}"}}]},
                {"role":"tool","tool_call_id":"c","content":"42"}],
                "tools":[{"type":"function","function":{"name":"f","parameters":{"type":"object"}}}],
                "tool_choice":{"type":"function","function":{"name":"f"}},"parallel_tool_calls":false}"#,
        )
        .expect("a good body")
        .request;

        assert_eq!(request.beyond, None);
        let call = ToolCall { id: "c".into(), name: "f".into(), arguments: "{}".into() };
        assert_eq!(request.messages[1].content, [Part::Call(call)]);
        let result = ToolResult { call_id: "c".into(), text: "42".into(), is_error: false };
        assert_eq!(request.messages[2], Message { role: Role::User, content: vec![Part::Result(result)] });
        assert_eq!(request.tools[0].name, "f");
        assert_eq!(request.tool_choice, ToolChoice::Named("f".into()));
        assert_eq!(request.parallel_tool_calls, Some(false));
    }

    #[test]
    fn the_first_thing_that_only_this_dialect_can_say_is_noted() {
        let noted = |field: &str| {
            let request = parsed(&format!(r#"{{"messages":[],{field}}}"#)).expect("a good body").request;
            request.beyond.map(Cow::into_owned)
        };

        for (field, expected) in [
            (r#""logit_bias":{"1":2}"#, "logit_bias"),
            (r#""logprobs":true"#, "logprobs"),
            (r#""n":2"#, "more than one choice"),
            (r#""tools":[{"type":"custom","custom":{}}]"#, "tools that are no functions"),
            (r#""tool_choice":{"type":"allowed_tools"}"#, "this tool_choice"),
        ] {
            assert_eq!(noted(field).as_deref(), Some(expected), "{field}");
        }
        for field in [r#""logprobs":false"#, r#""user":"bob""#, r#""frequency_penalty":0.0"#, r#""n":1"#] {
            assert_eq!(noted(field), None, "{field}");
        }
    }
}
