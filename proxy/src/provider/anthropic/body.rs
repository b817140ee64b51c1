//! A caller's own Messages request: read for what we have to know of it, kept to be sent on.

use bytes::Bytes;
use http::HeaderValue;
use serde::Deserialize;
use serde_json::Value;

use super::{
    super::{
        Message, ModelRequest, Parameters, Role, Tool, ToolChoice,
        native::{BadBody, Beyond, Body, Native, NativeRequest, short},
    },
    message::{self, Content, WireMessage},
};
use crate::structured::Schema;

/// Fields that are read.
const READ: [&str; 13] = [
    "max_tokens",
    "messages",
    "model",
    "output_config",
    "output_format",
    "stop_sequences",
    "stream",
    "system",
    "temperature",
    "thinking",
    "tool_choice",
    "tools",
    "top_p",
];

/// Fields that change nothing of an answer: for the provider's own books, caches and queues.
const HINTS: [&str; 3] = ["cache_control", "metadata", "service_tier"];

/// The body itself, to be sent on.
#[derive(Debug)]
pub struct MessagesBody {
    body: Body,
    beta: Option<HeaderValue>,
}

#[derive(Deserialize)]
struct WireTool {
    #[serde(rename = "type")]
    kind: Option<String>,
    name: String,
    #[serde(default)]
    description: Option<String>,
    #[serde(default)]
    input_schema: Option<Value>,
    #[serde(default)]
    strict: Option<bool>,
}

#[derive(Deserialize)]
struct WireChoice {
    #[serde(rename = "type")]
    kind: String,
    #[serde(default)]
    name: Option<String>,
    #[serde(default)]
    disable_parallel_tool_use: Option<bool>,
}

#[derive(Deserialize)]
struct OutputConfig {
    #[serde(default)]
    format: Option<Format>,
    #[serde(default)]
    effort: Option<Value>,
}

#[derive(Deserialize)]
#[serde(tag = "type", rename_all = "snake_case")]
enum Format {
    JsonSchema { schema: Value },
}

#[derive(Deserialize)]
struct Thinking {
    #[serde(rename = "type")]
    kind: String,
}

impl MessagesBody {
    /// Reads a request for an answer. `beta` is the caller's `anthropic-beta` header, which goes where the body goes.
    pub fn parse(body: &Bytes, beta: Option<HeaderValue>) -> Result<NativeRequest, BadBody> {
        let body = Body::parse(body)?;
        // The API has no answers without a bound.
        let max_tokens: u32 = body.require("max_tokens")?;
        read(body, beta, Some(max_tokens))
    }

    /// Reads a request to count the tokens of one.
    pub fn parse_uncapped(body: &Bytes, beta: Option<HeaderValue>) -> Result<NativeRequest, BadBody> {
        read(Body::parse(body)?, beta, None)
    }

    /// The features of the provider that the caller asks for by header.
    pub(super) fn beta(&self) -> Option<&HeaderValue> {
        self.beta.as_ref()
    }

    /// The body for a provider: another model name, else as it came.
    pub(super) fn for_provider(&self, model: &str) -> Bytes {
        self.body.with(&[("model", model.into())])
    }
}

fn read(
    body: Body,
    beta: Option<HeaderValue>,
    max_output_tokens: Option<u32>,
) -> Result<NativeRequest, BadBody> {
    let mut beyond = Beyond(body.unread(&READ, &HINTS));
    if body.get::<Thinking>("thinking")?.is_some_and(|thinking| thinking.kind != "disabled") {
        beyond.note("thinking");
    }
    let (messages, input_length) = conversation(&body, &mut beyond)?;
    let choice: Option<WireChoice> = body.get("tool_choice")?;
    let parallel = choice.as_ref().and_then(|choice| choice.disable_parallel_tool_use).map(|one| !one);
    let request = ModelRequest {
        messages,
        tools: tools(&body, &mut beyond)?,
        tool_choice: choice.map_or(ToolChoice::Unsaid, |choice| tool_choice(choice, &mut beyond)),
        parallel_tool_calls: parallel,
        schema: schema(&body, &mut beyond)?,
        parameters: Parameters {
            max_output_tokens,
            temperature: body.get("temperature")?,
            top_p: body.get("top_p")?,
            stop: body.get("stop_sequences")?.unwrap_or_default(),
            seed: None,
        },
        beyond: beyond.0,
        native: None,
    };
    let (model, stream) = (body.get("model")?, body.get("stream")?.unwrap_or(false));
    let native = Some(Native::Messages(MessagesBody { body, beta }));
    Ok(NativeRequest { model, stream, input_length, request: ModelRequest { native, ..request } })
}

/// What is said, the system prompt first, and the characters of it and of the tools.
fn conversation(body: &Body, beyond: &mut Beyond) -> Result<(Vec<Message>, usize), BadBody> {
    let mut messages = Vec::new();
    let mut length = body.field("tools").map_or(0, <[u8]>::len);
    if let Some(system) = body.get::<&serde_json::value::RawValue>("system")? {
        let Content { parts, length: of_system } = message::content(system, "system", beyond)?;
        length += of_system;
        messages.push(Message { role: Role::System, content: parts });
    }
    for WireMessage { role, content } in body.require::<Vec<WireMessage<'_>>>("messages")? {
        let role = match role.as_ref() {
            "user" => Role::User,
            "assistant" => Role::Assistant,
            "system" => Role::System,
            other => {
                let message = format!("messages have the role user or assistant, not {:?}", short(other));
                return Err(BadBody::new(Some("messages"), message));
            }
        };
        let Content { parts, length: of_message } = message::content(content, "messages", beyond)?;
        length += of_message;
        messages.push(Message { role, content: parts });
    }
    Ok((messages, length))
}

fn tools(body: &Body, beyond: &mut Beyond) -> Result<Vec<Tool>, BadBody> {
    // A tool of the provider's own has other fields than those of the caller's functions.
    let wire: Vec<Value> = body.get("tools")?.unwrap_or_default();
    let mut tools = Vec::with_capacity(wire.len());
    for tool in wire {
        match serde_json::from_value::<WireTool>(tool) {
            Ok(WireTool { kind: None, name, description, input_schema, strict }) => {
                tools.push(Tool { name, description, parameters: input_schema, strict });
            }
            Ok(WireTool { kind: Some(kind), name, description, input_schema, strict })
                if kind == "custom" =>
            {
                tools.push(Tool { name, description, parameters: input_schema, strict });
            }
            Ok(WireTool { kind: Some(kind), .. }) => {
                beyond.note(format!("the tool {}, which is the provider's own", short(&kind)));
            }
            Err(_) => beyond.note("tools that are no functions"),
        }
    }
    Ok(tools)
}

fn tool_choice(choice: WireChoice, beyond: &mut Beyond) -> ToolChoice {
    match (choice.kind.as_str(), choice.name) {
        ("auto", _) => ToolChoice::Auto,
        ("any", _) => ToolChoice::Required,
        ("none", _) => ToolChoice::Forbidden,
        ("tool", Some(name)) => ToolChoice::Named(name),
        _ => {
            beyond.note("this tool_choice");
            ToolChoice::Unsaid
        }
    }
}

/// The schema of the answer, at its place or at the one that it had while the feature was new.
fn schema(body: &Body, beyond: &mut Beyond) -> Result<Option<Schema>, BadBody> {
    let config: Option<OutputConfig> = body.get("output_config")?;
    let (format, effort) = config.map_or((None, None), |config| (config.format, config.effort));
    if effort.is_some() {
        beyond.note("output_config.effort");
    }
    let format = match format {
        Some(format) => Some(format),
        None => body.get("output_format")?,
    };
    let Some(Format::JsonSchema { schema }) = format else { return Ok(None) };
    Ok(match Schema::from_value(schema) {
        Ok(schema) => Some(schema),
        Err(invalid) => {
            beyond.note(format!("a schema that is not valid: {invalid}"));
            None
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::provider::{Image, Part, ToolCall, ToolResult};

    fn parsed(fields: &str) -> Result<NativeRequest, BadBody> {
        let body = format!(r#"{{"model":"small","max_tokens":10,{fields}}}"#);
        MessagesBody::parse(&Bytes::from(body), None)
    }

    fn read(fields: &str) -> ModelRequest {
        parsed(fields).expect("a good body").request
    }

    #[test]
    fn everything_but_the_model_is_sent_on_as_it_was_written() {
        let fields = r#""messages":[{"role":"user","content":[{"type":"text","text":"\u0061","cache_control":{"type":"ephemeral"}}]}],"thinking":{"type":"enabled","budget_tokens":1024}"#;

        let request = read(fields);

        let sent = request.messages_body().expect("kept").for_provider("claude-x");
        assert_eq!(sent, format!(r#"{{"model":"claude-x","max_tokens":10,{fields}}}"#));
        assert_eq!(request.output_cap(), Some(10));
    }

    #[test]
    fn what_is_said_is_read_in_every_form() {
        let request = parsed(
            r#""system":[{"type":"text","text":"be "},{"type":"text","text":"kind"}],"messages":[
                {"role":"user","content":"hi"},
                {"role":"assistant","content":[{"type":"text","text":"yes"},{"type":"tool_use","id":"t","name":"look","input":{"at": 1}}]},
                {"role":"user","content":[{"type":"tool_result","tool_use_id":"t","content":[{"type":"text","text":"a cat"}],"is_error":true},
                    {"type":"image","source":{"type":"base64","media_type":"image/png","data":"AAAA"}},
                    {"type":"image","source":{"type":"url","url":"https://pictures.test/1"}}]}]"#,
        )
        .expect("a good body");

        let messages = request.request.messages;
        assert_eq!(request.request.beyond, None);
        assert_eq!((messages[0].role, messages[0].words().as_ref()), (Role::System, "be \nkind"));
        assert_eq!(messages[1], Message::text(Role::User, "hi"));
        let call = ToolCall { id: "t".into(), name: "look".into(), arguments: r#"{"at": 1}"#.into() };
        assert_eq!(messages[2].content, [Part::Text("yes".into()), Part::Call(call)]);
        let result = ToolResult { call_id: "t".into(), text: "a cat".into(), is_error: true };
        let png = Image::Data { media_type: "image/png".into(), base64: "AAAA".into() };
        let other = Image::Url("https://pictures.test/1".into());
        assert_eq!(messages[3].content, [Part::Result(result), Part::Image(png), Part::Image(other)]);
        assert!(request.input_length > "be kindhiyesa cat".len(), "{}", request.input_length);
    }

    #[test]
    fn tools_and_the_choice_among_them_are_read() {
        let tools = r#""messages":[],"tools":[{"name":"look","description":"looks","input_schema":{"type":"object"},"cache_control":{"type":"ephemeral"}},{"type":"custom","name":"wait"}]"#;
        let request = read(&format!(
            r#"{tools},"tool_choice":{{"type":"tool","name":"look","disable_parallel_tool_use":true}}"#
        ));

        assert_eq!(request.beyond, None);
        let names: Vec<_> = request.tools.iter().map(|tool| tool.name.as_str()).collect();
        assert_eq!(names, ["look", "wait"]);
        assert_eq!(request.tool_choice, ToolChoice::Named("look".into()));
        assert_eq!(request.parallel_tool_calls, Some(false));
        for (choice, expected) in
            [("auto", ToolChoice::Auto), ("any", ToolChoice::Required), ("none", ToolChoice::Forbidden)]
        {
            assert_eq!(
                read(&format!(r#"{tools},"tool_choice":{{"type":"{choice}"}}"#)).tool_choice,
                expected
            );
        }
    }

    #[test]
    fn the_schema_of_the_answer_is_read_at_both_its_places() {
        let format = r#"{"type":"json_schema","schema":{"type":"object"}}"#;
        for fields in [
            format!(r#""messages":[],"output_config":{{"format":{format}}}"#),
            format!(r#""messages":[],"output_format":{format}"#),
        ] {
            let request = read(&fields);
            assert!(request.schema.is_some() && request.beyond.is_none(), "{fields}");
        }
    }

    #[test]
    fn what_only_this_dialect_can_say_is_noted() {
        let block = |block: &str| format!(r#""messages":[{{"role":"user","content":[{block}]}}]"#);
        for (fields, expected) in [
            (r#""messages":[],"top_k":3"#.to_owned(), "top_k"),
            (r#""messages":[],"thinking":{"type":"adaptive"}"#.to_owned(), "thinking"),
            (r#""messages":[],"output_config":{"effort":"low"}"#.to_owned(), "output_config.effort"),
            (
                r#""messages":[],"tools":[{"type":"web_search_20250305","name":"web_search"}]"#.to_owned(),
                "the tool web_search_20250305, which is the provider's own",
            ),
            (block(r#"{"type":"thinking","thinking":"","signature":"x"}"#), "blocks of type thinking"),
            (block(r#"{"type":"document","source":{}}"#), "blocks of type document"),
            (
                block(r#"{"type":"image","source":{"type":"file","file_id":"f"}}"#),
                "a block of type image in this form",
            ),
            (
                block(r#"{"type":"tool_result","tool_use_id":"t","content":[{"type":"image"}]}"#),
                "results of tools that are not text",
            ),
        ] {
            assert_eq!(read(&fields).beyond.as_deref(), Some(expected), "{fields}");
        }
        for fields in
            [r#""messages":[],"metadata":{"user_id":"u"}"#, r#""messages":[],"thinking":{"type":"disabled"}"#]
        {
            assert_eq!(read(fields).beyond, None, "{fields}");
        }
    }

    #[test]
    fn a_mistake_names_its_field() {
        let refused = |fields: &str| {
            let error = parsed(fields).expect_err(fields);
            (error.param, error.to_string())
        };
        let uncapped = MessagesBody::parse(&Bytes::from_static(br#"{"messages":[]}"#), None);

        assert_eq!(uncapped.expect_err("refused").to_string(), "max_tokens is missing");
        assert_eq!(refused(r#""system":"x""#), (Some("messages"), "messages is missing".to_owned()));
        assert_eq!(refused(r#""messages":[],"stream":"yes""#).0, Some("stream"));
        assert_eq!(refused(r#""messages":[{"role":"user","content":7}]"#).0, Some("messages"));
        assert_eq!(
            refused(r#""messages":[{"role":"tool","content":"x"}]"#).1,
            "messages have the role user or assistant, not \"tool\""
        );
    }
}
