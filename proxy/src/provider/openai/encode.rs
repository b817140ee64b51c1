//! A prompt -> the body of a chat completions request.

use bytes::Bytes;
use serde::Serialize;
use serde_json::Value;

use super::{
    super::{ModelRequest, Parameters, ProviderError, ToolChoice},
    wire::{self, WireMessage, WireTool},
};

/// Name that the dialect wants for a schema; it has no meaning.
const SCHEMA_NAME: &str = "answer";

/// Where OpenAI itself answers.
const OPENAI_HOST: &str = "api.openai.com";

/// How the cap on the answer's length is spelled. `max_tokens` is the one that every compatible server knows; OpenAI has
/// deprecated it, and its reasoning models refuse it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum OutputCap {
    MaxTokens,
    MaxCompletionTokens,
}

impl OutputCap {
    pub(super) fn of_host(host: &str) -> Self {
        if host == OPENAI_HOST { Self::MaxCompletionTokens } else { Self::MaxTokens }
    }
}

#[derive(Serialize)]
struct Body<'a> {
    model: &'a str,
    messages: Vec<WireMessage<'a>>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    tools: Vec<WireTool<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    tool_choice: Option<WireChoice<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    parallel_tool_calls: Option<bool>,
    #[serde(skip_serializing_if = "Option::is_none")]
    response_format: Option<ResponseFormat<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    max_tokens: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    max_completion_tokens: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    temperature: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    top_p: Option<f64>,
    #[serde(skip_serializing_if = "<[String]>::is_empty")]
    stop: &'a [String],
    #[serde(skip_serializing_if = "Option::is_none")]
    seed: Option<i64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    stream: Option<bool>,
    #[serde(skip_serializing_if = "Option::is_none")]
    stream_options: Option<StreamOptions>,
}

#[derive(Serialize)]
#[serde(untagged)]
enum WireChoice<'a> {
    Word(&'static str),
    Named {
        #[serde(rename = "type")]
        kind: &'static str,
        function: Name<'a>,
    },
}

#[derive(Serialize)]
struct Name<'a> {
    name: &'a str,
}

/// Not `strict`: that mode refuses schemas with optional properties, such as those of the vibectl client. The answer is
/// checked here in any case.
#[derive(Serialize)]
#[serde(tag = "type", rename_all = "snake_case")]
enum ResponseFormat<'a> {
    JsonSchema { json_schema: NamedSchema<'a> },
}

#[derive(Serialize)]
struct NamedSchema<'a> {
    name: &'static str,
    schema: &'a Value,
}

#[derive(Serialize)]
struct StreamOptions {
    include_usage: bool,
}

/// The request that asks `model` for an answer, as a stream with its usage at the end or as a whole.
pub(super) fn encode(
    model: &str,
    request: &ModelRequest,
    stream: bool,
    output_cap: OutputCap,
) -> Result<Bytes, ProviderError> {
    let Parameters { max_output_tokens, temperature, top_p, stop, seed } = &request.parameters;
    if let Some(beyond) = &request.beyond {
        return Err(ProviderError::inexpressible(beyond));
    }
    let cap = |spelling| max_output_tokens.filter(|_| output_cap == spelling);
    let body = Body {
        model,
        messages: request.messages.iter().flat_map(wire::messages).collect(),
        tools: request.tools.iter().map(WireTool::of).collect(),
        tool_choice: tool_choice(&request.tool_choice),
        parallel_tool_calls: request.parallel_tool_calls,
        response_format: request.schema.as_ref().map(|schema| ResponseFormat::JsonSchema {
            json_schema: NamedSchema { name: SCHEMA_NAME, schema: schema.source() },
        }),
        max_tokens: cap(OutputCap::MaxTokens),
        max_completion_tokens: cap(OutputCap::MaxCompletionTokens),
        temperature: *temperature,
        top_p: *top_p,
        stop,
        seed: *seed,
        stream: stream.then_some(true),
        stream_options: stream.then_some(StreamOptions { include_usage: true }),
    };
    let body =
        serde_json::to_vec(&body).map_err(|_| ProviderError::bad_answer("the request cannot be encoded"))?;
    Ok(body.into())
}

fn tool_choice(choice: &ToolChoice) -> Option<WireChoice<'_>> {
    Some(match choice {
        ToolChoice::Unsaid => return None,
        ToolChoice::Auto => WireChoice::Word("auto"),
        ToolChoice::Forbidden => WireChoice::Word("none"),
        ToolChoice::Required => WireChoice::Word("required"),
        ToolChoice::Named(name) => WireChoice::Named { kind: "function", function: Name { name } },
    })
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::{
        provider::{Image, Message, Part, Role, Tool, ToolCall, ToolResult},
        structured::Schema,
    };

    fn encoded(request: &ModelRequest, stream: bool, host: &str) -> String {
        let body = encode("m-1", request, stream, OutputCap::of_host(host)).expect("encodable");
        let body: Value = serde_json::from_slice(&body).expect("JSON");
        serde_json::to_string_pretty(&body).expect("JSON") + "\n"
    }

    fn say(role: Role, content: &str) -> Message {
        Message::text(role, content)
    }

    #[test]
    fn a_plain_prompt_is_sent_without_anything_else() {
        let request = ModelRequest { messages: vec![say(Role::User, "hello")], ..ModelRequest::default() };

        assert_eq!(
            encoded(&request, false, "model.test"),
            include_str!("../../../tests/golden/openai/plain.request.json")
        );
    }

    #[test]
    fn a_stream_asks_for_its_usage_and_everything_said_is_sent() {
        let request = ModelRequest {
            messages: vec![
                say(Role::System, "be brief"),
                say(Role::User, "hello"),
                say(Role::Assistant, "hi"),
                say(Role::User, "who are you?"),
            ],
            schema: Some(
                Schema::from_value(json!({"type": "object", "properties": {"name": {"type": "string"}}}))
                    .expect("a good schema"),
            ),
            parameters: Parameters {
                max_output_tokens: Some(100),
                temperature: Some(0.5),
                top_p: Some(0.9),
                stop: vec!["END".to_owned()],
                seed: Some(7),
            },
            ..ModelRequest::default()
        };

        assert_eq!(
            encoded(&request, true, "model.test"),
            include_str!("../../../tests/golden/openai/full.request.json")
        );
    }

    #[test]
    fn openai_itself_gets_the_cap_under_its_newer_name() {
        let parameters = Parameters { max_output_tokens: Some(5), ..Parameters::default() };
        let request = ModelRequest { parameters, ..ModelRequest::default() };

        assert!(encoded(&request, false, "api.openai.com").contains("\"max_completion_tokens\": 5"));
        assert!(encoded(&request, false, "llama.ai.svc").contains("\"max_tokens\": 5"));
    }

    #[test]
    fn tools_their_results_and_pictures_are_sent() {
        let call = ToolCall { id: "c1".into(), name: "look".into(), arguments: "{\"at\":1}".into() };
        let result = ToolResult { call_id: "c1".into(), text: "a cat".into(), is_error: false };
        let png = Image::Data { media_type: "image/png".into(), base64: "AAAA".into() };
        let request = ModelRequest {
            messages: vec![
                Message { role: Role::User, content: vec![Part::Text("what?".into()), Part::Image(png)] },
                Message { role: Role::Assistant, content: vec![Part::Call(call)] },
                Message {
                    role: Role::User,
                    content: vec![Part::Result(result), Part::Text("and now?".into())],
                },
            ],
            tools: vec![Tool {
                name: "look".into(),
                description: Some("looks".into()),
                parameters: Some(json!({"type": "object"})),
                strict: None,
            }],
            tool_choice: ToolChoice::Named("look".into()),
            parallel_tool_calls: Some(false),
            ..ModelRequest::default()
        };

        assert_eq!(
            encoded(&request, false, "model.test"),
            include_str!("../../../tests/golden/openai/tools.request.json")
        );
    }
}
