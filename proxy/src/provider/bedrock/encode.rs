//! A request -> the body of a Converse request. The model is in the path, and so is whether a stream is wanted.

use bytes::Bytes;
use serde::Serialize;
use serde_json::{Value, json, value::RawValue};

use super::super::{
    Image, ModelRequest, Parameters, Part, ProviderError, Tool, ToolCall, ToolChoice, ToolResult,
    answer_tool,
    turns::{self, Turn},
};

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Body<'a> {
    #[serde(skip_serializing_if = "Vec::is_empty")]
    system: Vec<Text<'a>>,
    messages: Vec<WireMessage<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    inference_config: Option<Inference<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    tool_config: Option<ToolConfig<'a>>,
}

#[derive(Serialize)]
struct WireMessage<'a> {
    role: &'static str,
    content: Vec<Block<'a>>,
}

#[derive(Serialize)]
struct Text<'a> {
    text: &'a str,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase", rename_all_fields = "camelCase")]
enum Block<'a> {
    Text(&'a str),
    Image {
        format: &'a str,
        source: Source<'a>,
    },
    ToolUse {
        tool_use_id: &'a str,
        name: &'a str,
        input: &'a RawValue,
    },
    ToolResult {
        tool_use_id: &'a str,
        content: Vec<Text<'a>>,
        /// Only some models know it, and success goes without saying.
        #[serde(skip_serializing_if = "Option::is_none")]
        status: Option<&'static str>,
    },
}

#[derive(Serialize)]
struct Source<'a> {
    bytes: &'a str,
}

#[derive(Default, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
struct Inference<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    max_tokens: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    temperature: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    top_p: Option<f64>,
    #[serde(skip_serializing_if = "<[String]>::is_empty")]
    stop_sequences: &'a [String],
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct ToolConfig<'a> {
    tools: Vec<WireTool<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    tool_choice: Option<Choice<'a>>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase", rename_all_fields = "camelCase")]
enum WireTool<'a> {
    ToolSpec {
        name: &'a str,
        #[serde(skip_serializing_if = "Option::is_none")]
        description: Option<&'a str>,
        input_schema: InputSchema<'a>,
        #[serde(skip_serializing_if = "Option::is_none")]
        strict: Option<bool>,
    },
}

#[derive(Serialize)]
struct InputSchema<'a> {
    json: &'a Value,
}

#[derive(Serialize)]
#[serde(rename_all = "lowercase")]
enum Choice<'a> {
    Auto {},
    Any {},
    Tool { name: &'a str },
}

/// The request for an answer.
pub(super) fn encode(request: &ModelRequest) -> Result<Bytes, ProviderError> {
    let Parameters { max_output_tokens, temperature, top_p, stop, seed } = &request.parameters;
    if let Some(beyond) = &request.beyond {
        return Err(ProviderError::inexpressible(beyond));
    }
    if seed.is_some() {
        return Err(ProviderError::inexpressible("seed"));
    }
    let inference = Inference {
        max_tokens: *max_output_tokens,
        temperature: *temperature,
        top_p: *top_p,
        stop_sequences: stop,
    };
    let no_schema = json!({"type": "object"});
    let (system, messages) = turns::system(&request.messages)?;
    let system = system.as_deref().filter(|system| !system.is_empty());
    let body = Body {
        system: system.map(|text| Text { text }).into_iter().collect(),
        messages: turns::turns(messages).into_iter().map(message).collect::<Result<_, _>>()?,
        inference_config: (inference != Inference::default()).then_some(inference),
        tool_config: tool_config(request, &no_schema)?,
    };
    let body =
        serde_json::to_vec(&body).map_err(|_| ProviderError::bad_answer("the request cannot be encoded"))?;
    Ok(body.into())
}

fn message(turn: Turn<'_>) -> Result<WireMessage<'_>, ProviderError> {
    let Turn { of_model, parts } = turn;
    let content = parts.into_iter().map(block).collect::<Result<_, _>>()?;
    Ok(WireMessage { role: if of_model { "assistant" } else { "user" }, content })
}

fn block(part: &Part) -> Result<Block<'_>, ProviderError> {
    Ok(match part {
        Part::Text(text) => Block::Text(text),
        Part::Image(Image::Url(_)) => return Err(ProviderError::inexpressible("images by their address")),
        Part::Image(Image::Data { media_type, base64 }) => {
            let format = match media_type.as_str() {
                "image/png" => "png",
                "image/jpeg" | "image/jpg" => "jpeg",
                "image/gif" => "gif",
                "image/webp" => "webp",
                _ => return Err(ProviderError::inexpressible("images other than png, jpeg, gif and webp")),
            };
            Block::Image { format, source: Source { bytes: base64 } }
        }
        Part::Call(ToolCall { id, name, arguments }) => {
            // A call without arguments is written as nothing by some, and is an empty object here.
            let arguments = if arguments.trim().is_empty() { "{}" } else { arguments };
            let input = serde_json::from_str(arguments)
                .map_err(|_| ProviderError::inexpressible("arguments of a tool call that are not JSON"))?;
            Block::ToolUse { tool_use_id: id, name, input }
        }
        Part::Result(ToolResult { call_id, text, is_error }) => Block::ToolResult {
            tool_use_id: call_id,
            // The dialect refuses empty texts.
            content: if text.is_empty() { Vec::new() } else { vec![Text { text }] },
            status: is_error.then_some("error"),
        },
    })
}

fn tool_config<'a>(
    request: &'a ModelRequest,
    no_schema: &'a Value,
) -> Result<Option<ToolConfig<'a>>, ProviderError> {
    if let Some(schema) = &request.schema {
        if !request.tools.is_empty() {
            return Err(ProviderError::inexpressible("response_format together with tools"));
        }
        let answer = WireTool::ToolSpec {
            name: answer_tool::NAME,
            description: Some(answer_tool::DESCRIPTION),
            input_schema: InputSchema { json: schema.source() },
            strict: None,
        };
        let tool_choice = Some(Choice::Tool { name: answer_tool::NAME });
        return Ok(Some(ToolConfig { tools: vec![answer], tool_choice }));
    }
    if request.tools.is_empty() {
        return Ok(None);
    }
    if request.parallel_tool_calls == Some(false) {
        return Err(ProviderError::inexpressible("parallel_tool_calls that is false"));
    }
    let tool_choice = match &request.tool_choice {
        ToolChoice::Unsaid => None,
        ToolChoice::Auto => Some(Choice::Auto {}),
        ToolChoice::Required => Some(Choice::Any {}),
        ToolChoice::Named(name) => Some(Choice::Tool { name }),
        ToolChoice::Forbidden => {
            return Err(ProviderError::inexpressible("tools together with tool_choice none"));
        }
    };
    let tool = |tool: &'a Tool| WireTool::ToolSpec {
        name: &tool.name,
        description: tool.description.as_deref().filter(|text| !text.is_empty()),
        input_schema: InputSchema { json: tool.parameters.as_ref().unwrap_or(no_schema) },
        strict: tool.strict.filter(|strict| *strict),
    };
    Ok(Some(ToolConfig { tools: request.tools.iter().map(tool).collect(), tool_choice }))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        provider::{Message, Role},
        structured::Schema,
    };

    fn encoded(request: &ModelRequest) -> Result<String, ProviderError> {
        let body: Value = serde_json::from_slice(&encode(request)?).expect("JSON");
        Ok(serde_json::to_string_pretty(&body).expect("JSON") + "\n")
    }

    fn tool(name: &str) -> Tool {
        Tool { name: name.into(), description: None, parameters: None, strict: None }
    }

    #[test]
    fn the_system_prompt_has_its_own_place_and_everything_said_is_sent() {
        let request = ModelRequest {
            messages: vec![
                Message::text(Role::System, "be brief"),
                Message::text(Role::System, "be kind"),
                Message::text(Role::User, "hello"),
                Message::text(Role::Assistant, "hi"),
                Message::text(Role::User, "who"),
                Message::text(Role::User, "are you?"),
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
            encoded(&request).as_deref(),
            Ok(include_str!("../../../tests/golden/bedrock/full.request.json"))
        );
    }

    #[test]
    fn tools_their_results_and_pictures_are_sent() {
        let call = |id: &str, arguments: &str| {
            Part::Call(ToolCall { id: id.into(), name: "look".into(), arguments: arguments.into() })
        };
        let result = |id: &str, text: &str, is_error| Message {
            role: Role::User,
            content: vec![Part::Result(ToolResult { call_id: id.into(), text: text.into(), is_error })],
        };
        let png = Image::Data { media_type: "image/png".into(), base64: "AAAA".into() };
        let request = ModelRequest {
            messages: vec![
                Message { role: Role::User, content: vec![Part::Text("what?".into()), Part::Image(png)] },
                Message { role: Role::Assistant, content: vec![call("c1", "{\"at\":1}"), call("c2", "")] },
                result("c2", "", true),
                result("c1", "a cat", false),
                Message::text(Role::User, "and now?"),
            ],
            tools: vec![
                Tool {
                    description: Some("looks".into()),
                    parameters: Some(json!({"type": "object", "properties": {"at": {"type": "integer"}}})),
                    strict: Some(true),
                    ..tool("look")
                },
                tool("wait"),
            ],
            tool_choice: ToolChoice::Required,
            ..ModelRequest::default()
        };

        assert_eq!(
            encoded(&request).as_deref(),
            Ok(include_str!("../../../tests/golden/bedrock/tools.request.json"))
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
            encoded(&request).as_deref(),
            Ok(include_str!("../../../tests/golden/bedrock/schema.request.json"))
        );
    }

    #[test]
    fn every_choice_of_tools_has_its_word() {
        let choice = |tool_choice| {
            let request = ModelRequest { tools: vec![tool("look")], tool_choice, ..ModelRequest::default() };
            let body: Value = serde_json::from_slice(&encode(&request).expect("a body")).expect("JSON");
            body["toolConfig"]["toolChoice"].clone()
        };

        assert_eq!(choice(ToolChoice::Unsaid), Value::Null);
        assert_eq!(choice(ToolChoice::Auto), json!({"auto": {}}));
        assert_eq!(choice(ToolChoice::Named("look".into())), json!({"tool": {"name": "look"}}));
    }

    #[test]
    fn what_the_dialect_cannot_say_is_named_and_not_dropped() {
        let none = ModelRequest::default;
        let seed = Parameters { seed: Some(1), ..Parameters::default() };
        let late = vec![Message::text(Role::User, "a"), Message::text(Role::System, "b")];
        let says = |role, part| vec![Message { role, content: vec![part] }];
        let call = ToolCall { id: "c".into(), name: "f".into(), arguments: "{".into() };
        let url = Image::Url("https://pictures.test/1".into());
        let tiff = Image::Data { media_type: "image/tiff".into(), base64: "AAAA".into() };
        let (tools, schema) = (|| vec![tool("f")], || Schema::from_value(json!({"type": "object"})).ok());

        for (request, what) in [
            (ModelRequest { parameters: seed, ..none() }, "seed"),
            (ModelRequest { beyond: Some("logit_bias".into()), ..none() }, "logit_bias"),
            (ModelRequest { messages: late, ..none() }, "system messages after others"),
            (
                ModelRequest { messages: says(Role::Assistant, Part::Call(call)), ..none() },
                "arguments of a tool call that are not JSON",
            ),
            (
                ModelRequest { messages: says(Role::User, Part::Image(url)), ..none() },
                "images by their address",
            ),
            (
                ModelRequest { messages: says(Role::User, Part::Image(tiff)), ..none() },
                "images other than png, jpeg, gif and webp",
            ),
            (
                ModelRequest { tools: tools(), schema: schema(), ..none() },
                "response_format together with tools",
            ),
            (
                ModelRequest { tools: tools(), parallel_tool_calls: Some(false), ..none() },
                "parallel_tool_calls that is false",
            ),
            (
                ModelRequest { tools: tools(), tool_choice: ToolChoice::Forbidden, ..none() },
                "tools together with tool_choice none",
            ),
        ] {
            let refused = encode(&request).expect_err(what);
            assert_eq!(refused.to_string(), format!("the model's provider cannot be asked for this: {what}"));
        }
    }
}
