//! Responses of the dialect -> what we need of them. Unknown parts and fields are skipped, and so are the model's thoughts.
//!
//! An event of a stream has the form of a whole response, and a function call comes in one piece.

use serde::Deserialize;
use serde_json::value::RawValue;

use super::{
    super::{Finish, ModelEvent, Piece, ProviderError, Said, ToolCall, Usage, error::WireError},
    call_id,
};

/// A whole response.
#[derive(Debug, PartialEq, Eq)]
pub(in crate::provider) struct Answer {
    pub(in crate::provider) said: Said,
    pub(in crate::provider) usage: Option<Usage>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Wire {
    #[serde(default)]
    candidates: Option<Vec<Candidate>>,
    #[serde(default)]
    prompt_feedback: Option<Feedback>,
    #[serde(default)]
    usage_metadata: Option<WireUsage>,
    #[serde(default)]
    response_id: Option<String>,
    #[serde(default)]
    error: Option<WireError>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Candidate {
    #[serde(default)]
    content: Option<Content>,
    #[serde(default)]
    finish_reason: Option<String>,
}

#[derive(Deserialize)]
struct Content {
    #[serde(default)]
    parts: Option<Vec<WirePart>>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct WirePart {
    #[serde(default)]
    text: Option<String>,
    #[serde(default)]
    thought: Option<bool>,
    #[serde(default)]
    function_call: Option<FunctionCall>,
    #[serde(default)]
    thought_signature: Option<String>,
}

#[derive(Deserialize)]
struct FunctionCall {
    name: String,
    #[serde(default)]
    args: Option<Box<RawValue>>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Feedback {
    #[serde(default)]
    block_reason: Option<String>,
}

/// Absent is none.
#[derive(Deserialize)]
struct WireUsage {
    #[serde(default, rename = "promptTokenCount")]
    prompt: Option<u64>,
    #[serde(default, rename = "toolUsePromptTokenCount")]
    tool_use_prompt: Option<u64>,
    #[serde(default, rename = "cachedContentTokenCount")]
    cached: Option<u64>,
    #[serde(default, rename = "candidatesTokenCount")]
    candidates: Option<u64>,
    #[serde(default, rename = "thoughtsTokenCount")]
    thoughts: Option<u64>,
}

/// Reads the body of a response.
pub(in crate::provider) fn answer(body: &[u8]) -> Result<Answer, ProviderError> {
    let mut decoder = Decoder::default();
    let (mut said, mut usage) = (Said::default(), None);
    let mut is_empty = true;
    for event in decoder.event(body)? {
        match event {
            ModelEvent::Usage(total) => {
                usage = Some(total);
                continue;
            }
            ModelEvent::Finish(finish) => said.finish = finish,
            ModelEvent::Said(piece) => add(&mut said, piece),
            ModelEvent::Raw(..) => {}
        }
        is_empty = false;
    }
    if is_empty {
        return Err(ProviderError::bad_answer("the provider's answer has no candidates"));
    }
    Ok(Answer { said, usage })
}

fn add(said: &mut Said, piece: Piece) {
    match piece {
        Piece::Text(text) => said.text.push_str(&text),
        Piece::Call { id, name, .. } => said.calls.push(ToolCall { id, name, arguments: String::new() }),
        Piece::Arguments { json, .. } => {
            said.calls.iter_mut().last().into_iter().for_each(|call| call.arguments.push_str(&json));
        }
    }
}

/// Reads a stream, event by event.
#[derive(Debug, Default)]
pub(super) struct Decoder {
    /// How many calls there were.
    calls: u32,
    /// The model has ended its answer; there is no other mark of the end.
    pub(super) finished: bool,
}

impl Decoder {
    /// What the data of an event tells.
    pub(super) fn event(&mut self, data: &[u8]) -> Result<Vec<ModelEvent>, ProviderError> {
        let Wire { candidates, prompt_feedback, usage_metadata, response_id, error } = read(data)?;
        if let Some(error) = error {
            return Err(ProviderError::from_stream(&error));
        }
        let mut events = Vec::new();
        for Candidate { content, finish_reason } in candidates.into_iter().flatten() {
            for part in content.and_then(|content| content.parts).into_iter().flatten() {
                self.part(part, response_id.as_deref(), &mut events);
            }
            if let Some(reason) = finish_reason {
                self.finish(self.meaning(&reason)?, &mut events);
            }
        }
        if prompt_feedback.is_some_and(|feedback| feedback.block_reason.is_some()) {
            self.finish(Finish::ContentFilter, &mut events);
        }
        events.extend(usage_metadata.map(|usage| ModelEvent::Usage(usage.into())));
        Ok(events)
    }

    fn part(&mut self, part: WirePart, response: Option<&str>, events: &mut Vec<ModelEvent>) {
        let WirePart { text, thought, function_call, thought_signature } = part;
        if thought == Some(true) {
            return;
        }
        let text = text.filter(|text| !text.is_empty());
        events.extend(text.map(|text| ModelEvent::Said(Piece::Text(text))));
        if let Some(FunctionCall { name, args }) = function_call {
            let index = self.calls;
            self.calls += 1;
            let id = call_id::name(response, index, thought_signature.as_deref());
            let json = args.map_or_else(|| "{}".to_owned(), |args| args.get().to_owned());
            events.push(ModelEvent::Said(Piece::Call { index, id, name }));
            events.push(ModelEvent::Said(Piece::Arguments { index, json }));
        }
    }

    fn finish(&mut self, finish: Finish, events: &mut Vec<ModelEvent>) {
        if !self.finished {
            self.finished = true;
            events.push(ModelEvent::Finish(finish));
        }
    }

    /// What a reason says. One that we do not know is an end all the same.
    fn meaning(&self, reason: &str) -> Result<Finish, ProviderError> {
        Ok(match reason {
            "MAX_TOKENS" => Finish::Length,
            "SAFETY"
            | "RECITATION"
            | "LANGUAGE"
            | "BLOCKLIST"
            | "PROHIBITED_CONTENT"
            | "SPII"
            | "IMAGE_SAFETY"
            | "IMAGE_PROHIBITED_CONTENT"
            | "IMAGE_RECITATION" => Finish::ContentFilter,
            "MALFORMED_FUNCTION_CALL"
            | "UNEXPECTED_TOOL_CALL"
            | "TOO_MANY_TOOL_CALLS"
            | "MISSING_THOUGHT_SIGNATURE"
            | "MALFORMED_RESPONSE" => {
                return Err(ProviderError::bad_answer("the model gave up on a tool call that is not valid"));
            }
            _ if self.calls > 0 => Finish::ToolCalls,
            _ => Finish::Stop,
        })
    }
}

impl From<WireUsage> for Usage {
    /// Thoughts are paid like the answer, and what tools of the provider brought in like the prompt.
    fn from(wire: WireUsage) -> Self {
        let WireUsage { prompt, tool_use_prompt, cached, candidates, thoughts } = wire;
        let sum = |a: Option<u64>, b: Option<u64>| a.unwrap_or(0).saturating_add(b.unwrap_or(0));
        Self {
            input: sum(prompt, tool_use_prompt),
            output: sum(candidates, thoughts),
            cached: cached.unwrap_or(0),
        }
    }
}

fn read(json: &[u8]) -> Result<Wire, ProviderError> {
    serde_json::from_slice(json)
        .map_err(|_| ProviderError::bad_answer("the provider's answer cannot be understood"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::provider::{ProviderErrorKind, sse::Splitter};

    const STREAM: &[u8] = include_bytes!("../../../tests/golden/gemini/tools.response.sse");

    /// What a stream tells when it comes in these pieces.
    fn events<'a>(pieces: impl IntoIterator<Item = &'a [u8]>) -> Vec<ModelEvent> {
        let (mut splitter, mut decoder) = (Splitter::default(), Decoder::default());
        let mut events = Vec::new();
        for piece in pieces {
            splitter.push(piece);
            while let Some(frame) = splitter.next_frame().expect("short events") {
                if let Some(data) = frame.data() {
                    events.extend(decoder.event(&data).expect("a good event"));
                }
            }
        }
        assert!(decoder.finished);
        events
    }

    fn finished(reason: &str) -> Result<Finish, ProviderErrorKind> {
        let body = format!(r#"{{"candidates": [{{"finishReason": "{reason}"}}]}}"#);
        answer(body.as_bytes()).map(|answer| answer.said.finish).map_err(|error| error.kind)
    }

    #[test]
    fn a_response_with_words_and_calls_is_read_and_its_thoughts_are_not() {
        let body = include_bytes!("../../../tests/golden/gemini/tools.response.json");

        let call = |id: &str, name: &str, arguments: &str| ToolCall {
            id: id.into(),
            name: name.into(),
            arguments: arguments.into(),
        };
        let calls =
            vec![call("mAit-a_L-0_signed_c2ln", "look", "{\"at\": 1}"), call("mAit-a_L-1", "wait", "{}")];
        let said = Said { text: "Let me look.".into(), calls, finish: Finish::ToolCalls };
        let usage = Some(Usage { input: 472, output: 89, cached: 10 });
        assert_eq!(answer(body), Ok(Answer { said, usage }));
    }

    #[test]
    fn every_split_point_of_a_stream_gives_the_same_events() {
        let used = |output, cached| ModelEvent::Usage(Usage { input: 472, output, cached });
        let text = |text: &str| ModelEvent::Said(Piece::Text(text.into()));
        let call =
            |index, id: &str| ModelEvent::Said(Piece::Call { index, id: id.into(), name: "look".into() });
        let arguments = |index, json: &str| ModelEvent::Said(Piece::Arguments { index, json: json.into() });
        let expected = [
            used(30, 0),
            text("Let me "),
            used(43, 0),
            text("löok."),
            call(0, "mAit-a_L-0_signed_c2ln"),
            arguments(0, "{\"at\":1}"),
            used(60, 0),
            call(1, "mAit-a_L-1"),
            arguments(1, "{}"),
            used(80, 0),
            ModelEvent::Finish(Finish::ToolCalls),
            used(89, 10),
        ];

        for cut in 0..=STREAM.len() {
            assert_eq!(events([&STREAM[..cut], &STREAM[cut..]]), expected, "split at {cut}");
        }
        assert_eq!(events(STREAM.chunks(1)), expected);
    }

    #[test]
    fn a_prompt_that_is_blocked_is_an_answer_that_a_filter_cut() {
        let body = include_bytes!("../../../tests/golden/gemini/blocked.response.json");

        let said = Said { finish: Finish::ContentFilter, ..Said::default() };
        let usage = Some(Usage { input: 8, output: 0, cached: 0 });
        assert_eq!(answer(body), Ok(Answer { said, usage }));
    }

    #[test]
    fn every_reason_has_its_meaning() {
        assert_eq!(finished("STOP"), Ok(Finish::Stop));
        assert_eq!(finished("MAX_TOKENS"), Ok(Finish::Length));
        assert_eq!(finished("OF_THE_FUTURE"), Ok(Finish::Stop));
        for filter in ["SAFETY", "RECITATION", "BLOCKLIST", "PROHIBITED_CONTENT", "SPII"] {
            assert_eq!(finished(filter), Ok(Finish::ContentFilter), "{filter}");
        }
        for broken in ["MALFORMED_FUNCTION_CALL", "UNEXPECTED_TOOL_CALL", "MISSING_THOUGHT_SIGNATURE"] {
            assert_eq!(finished(broken), Err(ProviderErrorKind::BadAnswer), "{broken}");
        }
    }

    #[test]
    fn an_error_in_the_middle_is_told_by_its_code() {
        let kind = |code: u16| {
            let event =
                format!(r#"{{"error": {{"code": {code}, "status": "UNAVAILABLE", "message": "secret"}}}}"#);
            let error = Decoder::default().event(event.as_bytes()).expect_err("an error");
            assert!(!format!("{error:?}").contains("secret"));
            error.kind
        };

        assert_eq!(kind(503), ProviderErrorKind::Unavailable);
        assert_eq!(kind(429), ProviderErrorKind::RateLimited { retry_after: None });
        assert_eq!(kind(400), ProviderErrorKind::Rejected);
    }

    #[test]
    fn what_is_no_answer_is_told() {
        for body in ["<html>", "[]", "{}", r#"{"candidates": 7}"#, r#"{"candidates": []}"#] {
            let error = answer(body.as_bytes()).expect_err(body);
            assert_eq!(error.kind, ProviderErrorKind::BadAnswer, "{body}");
        }
    }
}
