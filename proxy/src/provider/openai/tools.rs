//! Tools of a caller's request, and what else a request may say besides messages.

use std::borrow::Cow;

use serde::Deserialize;
use serde_json::Value;

use super::super::{Tool, ToolChoice};

/// Fields that are read.
pub(super) const READ: [&str; 15] = [
    "max_completion_tokens",
    "max_tokens",
    "messages",
    "model",
    "n",
    "parallel_tool_calls",
    "response_format",
    "seed",
    "stop",
    "stream",
    "stream_options",
    "temperature",
    "tool_choice",
    "tools",
    "top_p",
];

/// Fields that change nothing of an answer: for the provider's own books, caches and queues.
pub(super) const HINTS: [&str; 7] = [
    "metadata",
    "prompt_cache_key",
    "prompt_cache_retention",
    "safety_identifier",
    "service_tier",
    "store",
    "user",
];

#[derive(Deserialize)]
struct WireTool {
    #[serde(rename = "type")]
    kind: String,
    function: WireFunction,
}

#[derive(Deserialize)]
struct WireFunction {
    name: String,
    #[serde(default)]
    description: Option<String>,
    #[serde(default)]
    parameters: Option<Value>,
    #[serde(default)]
    strict: Option<bool>,
}

#[derive(Deserialize)]
#[serde(untagged)]
enum WireChoice {
    Word(String),
    Named { function: Name },
}

#[derive(Deserialize)]
struct Name {
    name: String,
}

/// The tools, if all of them are functions.
pub(super) fn tools(value: Option<&[u8]>) -> Result<Vec<Tool>, Cow<'static, str>> {
    let Some(value) = value else { return Ok(Vec::new()) };
    let tools: Option<Vec<WireTool>> =
        serde_json::from_slice(value).map_err(|_| "tools that are no functions")?;
    let tools = tools.unwrap_or_default();
    if tools.iter().any(|tool| tool.kind != "function") {
        return Err("tools that are no functions".into());
    }
    Ok(tools
        .into_iter()
        .map(|WireTool { function: WireFunction { name, description, parameters, strict }, .. }| Tool {
            name,
            description,
            parameters,
            strict,
        })
        .collect())
}

/// Whether tools are to be used.
pub(super) fn tool_choice(value: Option<&[u8]>) -> Result<ToolChoice, Cow<'static, str>> {
    let Some(value) = value else { return Ok(ToolChoice::Unsaid) };
    match serde_json::from_slice::<Option<WireChoice>>(value) {
        Ok(None) => Ok(ToolChoice::Unsaid),
        Ok(Some(WireChoice::Named { function })) => Ok(ToolChoice::Named(function.name)),
        Ok(Some(WireChoice::Word(word))) if word == "auto" => Ok(ToolChoice::Auto),
        Ok(Some(WireChoice::Word(word))) if word == "none" => Ok(ToolChoice::Forbidden),
        Ok(Some(WireChoice::Word(word))) if word == "required" => Ok(ToolChoice::Required),
        Ok(Some(WireChoice::Word(_))) | Err(_) => Err("this tool_choice".into()),
    }
}
