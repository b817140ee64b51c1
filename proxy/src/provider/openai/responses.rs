//! A caller's request to the Responses API, read into a conversation.
//!
//! Nothing of it is kept after the answer: a request that leans on an earlier one, which the API's own server would remember, is
//! refused. It names answers by identifiers that all tenants of a provider's key could use.

mod input;

use bytes::Bytes;
use serde::Deserialize;
use serde_json::Value;

use super::super::{
    Message, ModelRequest, Parameters, Role, Tool, ToolChoice,
    native::{BadBody, Beyond, Body, NativeRequest, short},
};
use crate::structured::Schema;

/// Fields that are read.
const READ: [&str; 13] = [
    "include",
    "input",
    "instructions",
    "max_output_tokens",
    "model",
    "parallel_tool_calls",
    "stream",
    "temperature",
    "text",
    "tool_choice",
    "tools",
    "top_p",
    "truncation",
];

/// Fields that change nothing of an answer: for the provider's own books, caches and queues, and for the form of a stream.
const HINTS: [&str; 8] = [
    "metadata",
    "prompt_cache_key",
    "prompt_cache_retention",
    "safety_identifier",
    "service_tier",
    "store",
    "stream_options",
    "user",
];

/// Fields that refer to what a server would have kept.
const OF_KEPT_ANSWERS: [&str; 4] = ["previous_response_id", "conversation", "prompt", "background"];

/// May be asked for in vain: there is nothing of the kind in the answers of other APIs.
const ENCRYPTED_REASONING: &str = "reasoning.encrypted_content";

#[derive(Deserialize)]
struct WireTool {
    name: String,
    #[serde(default)]
    description: Option<String>,
    #[serde(default)]
    parameters: Option<Value>,
    #[serde(default)]
    strict: Option<bool>,
}

#[derive(Deserialize)]
struct Kind {
    #[serde(rename = "type")]
    kind: String,
}

#[derive(Deserialize)]
#[serde(untagged)]
enum WireChoice {
    Word(String),
    Named {
        #[serde(rename = "type")]
        kind: String,
        #[serde(default)]
        name: Option<String>,
    },
}

#[derive(Deserialize)]
struct Text {
    #[serde(default)]
    format: Option<Format>,
    #[serde(default)]
    verbosity: Option<Value>,
}

#[derive(Deserialize)]
#[serde(tag = "type", rename_all = "snake_case")]
enum Format {
    Text,
    JsonObject,
    JsonSchema { schema: Value },
}

/// Reads a request.
pub fn parse(body: &Bytes) -> Result<NativeRequest, BadBody> {
    let body = Body::parse(body)?;
    check_kept(&body)?;
    let mut beyond = Beyond(body.unread(&READ, &HINTS));
    let mut messages = Vec::new();
    let mut input_length = body.field("tools").map_or(0, <[u8]>::len);
    if let Some(instructions) = body.get::<String>("instructions")? {
        input_length += instructions.chars().count();
        messages.push(Message::text(Role::System, instructions));
    }
    input_length += input::read(&body, &mut messages, &mut beyond)?;
    if body.get::<String>("truncation")?.is_some_and(|word| word != "disabled") {
        beyond.note("truncation");
    }
    if body.get::<Vec<String>>("include")?.is_some_and(|all| all.iter().any(|one| one != ENCRYPTED_REASONING))
    {
        beyond.note("include");
    }
    let request = ModelRequest {
        messages,
        tools: tools(&body, &mut beyond)?,
        tool_choice: tool_choice(&body, &mut beyond)?,
        parallel_tool_calls: body.get("parallel_tool_calls")?,
        schema: schema(&body, &mut beyond)?,
        parameters: Parameters {
            max_output_tokens: body.get("max_output_tokens")?,
            temperature: body.get("temperature")?,
            top_p: body.get("top_p")?,
            stop: Vec::new(),
            seed: None,
        },
        beyond: beyond.0,
        native: None,
    };
    let (model, stream) = (body.get("model")?, body.get("stream")?.unwrap_or(false));
    Ok(NativeRequest { model, stream, input_length, request })
}

fn check_kept(body: &Body) -> Result<(), BadBody> {
    let said = |name: &&&str| body.field(name).is_some_and(|value| !matches!(value, b"null" | b"false"));
    match OF_KEPT_ANSWERS.iter().find(said) {
        None => Ok(()),
        Some(name) => {
            let message = format!(
                "{name} is not supported: nothing is kept here; send the whole conversation as input"
            );
            Err(BadBody::new(Some(name), message))
        }
    }
}

fn tools(body: &Body, beyond: &mut Beyond) -> Result<Vec<Tool>, BadBody> {
    let mut tools = Vec::new();
    for tool in body.get::<Vec<Value>>("tools")?.unwrap_or_default() {
        let Kind { kind } = Kind::deserialize(&tool)
            .map_err(|_| BadBody::new(Some("tools"), "tools: one of them has no type"))?;
        match WireTool::deserialize(tool) {
            Ok(WireTool { name, description, parameters, strict }) if kind == "function" => {
                tools.push(Tool { name, description, parameters, strict });
            }
            Err(_) if kind == "function" => {
                return Err(BadBody::new(Some("tools"), "tools: a function without a name"));
            }
            _ => beyond.note(format!("the tool {}, which is the provider's own", short(&kind))),
        }
    }
    Ok(tools)
}

fn tool_choice(body: &Body, beyond: &mut Beyond) -> Result<ToolChoice, BadBody> {
    Ok(match body.get::<WireChoice>("tool_choice")? {
        None => ToolChoice::Unsaid,
        Some(WireChoice::Word(word)) if word == "auto" => ToolChoice::Auto,
        Some(WireChoice::Word(word)) if word == "none" => ToolChoice::Forbidden,
        Some(WireChoice::Word(word)) if word == "required" => ToolChoice::Required,
        Some(WireChoice::Named { kind, name: Some(name) }) if kind == "function" => ToolChoice::Named(name),
        Some(WireChoice::Word(_) | WireChoice::Named { .. }) => {
            beyond.note("this tool_choice");
            ToolChoice::Unsaid
        }
    })
}

fn schema(body: &Body, beyond: &mut Beyond) -> Result<Option<Schema>, BadBody> {
    let Some(Text { format, verbosity }) = body.get("text")? else { return Ok(None) };
    if verbosity.is_some_and(|verbosity| verbosity != "medium") {
        beyond.note("text.verbosity");
    }
    let schema = match format {
        None | Some(Format::Text) => return Ok(None),
        Some(Format::JsonObject) => serde_json::json!({"type": "object"}),
        Some(Format::JsonSchema { schema }) => schema,
    };
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
        parse(&Bytes::from(format!(r#"{{"model":"small",{fields}}}"#)))
    }

    fn read(fields: &str) -> ModelRequest {
        parsed(fields).expect("a good body").request
    }

    #[test]
    fn a_text_is_what_the_user_says_after_the_instructions() {
        let request =
            parsed(r#""input":"hello","instructions":"be brief","max_output_tokens":7"#).expect("good");

        assert_eq!(
            request.request.messages,
            [Message::text(Role::System, "be brief"), Message::text(Role::User, "hello")]
        );
        assert_eq!((request.input_length, request.request.output_cap()), (13, Some(7)));
        assert_eq!(request.request.beyond, None);
    }

    #[test]
    fn items_are_read_and_calls_belong_to_what_was_said_before_them() {
        let request = read(
            r#""input":[
                {"role":"developer","content":"be kind"},
                {"type":"message","role":"user","content":[{"type":"input_text","text":"look"},{"type":"input_image","image_url":"data:image/png;base64,AAAA","detail":"auto"}]},
                {"type":"message","role":"assistant","id":"m","status":"completed","content":[{"type":"output_text","text":"I look","annotations":[]}]},
                {"type":"function_call","id":"fc","call_id":"c1","name":"look","arguments":"{}"},
                {"type":"function_call","call_id":"c2","name":"look","arguments":"{\"at\":1}"},
                {"type":"function_call_output","call_id":"c1","output":"a cat"},
                {"type":"function_call_output","call_id":"c2","output":[{"type":"input_text","text":"a dog"}]}]"#,
        );

        let call = |id: &str, arguments: &str| {
            Part::Call(ToolCall { id: id.into(), name: "look".into(), arguments: arguments.into() })
        };
        let result = |id: &str, text: &str| {
            Part::Result(ToolResult { call_id: id.into(), text: text.into(), is_error: false })
        };
        let png = Part::Image(Image::Data { media_type: "image/png".into(), base64: "AAAA".into() });
        assert_eq!(request.beyond, None);
        assert_eq!(
            request.messages,
            [
                Message::text(Role::System, "be kind"),
                Message { role: Role::User, content: vec![Part::Text("look".into()), png] },
                Message {
                    role: Role::Assistant,
                    content: vec![Part::Text("I look".into()), call("c1", "{}"), call("c2", "{\"at\":1}")]
                },
                Message { role: Role::User, content: vec![result("c1", "a cat"), result("c2", "a dog")] },
            ]
        );
    }

    #[test]
    fn tools_and_the_form_of_the_answer_are_read() {
        let request = read(
            r#""input":"x","tools":[{"type":"function","name":"look","parameters":{"type":"object"},"strict":true}],
                "tool_choice":{"type":"function","name":"look"},"parallel_tool_calls":false,
                "text":{"format":{"type":"json_schema","name":"n","schema":{"type":"object"},"strict":true}},
                "include":["reasoning.encrypted_content"],"truncation":"disabled","store":false"#,
        );

        assert_eq!(request.beyond, None);
        assert_eq!((request.tools[0].name.as_str(), request.tools[0].strict), ("look", Some(true)));
        assert_eq!(request.tool_choice, ToolChoice::Named("look".into()));
        assert!(request.schema.is_some());
    }

    #[test]
    fn what_has_no_place_in_a_conversation_is_noted() {
        for (fields, expected) in [
            (
                r#""input":"x","tools":[{"type":"web_search"}]"#,
                "the tool web_search, which is the provider's own",
            ),
            (r#""input":"x","reasoning":{"effort":"low"}"#, "reasoning"),
            (r#""input":"x","text":{"verbosity":"low"}"#, "text.verbosity"),
            (r#""input":"x","truncation":"auto""#, "truncation"),
            (r#""input":"x","include":["file_search_call.results"]"#, "include"),
            (r#""input":[{"type":"reasoning","summary":[]}]"#, "items of type reasoning"),
            (
                r#""input":[{"role":"user","content":[{"type":"input_file","file_id":"f"}]}]"#,
                "parts of type input_file",
            ),
        ] {
            assert_eq!(read(fields).beyond.as_deref(), Some(expected), "{fields}");
        }
    }

    #[test]
    fn what_leans_on_an_earlier_answer_is_refused() {
        for field in [r#""previous_response_id":"resp_1""#, r#""conversation":"c""#, r#""background":true"#] {
            let error = parsed(&format!(r#""input":"x",{field}"#)).expect_err(field);
            assert!(error.to_string().contains("nothing is kept here"), "{error}");
        }
        assert!(parsed(r#""input":"x","previous_response_id":null,"background":false"#).is_ok());
    }

    #[test]
    fn a_mistake_names_its_field() {
        assert_eq!(parsed(r#""stream":true"#).expect_err("no input").to_string(), "input is missing");
        for (fields, param) in [
            (r#""input":7"#, "input"),
            (r#""input":[{"role":"user"}]"#, "input"),
            (r#""input":[{"role":"robot","content":"x"}]"#, "input"),
            (r#""input":"x","tools":[{}]"#, "tools"),
            (r#""input":"x","text":{"format":{"type":"poem"}}"#, "text"),
        ] {
            assert_eq!(parsed(fields).expect_err(fields).param, Some(param), "{fields}");
        }
    }
}
