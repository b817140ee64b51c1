//! A request -> the body of a `generateContent` request. The model is in the path, and so is whether a stream is wanted.

use std::collections::HashMap;

use bytes::Bytes;
use serde::Serialize;
use serde_json::{Value, value::RawValue};

use super::{
    super::{
        Image, Message, ModelRequest, Parameters, Part, ProviderError, Tool, ToolCall, ToolChoice,
        ToolResult,
        turns::{self, Turn},
    },
    call_id,
};
use crate::structured::Schema;

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Body<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    system_instruction: Option<Content<'a>>,
    contents: Vec<Content<'a>>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    tools: Vec<Tools<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    tool_config: Option<ToolConfig<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    generation_config: Option<Generation<'a>>,
}

#[derive(Serialize)]
struct Content<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    role: Option<&'static str>,
    parts: Vec<WirePart<'a>>,
}

/// One of its fields; a signature goes with a call.
#[derive(Default, Serialize)]
#[serde(rename_all = "camelCase")]
struct WirePart<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    text: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    inline_data: Option<InlineData<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    function_call: Option<FunctionCall<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    function_response: Option<FunctionResponse<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    thought_signature: Option<String>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct InlineData<'a> {
    mime_type: &'a str,
    data: &'a str,
}

#[derive(Serialize)]
struct FunctionCall<'a> {
    name: &'a str,
    args: &'a RawValue,
}

#[derive(Serialize)]
struct FunctionResponse<'a> {
    name: &'a str,
    response: Outcome<'a>,
}

/// The words that the dialect has for what came of a call.
#[derive(Serialize)]
#[serde(rename_all = "lowercase")]
enum Outcome<'a> {
    Output(&'a str),
    Error(&'a str),
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Tools<'a> {
    function_declarations: Vec<Declaration<'a>>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Declaration<'a> {
    name: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    description: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    parameters_json_schema: Option<&'a Value>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct ToolConfig<'a> {
    function_calling_config: Calling<'a>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Calling<'a> {
    mode: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    allowed_function_names: Option<[&'a str; 1]>,
}

#[derive(Default, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
struct Generation<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    max_output_tokens: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    temperature: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    top_p: Option<f64>,
    #[serde(skip_serializing_if = "<[String]>::is_empty")]
    stop_sequences: &'a [String],
    #[serde(skip_serializing_if = "Option::is_none")]
    seed: Option<i32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    response_mime_type: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    response_json_schema: Option<&'a Value>,
}

/// The request for an answer.
pub(in crate::provider) fn encode(request: &ModelRequest) -> Result<Bytes, ProviderError> {
    if let Some(beyond) = &request.beyond {
        return Err(ProviderError::inexpressible(beyond));
    }
    if request.parallel_tool_calls == Some(false) && !request.tools.is_empty() {
        return Err(ProviderError::inexpressible("parallel_tool_calls that is false"));
    }
    let (system, messages) = turns::system(&request.messages)?;
    let system = system.as_deref().map(|text| Content { role: None, parts: vec![WirePart::text(text)] });
    let generation = generation(request)?;
    let body = Body {
        system_instruction: system,
        contents: contents(messages)?,
        tools: tools(&request.tools),
        tool_config: calling(request).map(|function_calling_config| ToolConfig { function_calling_config }),
        generation_config: (generation != Generation::default()).then_some(generation),
    };
    let body =
        serde_json::to_vec(&body).map_err(|_| ProviderError::bad_answer("the request cannot be encoded"))?;
    Ok(body.into())
}

fn generation(request: &ModelRequest) -> Result<Generation<'_>, ProviderError> {
    let Parameters { max_output_tokens, temperature, top_p, stop, seed } = &request.parameters;
    let seed = seed.map(i32::try_from).transpose();
    Ok(Generation {
        max_output_tokens: *max_output_tokens,
        temperature: *temperature,
        top_p: *top_p,
        stop_sequences: stop,
        seed: seed.map_err(|_| ProviderError::inexpressible("a seed of more than 32 bits"))?,
        response_mime_type: request.schema.as_ref().map(|_| "application/json"),
        response_json_schema: request.schema.as_ref().map(Schema::source),
    })
}

fn contents(messages: &[Message]) -> Result<Vec<Content<'_>>, ProviderError> {
    // A result names its tool and not its call; the last call of a name is the one that is meant.
    let mut tools: HashMap<&str, &str> = HashMap::new();
    let mut contents = Vec::new();
    for Turn { of_model, parts } in turns::turns(messages) {
        let mut wire = Vec::with_capacity(parts.len());
        for part in parts {
            if let Part::Call(call) = part {
                tools.insert(&call.id, &call.name);
            }
            wire.push(WirePart::of(part, &tools)?);
        }
        contents.push(Content { role: Some(if of_model { "model" } else { "user" }), parts: wire });
    }
    Ok(contents)
}

impl<'a> WirePart<'a> {
    fn text(text: &'a str) -> Self {
        Self { text: Some(text), ..Self::default() }
    }

    /// `tools`: the tool of each call so far.
    fn of(part: &'a Part, tools: &HashMap<&str, &'a str>) -> Result<Self, ProviderError> {
        Ok(match part {
            Part::Text(text) => Self::text(text),
            Part::Image(Image::Url(_)) => {
                return Err(ProviderError::inexpressible("images by their address"));
            }
            Part::Image(Image::Data { media_type, base64 }) => {
                let inline_data = Some(InlineData { mime_type: media_type, data: base64 });
                Self { inline_data, ..Self::default() }
            }
            Part::Call(ToolCall { id, name, arguments }) => {
                let function_call = Some(FunctionCall { name, args: arguments_of(arguments)? });
                Self { function_call, thought_signature: call_id::signature(id), ..Self::default() }
            }
            Part::Result(ToolResult { call_id, text, is_error }) => {
                let name = tools.get(call_id.as_str()).copied();
                let name = name.ok_or_else(|| {
                    ProviderError::inexpressible("a result of a tool call that is not in the conversation")
                })?;
                let response = if *is_error { Outcome::Error(text) } else { Outcome::Output(text) };
                Self { function_response: Some(FunctionResponse { name, response }), ..Self::default() }
            }
        })
    }
}

fn arguments_of(arguments: &str) -> Result<&RawValue, ProviderError> {
    // A call without arguments is written as nothing by some, and is an empty object here.
    let arguments = if arguments.trim().is_empty() { "{}" } else { arguments.trim() };
    let object = serde_json::from_str(arguments).ok().filter(|_| arguments.starts_with('{'));
    object.ok_or_else(|| ProviderError::inexpressible("arguments of a tool call that are not a JSON object"))
}

fn tools(tools: &[Tool]) -> Vec<Tools<'_>> {
    let declarations = tools.iter().map(|tool| {
        let Tool { name, description, parameters, strict: _ } = tool;
        Declaration { name, description: description.as_deref(), parameters_json_schema: parameters.as_ref() }
    });
    let function_declarations: Vec<_> = declarations.collect();
    if function_declarations.is_empty() { Vec::new() } else { vec![Tools { function_declarations }] }
}

/// `ANY` sees to it that arguments satisfy the schemas, too; where the model may choose, `VALIDATED` does, for all tools alike.
fn calling(request: &ModelRequest) -> Option<Calling<'_>> {
    let strict = request.tools.iter().any(|tool| tool.strict == Some(true));
    let (mode, name) = match &request.tool_choice {
        ToolChoice::Unsaid | ToolChoice::Auto if strict => ("VALIDATED", None),
        ToolChoice::Unsaid => return None,
        ToolChoice::Auto => ("AUTO", None),
        ToolChoice::Forbidden => ("NONE", None),
        ToolChoice::Required => ("ANY", None),
        ToolChoice::Named(name) => ("ANY", Some([name.as_str()])),
    };
    Some(Calling { mode, allowed_function_names: name })
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::provider::Role;

    fn encoded(request: &ModelRequest) -> Result<String, ProviderError> {
        let body: Value = serde_json::from_slice(&encode(request)?).expect("JSON");
        Ok(serde_json::to_string_pretty(&body).expect("JSON") + "\n")
    }

    fn tool(name: &str, strict: Option<bool>) -> Tool {
        let parameters = Some(json!({"type": "object", "properties": {"at": {"type": "integer"}}}));
        Tool { name: name.into(), description: Some("looks".into()), parameters, strict }
    }

    fn mode(tool_choice: ToolChoice, strict: Option<bool>) -> Value {
        let request =
            ModelRequest { tools: vec![tool("look", strict)], tool_choice, ..ModelRequest::default() };
        let body: Value = serde_json::from_slice(&encode(&request).expect("a body")).expect("JSON");
        body["toolConfig"]["functionCallingConfig"].clone()
    }

    #[test]
    fn the_system_prompt_has_its_own_place_and_everything_said_is_sent() {
        let schema = json!({"type": "object", "properties": {"name": {"type": "string"}}});
        let request = ModelRequest {
            messages: vec![
                Message::text(Role::System, "be brief"),
                Message::text(Role::System, "be kind"),
                Message::text(Role::User, "hello"),
                Message::text(Role::Assistant, "hi"),
                Message::text(Role::User, "who are you?"),
            ],
            schema: Some(Schema::from_value(schema).expect("a good schema")),
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
            encoded(&request).as_deref(),
            Ok(include_str!("../../../tests/golden/gemini/full.request.json"))
        );
    }

    #[test]
    fn tools_their_results_and_pictures_are_sent() {
        let call = |id: &str, name: &str, arguments: &str| {
            Part::Call(ToolCall { id: id.into(), name: name.into(), arguments: arguments.into() })
        };
        let result = |id: &str, text: &str, is_error| Message {
            role: Role::User,
            content: vec![Part::Result(ToolResult { call_id: id.into(), text: text.into(), is_error })],
        };
        let png = Image::Data { media_type: "image/png".into(), base64: "AAAA".into() };
        let request = ModelRequest {
            messages: vec![
                Message { role: Role::User, content: vec![Part::Text("what?".into()), Part::Image(png)] },
                Message {
                    role: Role::Assistant,
                    content: vec![call("r-0_signed_c2ln", "look", "{\"at\": 1}"), call("c2", "wait", "")],
                },
                result("c2", "no time", true),
                result("r-0_signed_c2ln", "a cat", false),
                Message::text(Role::User, "and now?"),
            ],
            tools: vec![
                tool("look", None),
                Tool { name: "wait".into(), description: None, parameters: None, strict: None },
            ],
            tool_choice: ToolChoice::Named("look".into()),
            ..ModelRequest::default()
        };

        assert_eq!(
            encoded(&request).as_deref(),
            Ok(include_str!("../../../tests/golden/gemini/tools.request.json"))
        );
    }

    #[test]
    fn a_plain_prompt_is_sent_without_anything_else() {
        let request =
            ModelRequest { messages: vec![Message::text(Role::User, "hello")], ..ModelRequest::default() };

        let body = encode(&request).expect("a body");

        assert_eq!(body, r#"{"contents":[{"role":"user","parts":[{"text":"hello"}]}]}"#);
    }

    #[test]
    fn every_choice_of_tools_has_its_mode() {
        assert_eq!(mode(ToolChoice::Unsaid, None), Value::Null);
        assert_eq!(mode(ToolChoice::Auto, None), json!({"mode": "AUTO"}));
        assert_eq!(mode(ToolChoice::Forbidden, Some(true)), json!({"mode": "NONE"}));
        assert_eq!(mode(ToolChoice::Required, Some(true)), json!({"mode": "ANY"}));
        for free in [ToolChoice::Unsaid, ToolChoice::Auto] {
            assert_eq!(mode(free, Some(true)), json!({"mode": "VALIDATED"}));
        }
    }

    #[test]
    fn what_the_dialect_cannot_say_is_named_and_not_dropped() {
        let none = ModelRequest::default;
        let says = |role, part| vec![Message { role, content: vec![part] }];
        let arguments = |arguments: &str| {
            let call = ToolCall { id: "c".into(), name: "f".into(), arguments: arguments.into() };
            says(Role::Assistant, Part::Call(call))
        };
        let result = ToolResult { call_id: "c".into(), text: "x".into(), is_error: false };
        let image = Image::Url("https://pictures.test/1".into());
        let seed = Parameters { seed: Some(i64::MAX), ..Parameters::default() };
        let late = vec![Message::text(Role::User, "a"), Message::text(Role::System, "b")];
        let one_by_one = (vec![tool("f", None)], Some(false));

        for (request, what) in [
            (ModelRequest { parameters: seed, ..none() }, "a seed of more than 32 bits"),
            (ModelRequest { beyond: Some("logit_bias".into()), ..none() }, "logit_bias"),
            (ModelRequest { messages: late, ..none() }, "system messages after others"),
            (
                ModelRequest { messages: says(Role::User, Part::Image(image)), ..none() },
                "images by their address",
            ),
            (
                ModelRequest { messages: arguments("[]"), ..none() },
                "arguments of a tool call that are not a JSON object",
            ),
            (
                ModelRequest { messages: arguments("{"), ..none() },
                "arguments of a tool call that are not a JSON object",
            ),
            (
                ModelRequest { messages: says(Role::User, Part::Result(result)), ..none() },
                "a result of a tool call that is not in the conversation",
            ),
            (
                ModelRequest { tools: one_by_one.0, parallel_tool_calls: one_by_one.1, ..none() },
                "parallel_tool_calls that is false",
            ),
        ] {
            let refused = encode(&request).expect_err(what);
            assert_eq!(refused.to_string(), format!("the model's provider cannot be asked for this: {what}"));
        }
    }
}
