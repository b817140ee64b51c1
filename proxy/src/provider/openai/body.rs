//! A caller's own chat completions request: read for what we have to know of it, kept to be sent on.

use bytes::Bytes;
use serde::Deserialize;
use serde_json::{Map, Value};

use super::{
    super::{
        ModelRequest, Parameters,
        native::{BadBody, Beyond, Body, Native, NativeRequest},
    },
    message::{Read, WireMessage},
    tools,
};
use crate::structured::{InvalidSchema, Schema};

/// The body itself, to be sent on.
#[derive(Debug)]
pub struct ChatBody {
    body: Body,
    wants_usage: bool,
    choices: u32,
}

impl ChatBody {
    /// Reads a request.
    pub fn parse(body: &Bytes) -> Result<NativeRequest, BadBody> {
        let body = Body::parse(body)?;
        let messages: Vec<WireMessage<'_>> = body.require("messages")?;
        let options: Option<StreamOptions> = body.get("stream_options")?;
        let choices = body.get("n")?.unwrap_or(1);
        let mut input_length = body.field("tools").map_or(0, <[u8]>::len);
        let mut beyond = Beyond(body.unread(&tools::READ, &tools::HINTS));
        if choices != 1 {
            beyond.note("more than one choice");
        }
        let schema = schema(&body)?.transpose().unwrap_or_else(|invalid| {
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
            tools: beyond.unless(tools::tools(body.field("tools"))),
            tool_choice: beyond.unless(tools::tool_choice(body.field("tool_choice"))),
            parallel_tool_calls: body.get("parallel_tool_calls")?,
            schema,
            parameters: parameters(&body)?,
            beyond: beyond.0,
            native: None,
        };
        let (model, stream) = (body.get("model")?, body.get("stream")?.unwrap_or(false));
        let wants_usage = options.and_then(|options| options.include_usage).unwrap_or(false);
        let native = Some(Native::Chat(Self { body, wants_usage, choices }));
        Ok(NativeRequest { model, stream, input_length, request: ModelRequest { native, ..request } })
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
        let model = ("model", Value::from(model));
        if stream {
            self.body.with(&[model, ("stream_options", self.options_with_usage())])
        } else {
            self.body.with(&[model])
        }
    }

    fn options_with_usage(&self) -> Value {
        let given = self.body.field("stream_options");
        let mut options: Map<String, Value> =
            given.and_then(|value| serde_json::from_slice(value).ok()).unwrap_or_default();
        options.insert("include_usage".to_owned(), Value::Bool(true));
        Value::Object(options)
    }
}

/// The schema of the answer. One that we cannot read is no mistake here: a provider of this dialect may know better.
fn schema(body: &Body) -> Result<Option<Result<Schema, InvalidSchema>>, BadBody> {
    Ok(match body.get::<ResponseFormat>("response_format")? {
        None | Some(ResponseFormat::Text) => None,
        Some(ResponseFormat::JsonObject) => Some(Schema::from_value(serde_json::json!({"type": "object"}))),
        Some(ResponseFormat::JsonSchema { json_schema }) => Some(Schema::from_value(json_schema.schema)),
    })
}

fn parameters(body: &Body) -> Result<Parameters, BadBody> {
    let stop = match body.get::<OneOrMany>("stop")? {
        None => Vec::new(),
        Some(OneOrMany::One(one)) => vec![one],
        Some(OneOrMany::Many(many)) => many,
    };
    Ok(Parameters {
        max_output_tokens: match body.get("max_completion_tokens")? {
            Some(cap) => Some(cap),
            None => body.get("max_tokens")?,
        },
        temperature: body.get("temperature")?,
        top_p: body.get("top_p")?,
        stop,
        seed: body.get("seed")?,
    })
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

#[cfg(test)]
mod tests {
    use std::borrow::Cow;

    use super::*;
    use crate::provider::{Message, Part, Role, ToolCall, ToolChoice, ToolResult};

    fn parsed(body: &str) -> Result<NativeRequest, BadBody> {
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

        let sent = request.request.chat_body().expect("kept").for_provider("big \"1\"", false);
        let expected = r#"{"messages":[{"role":"user", "content":"\u0061"}],"model":"big \"1\"","x_new":{"b": 1.0, "a":1e2}}"#;
        assert_eq!(sent, expected);
    }

    #[test]
    fn a_stream_is_made_to_tell_its_usage() {
        let request =
            parsed(r#"{"messages":[],"stream":true,"stream_options":{"include_usage":false,"x":1}}"#)
                .expect("a good body");

        assert!(request.stream);
        let body = request.request.chat_body().expect("kept");
        assert!(!body.wants_usage());
        let sent = body.for_provider("m", true);
        let expected =
            r#"{"messages":[],"stream":true,"stream_options":{"include_usage":true,"x":1},"model":"m"}"#;
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
