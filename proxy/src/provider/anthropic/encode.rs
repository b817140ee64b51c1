//! A request -> the body of a Messages request.

use bytes::Bytes;
use serde::Serialize;
use serde_json::{Map, Value, value::RawValue};

use super::super::{
    Image, Message, ModelRequest, Parameters, Part, ProviderError, Role, Tool, ToolCall, ToolChoice,
    ToolResult, answer_tool, turns,
};

#[derive(Serialize)]
struct Body<'a> {
    model: &'a str,
    max_tokens: u32,
    #[serde(skip_serializing_if = "Option::is_none")]
    system: Option<String>,
    messages: Vec<WireMessage<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    temperature: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    top_p: Option<f64>,
    #[serde(skip_serializing_if = "<[String]>::is_empty")]
    stop_sequences: &'a [String],
    #[serde(skip_serializing_if = "Vec::is_empty")]
    tools: Vec<WireTool<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    tool_choice: Option<WireChoice<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    stream: Option<bool>,
}

#[derive(Serialize)]
struct WireMessage<'a> {
    role: &'static str,
    content: Vec<Block<'a>>,
}

#[derive(Serialize)]
#[serde(tag = "type", rename_all = "snake_case")]
enum Block<'a> {
    Text {
        text: &'a str,
    },
    Image {
        source: Source<'a>,
    },
    ToolUse {
        id: &'a str,
        name: &'a str,
        input: &'a RawValue,
    },
    ToolResult {
        tool_use_id: &'a str,
        content: &'a str,
        #[serde(skip_serializing_if = "std::ops::Not::not")]
        is_error: bool,
    },
}

#[derive(Serialize)]
#[serde(tag = "type", rename_all = "snake_case")]
enum Source<'a> {
    Base64 { media_type: &'a str, data: &'a str },
    Url { url: &'a str },
}

#[derive(Serialize)]
struct WireTool<'a> {
    name: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    description: Option<&'a str>,
    input_schema: &'a Value,
    #[serde(skip_serializing_if = "Option::is_none")]
    strict: Option<bool>,
}

#[derive(Serialize)]
struct WireChoice<'a> {
    #[serde(rename = "type")]
    kind: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    name: Option<&'a str>,
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    disable_parallel_tool_use: bool,
}

/// The request that asks `model` for an answer. `max_tokens` is for requests that do not limit it.
pub(super) fn encode(
    model: &str,
    request: &ModelRequest,
    stream: bool,
    max_tokens: u32,
) -> Result<Bytes, ProviderError> {
    let Parameters { max_output_tokens, temperature, top_p, stop, seed } = &request.parameters;
    if let Some(beyond) = &request.beyond {
        return Err(ProviderError::inexpressible(beyond));
    }
    if seed.is_some() {
        return Err(ProviderError::inexpressible("seed"));
    }
    let no_schema = Value::Object(Map::from_iter([("type".to_owned(), Value::from("object"))]));
    let (tools, tool_choice) = tools(request, &no_schema)?;
    let (system, messages) = conversation(&request.messages)?;
    let body = Body {
        model,
        max_tokens: max_output_tokens.unwrap_or(max_tokens),
        system,
        messages,
        temperature: *temperature,
        top_p: *top_p,
        stop_sequences: stop,
        tools,
        tool_choice,
        stream: stream.then_some(true),
    };
    let body =
        serde_json::to_vec(&body).map_err(|_| ProviderError::bad_answer("the request cannot be encoded"))?;
    Ok(body.into())
}

/// The system prompt has a place of its own, before everything else.
fn conversation(messages: &[Message]) -> Result<(Option<String>, Vec<WireMessage<'_>>), ProviderError> {
    let (system, rest) = turns::system(messages)?;
    let messages = rest.iter().map(message).collect::<Result<Vec<_>, _>>()?;
    // The dialect refuses empty messages.
    Ok((system, messages.into_iter().filter(|message| !message.content.is_empty()).collect()))
}

fn message(message: &Message) -> Result<WireMessage<'_>, ProviderError> {
    let role = if message.role == Role::Assistant { "assistant" } else { "user" };
    // Results come first: the dialect wants them right after the calls.
    let (results, others): (Vec<_>, Vec<_>) =
        message.content.iter().partition(|part| matches!(part, Part::Result(_)));
    let content = results.into_iter().chain(others).filter(|part| !is_empty(part)).map(block);
    Ok(WireMessage { role, content: content.collect::<Result<_, _>>()? })
}

fn is_empty(part: &Part) -> bool {
    matches!(part, Part::Text(text) if text.is_empty())
}

fn block(part: &Part) -> Result<Block<'_>, ProviderError> {
    Ok(match part {
        Part::Text(text) => Block::Text { text },
        Part::Image(Image::Url(url)) => Block::Image { source: Source::Url { url } },
        Part::Image(Image::Data { media_type, base64 }) => {
            Block::Image { source: Source::Base64 { media_type, data: base64 } }
        }
        Part::Call(ToolCall { id, name, arguments }) => {
            // A call without arguments is written as nothing by some, and is an empty object here.
            let arguments = if arguments.trim().is_empty() { "{}" } else { arguments };
            let input = serde_json::from_str(arguments)
                .map_err(|_| ProviderError::inexpressible("arguments of a tool call that are not JSON"))?;
            Block::ToolUse { id, name, input }
        }
        Part::Result(ToolResult { call_id, text, is_error }) => {
            Block::ToolResult { tool_use_id: call_id, content: text, is_error: *is_error }
        }
    })
}

type Tools<'a> = (Vec<WireTool<'a>>, Option<WireChoice<'a>>);

fn tools<'a>(request: &'a ModelRequest, no_schema: &'a Value) -> Result<Tools<'a>, ProviderError> {
    if let Some(schema) = &request.schema {
        if !request.tools.is_empty() {
            return Err(ProviderError::inexpressible("response_format together with tools"));
        }
        let answer = WireTool {
            name: answer_tool::NAME,
            description: Some(answer_tool::DESCRIPTION),
            input_schema: schema.source(),
            strict: None,
        };
        let choice =
            WireChoice { kind: "tool", name: Some(answer_tool::NAME), disable_parallel_tool_use: true };
        return Ok((vec![answer], Some(choice)));
    }
    let tool = |tool: &'a Tool| WireTool {
        name: &tool.name,
        description: tool.description.as_deref(),
        input_schema: tool.parameters.as_ref().unwrap_or(no_schema),
        strict: tool.strict.filter(|strict| *strict),
    };
    Ok((request.tools.iter().map(tool).collect(), choice(request)))
}

fn choice(request: &ModelRequest) -> Option<WireChoice<'_>> {
    let one_at_a_time = request.parallel_tool_calls == Some(false) && !request.tools.is_empty();
    let (kind, name) = match &request.tool_choice {
        ToolChoice::Unsaid if !one_at_a_time => return None,
        ToolChoice::Unsaid | ToolChoice::Auto => ("auto", None),
        ToolChoice::Forbidden => ("none", None),
        ToolChoice::Required => ("any", None),
        ToolChoice::Named(name) => ("tool", Some(name.as_str())),
    };
    Some(WireChoice { kind, name, disable_parallel_tool_use: one_at_a_time && kind != "none" })
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::structured::Schema;

    fn encoded(request: &ModelRequest, stream: bool) -> Result<String, ProviderError> {
        let body: Value = serde_json::from_slice(&encode("claude-x", request, stream, 4096)?).expect("JSON");
        Ok(serde_json::to_string_pretty(&body).expect("JSON") + "\n")
    }

    fn inexpressible(request: &ModelRequest) -> String {
        encoded(request, false).expect_err("refused").to_string()
    }

    #[test]
    fn the_system_prompt_has_its_own_place_and_everything_said_is_sent() {
        let request = ModelRequest {
            messages: vec![
                Message::text(Role::System, "be brief"),
                Message::text(Role::System, "be kind"),
                Message::text(Role::User, "hello"),
                Message::text(Role::Assistant, "hi"),
                Message::text(Role::User, "who are you?"),
            ],
            parameters: Parameters {
                max_output_tokens: Some(100),
                temperature: Some(0.5),
                top_p: Some(0.9),
                stop: vec!["END".to_owned()],
                seed: None,
            },
            ..ModelRequest::default()
        };

        assert_eq!(
            encoded(&request, true).as_deref(),
            Ok(include_str!("../../../tests/golden/anthropic/full.request.json"))
        );
    }

    #[test]
    fn tools_their_results_and_pictures_are_sent() {
        let call = ToolCall { id: "c1".into(), name: "look".into(), arguments: "{\"at\":1}".into() };
        let result = ToolResult { call_id: "c1".into(), text: "a cat".into(), is_error: true };
        let png = Image::Data { media_type: "image/png".into(), base64: "AAAA".into() };
        let other = Image::Url("https://pictures.test/1".into());
        let request = ModelRequest {
            messages: vec![
                Message {
                    role: Role::User,
                    content: vec![Part::Text("what?".into()), Part::Image(png), Part::Image(other)],
                },
                Message { role: Role::Assistant, content: vec![Part::Text(String::new()), Part::Call(call)] },
                Message {
                    role: Role::User,
                    content: vec![Part::Text("and now?".into()), Part::Result(result)],
                },
            ],
            tools: vec![
                Tool {
                    name: "look".into(),
                    description: Some("looks".into()),
                    parameters: Some(json!({"type": "object", "properties": {"at": {"type": "integer"}}})),
                    strict: Some(true),
                },
                Tool { name: "wait".into(), description: None, parameters: None, strict: None },
            ],
            tool_choice: ToolChoice::Required,
            parallel_tool_calls: Some(false),
            ..ModelRequest::default()
        };

        assert_eq!(
            encoded(&request, false).as_deref(),
            Ok(include_str!("../../../tests/golden/anthropic/tools.request.json"))
        );
    }

    #[test]
    fn a_schema_is_a_tool_that_has_to_be_used() {
        let schema = json!({"type": "object", "properties": {"name": {"type": "string"}}});
        let request = ModelRequest {
            messages: vec![Message::text(Role::User, "hello")],
            schema: Some(Schema::from_value(schema).expect("a good schema")),
            ..ModelRequest::default()
        };

        assert_eq!(
            encoded(&request, false).as_deref(),
            Ok(include_str!("../../../tests/golden/anthropic/schema.request.json"))
        );
    }

    #[test]
    fn what_the_dialect_cannot_say_is_named_and_not_dropped() {
        let seed = Parameters { seed: Some(1), ..Parameters::default() };
        let late = vec![Message::text(Role::User, "a"), Message::text(Role::System, "b")];
        let call = ToolCall { id: "c".into(), name: "f".into(), arguments: "{".into() };
        let broken = vec![Message { role: Role::Assistant, content: vec![Part::Call(call)] }];
        let none = ModelRequest::default;

        for (request, what) in [
            (ModelRequest { parameters: seed, ..none() }, "seed"),
            (ModelRequest { beyond: Some("logit_bias".into()), ..none() }, "logit_bias"),
            (ModelRequest { messages: late, ..none() }, "system messages after others"),
            (ModelRequest { messages: broken, ..none() }, "arguments of a tool call that are not JSON"),
        ] {
            assert_eq!(
                inexpressible(&request),
                format!("the model's provider cannot be asked for this: {what}")
            );
        }
    }
}
