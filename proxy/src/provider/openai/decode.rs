//! Responses of the dialect -> what we need of them. Unknown fields are skipped; servers leave out or null much of the rest.

use serde::Deserialize;

use super::super::{ProviderError, Usage, error::WireError};

/// A whole response.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Answer {
    pub(super) text: String,
    pub(super) usage: Option<Usage>,
}

/// One event of a stream.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Chunk {
    pub(super) text: String,
    pub(super) usage: Option<Usage>,
    /// The model has ended its answer.
    pub(super) finished: bool,
    /// It has nothing of an answer in it.
    pub(super) only_usage: bool,
}

#[derive(Deserialize)]
struct Wire {
    #[serde(default)]
    choices: Option<Vec<Choice>>,
    #[serde(default)]
    usage: Option<WireUsage>,
    #[serde(default)]
    error: Option<WireError>,
}

#[derive(Deserialize)]
struct Choice {
    #[serde(default, alias = "delta")]
    message: Option<Said>,
    #[serde(default)]
    finish_reason: Option<serde_json::Value>,
}

#[derive(Default, Deserialize)]
struct Said {
    #[serde(default)]
    content: Option<String>,
    #[serde(default)]
    refusal: Option<String>,
}

#[derive(Deserialize)]
struct WireUsage {
    #[serde(default)]
    prompt_tokens: Option<u64>,
    #[serde(default)]
    completion_tokens: Option<u64>,
    #[serde(default)]
    prompt_tokens_details: Option<PromptDetails>,
}

#[derive(Deserialize)]
struct PromptDetails {
    #[serde(default)]
    cached_tokens: Option<u64>,
}

/// Reads the body of a response.
pub(super) fn answer(body: &[u8]) -> Result<Answer, ProviderError> {
    let Wire { choices, usage, error } = read(body)?;
    if let Some(error) = error {
        return Err(ProviderError::from_stream(&error));
    }
    let choices = choices.filter(|choices| !choices.is_empty());
    let choices = choices.ok_or_else(|| ProviderError::bad_answer("the provider's answer has no choices"))?;
    Ok(Answer { text: text_of(choices), usage: usage.map(Usage::from) })
}

/// Reads the data of an event.
pub(super) fn chunk(data: &[u8]) -> Result<Chunk, ProviderError> {
    let Wire { choices, usage, error } = read(data)?;
    if let Some(error) = error {
        return Err(ProviderError::from_stream(&error));
    }
    let choices = choices.unwrap_or_default();
    let finished =
        choices.iter().any(|choice| choice.finish_reason.as_ref().is_some_and(|reason| !reason.is_null()));
    let only_usage = choices.is_empty() && usage.is_some();
    Ok(Chunk { text: text_of(choices), usage: usage.map(Usage::from), finished, only_usage })
}

fn read(json: &[u8]) -> Result<Wire, ProviderError> {
    serde_json::from_slice(json)
        .map_err(|_| ProviderError::bad_answer("the provider's answer cannot be understood"))
}

/// What the model says; a refusal is its words, too.
fn text_of(choices: Vec<Choice>) -> String {
    let said = choices.into_iter().filter_map(|choice| choice.message);
    said.filter_map(|said| said.content.filter(|content| !content.is_empty()).or(said.refusal)).collect()
}

impl From<WireUsage> for Usage {
    fn from(wire: WireUsage) -> Self {
        Self {
            input: wire.prompt_tokens.unwrap_or(0),
            output: wire.completion_tokens.unwrap_or(0),
            cached: wire.prompt_tokens_details.and_then(|details| details.cached_tokens).unwrap_or(0),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_response_of_openai_is_read() {
        let body = include_bytes!("../../../tests/golden/openai/openai.response.json");

        let usage = Usage { input: 19, output: 10, cached: 5 };
        assert_eq!(
            answer(body),
            Ok(Answer { text: "Hello! How can I assist you today?".to_owned(), usage: Some(usage) })
        );
    }

    #[test]
    fn a_response_without_details_is_read() {
        let body = include_bytes!("../../../tests/golden/openai/minimal.response.json");

        assert_eq!(answer(body), Ok(Answer { text: "hi".to_owned(), usage: None }));
    }

    #[test]
    fn a_refusal_is_what_the_model_says() {
        let body = br#"{"choices": [{"message": {"content": null, "refusal": "I cannot"}}]}"#;

        assert_eq!(answer(body).map(|answer| answer.text), Ok("I cannot".to_owned()));
    }

    #[test]
    fn what_is_no_answer_is_told() {
        let message = |body: &[u8]| answer(body).expect_err("no answer").to_string();

        assert_eq!(message(b"<html>"), "the provider's answer cannot be understood");
        assert_eq!(message(b"{}"), "the provider's answer has no choices");
        assert_eq!(
            message(br#"{"error": {"code": 429}}"#),
            "the provider's rate limit is reached (status 429)"
        );
    }

    #[test]
    fn the_last_chunk_of_a_stream_has_only_the_usage() {
        let last = chunk(br#"{"choices": [], "usage": {"prompt_tokens": 1, "completion_tokens": 2}}"#)
            .expect("a chunk");
        let other =
            chunk(br#"{"choices": [{"delta": {"content": "a"}, "finish_reason": "stop"}], "usage": null}"#)
                .expect("a chunk");

        assert_eq!((last.only_usage, last.usage), (true, Some(Usage { input: 1, output: 2, cached: 0 })));
        assert_eq!((other.only_usage, other.finished, other.text.as_str()), (false, true, "a"));
    }
}
