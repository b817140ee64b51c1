//! Answers in the form of the OpenAI API, for models whose provider does not speak it.

use std::sync::Arc;

use serde::Serialize;

use crate::call::Summary;

/// The part of an answer that does not change from chunk to chunk.
#[derive(Debug, Clone)]
pub(super) struct Head {
    /// Ours, for the log.
    pub(super) id: Arc<str>,
    /// Unix time in seconds.
    pub(super) created: i64,
    /// The name of the model that answers.
    pub(super) model: Arc<str>,
}

/// A whole answer or one chunk of a stream.
#[derive(Debug, Serialize)]
pub(super) struct Completion {
    id: String,
    object: &'static str,
    created: i64,
    model: String,
    choices: Vec<Choice>,
    #[serde(skip_serializing_if = "Option::is_none")]
    usage: Option<Usage>,
}

#[derive(Debug, Serialize)]
struct Choice {
    index: u32,
    #[serde(skip_serializing_if = "Option::is_none")]
    message: Option<Said>,
    #[serde(skip_serializing_if = "Option::is_none")]
    delta: Option<Said>,
    finish_reason: Option<&'static str>,
}

#[derive(Debug, Default, Serialize)]
struct Said {
    #[serde(skip_serializing_if = "Option::is_none")]
    role: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    content: Option<String>,
}

#[derive(Debug, Serialize)]
struct Usage {
    prompt_tokens: u64,
    completion_tokens: u64,
    total_tokens: u64,
    prompt_tokens_details: PromptDetails,
}

#[derive(Debug, Serialize)]
struct PromptDetails {
    cached_tokens: u64,
}

impl Head {
    /// The whole answer.
    pub(super) fn answer(&self, text: String, summary: &Summary) -> Completion {
        let message = Said { role: Some("assistant"), content: Some(text) };
        let choice = Choice { index: 0, message: Some(message), delta: None, finish_reason: Some("stop") };
        Completion { usage: Some(usage(summary)), ..self.completion("chat.completion", vec![choice]) }
    }

    /// The first chunk, which says who speaks.
    pub(super) fn opening(&self) -> Completion {
        self.chunk(Said { role: Some("assistant"), content: Some(String::new()) }, None)
    }

    /// Some of the answer.
    pub(super) fn words(&self, text: String) -> Completion {
        self.chunk(Said { role: None, content: Some(text) }, None)
    }

    /// The end of the answer.
    pub(super) fn closing(&self) -> Completion {
        self.chunk(Said::default(), Some("stop"))
    }

    /// The chunk with the usage, for those who asked for it.
    pub(super) fn usage(&self, summary: &Summary) -> Completion {
        Completion { usage: Some(usage(summary)), ..self.completion("chat.completion.chunk", Vec::new()) }
    }

    fn chunk(&self, delta: Said, finish_reason: Option<&'static str>) -> Completion {
        let choice = Choice { index: 0, message: None, delta: Some(delta), finish_reason };
        self.completion("chat.completion.chunk", vec![choice])
    }

    fn completion(&self, object: &'static str, choices: Vec<Choice>) -> Completion {
        let Self { id, created, model } = self;
        let id = format!("chatcmpl-{id}");
        Completion { id, object, created: *created, model: model.to_string(), choices, usage: None }
    }
}

fn usage(summary: &Summary) -> Usage {
    let crate::usage::Usage { input_tokens, output_tokens, estimated: _ } = summary.usage;
    Usage {
        prompt_tokens: input_tokens,
        completion_tokens: output_tokens,
        total_tokens: input_tokens.saturating_add(output_tokens),
        prompt_tokens_details: PromptDetails { cached_tokens: summary.cached_tokens },
    }
}
