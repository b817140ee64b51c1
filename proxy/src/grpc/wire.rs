//! Messages of the contract <-> calls. Pure but for the time stamped on metrics.

use std::time::Instant;

use tonic::{
    Code, Status,
    metadata::{MetadataMap, MetadataValue},
};
use vibectl_proto::llm_proxy::{
    ExecuteError, ExecuteRequest, ExecuteResponse, ExecuteSuccess, ExecutionMetrics, StreamChunk,
    StreamComplete, execute_response::Result as Outcome, stream_chunk::ChunkType,
};

use crate::{
    call::{Answer, CallRequest, Event, Summary},
    cost::Cost,
    error::{CallError, Grpc},
    provider::{Message, ModelRequest, Piece, Reply, Role},
    state::unix_now,
    structured::Schema,
};

/// What joins the fragments of a prompt.
const BLANK_LINE: &str = "\n\n";

/// Reads a request. The system prompt is one message, what the user says another, which may be empty.
pub(super) fn call_request(
    request: ExecuteRequest,
    deadline: Option<Instant>,
) -> Result<CallRequest, CallError> {
    let ExecuteRequest { system_fragments, user_fragments, model_name, response_model_schema, request_id: _ } =
        request;
    let input_length = system_fragments.iter().chain(&user_fragments).map(|text| text.chars().count()).sum();
    let say = |role, fragments: &[String]| Message::text(role, fragments.join(BLANK_LINE));
    let system = (!system_fragments.is_empty()).then(|| say(Role::System, &system_fragments));
    let messages = system.into_iter().chain([say(Role::User, &user_fragments)]).collect();
    let schema = response_model_schema.filter(|text| !text.is_empty());
    let schema =
        schema.map(|text| Schema::parse(&text)).transpose().map_err(|invalid| CallError::Invalid {
            message: format!("response_model_schema is not a schema that can be used: {invalid}"),
            param: Some("response_model_schema"),
        })?;
    let prompt = ModelRequest { messages, schema, ..ModelRequest::default() };
    Ok(CallRequest { model: model_name, prompt, input_length, deadline })
}

/// The answer to `Execute`.
pub(super) fn response(
    request_id: String,
    answered: Result<Answer, CallError>,
) -> Result<ExecuteResponse, Status> {
    let result = match answered {
        Ok(Answer { reply: Reply::Said(said), summary }) => Outcome::Success(ExecuteSuccess {
            response_text: said.text,
            actual_model_used: summary.model.to_string(),
            metrics: Some(metrics(&summary)),
        }),
        Ok(Answer { reply: Reply::Raw(..), .. }) => return Err(no_text()),
        Err(error) => Outcome::Error(error_message(&error)?),
    };
    Ok(ExecuteResponse { request_id, result: Some(result) })
}

/// The chunks that one event of a stream becomes.
pub(super) fn chunks(request_id: &str, event: Result<Event, CallError>) -> Vec<Result<StreamChunk, Status>> {
    let chunk = |chunk| StreamChunk { request_id: request_id.to_owned(), chunk_type: Some(chunk) };
    match event {
        Ok(Event::Said(Piece::Text(text))) => vec![Ok(chunk(ChunkType::TextChunk(text)))],
        // No tools are offered over this contract.
        Ok(Event::Said(Piece::Call { .. } | Piece::Arguments { .. })) => Vec::new(),
        Ok(Event::Raw(_)) => vec![Err(no_text())],
        Ok(Event::Done(summary)) => {
            let complete = StreamComplete { actual_model_used: summary.model.to_string() };
            [ChunkType::Complete(complete), ChunkType::FinalMetrics(metrics(&summary))]
                .map(chunk)
                .map(Ok)
                .into()
        }
        Err(error) => vec![error_message(&error).map(ChunkType::Error).map(chunk)],
    }
}

/// The status for errors that are one.
pub(super) fn status(error: &CallError) -> Status {
    match error.told().grpc {
        Grpc::Status(code) => Status::with_metadata(code, error.to_string(), trailers(error)),
        Grpc::Message(_) => Status::unavailable(error.to_string()),
    }
}

fn error_message(error: &CallError) -> Result<ExecuteError, Status> {
    match error.told().grpc {
        Grpc::Message(error_code) => Ok(ExecuteError {
            error_code: error_code.to_owned(),
            error_message: error.to_string(),
            error_details: None,
        }),
        Grpc::Status(_) => Err(status(error)),
    }
}

/// What clients of the contract read from a call that was refused for now.
fn trailers(error: &CallError) -> MetadataMap {
    let mut trailers = MetadataMap::new();
    if let CallError::Limited(refused) = error {
        trailers.insert("limit-type", MetadataValue::from_static(refused.kind.as_str()));
        trailers.insert("retry-after-ms", MetadataValue::from(refused.retry_after_ms()));
    } else if let Some(wait) = error.retry_after() {
        let wait = u64::try_from(wait.as_millis()).unwrap_or(u64::MAX);
        trailers.insert("retry-after-ms", MetadataValue::from(wait));
    }
    trailers
}

fn metrics(summary: &Summary) -> ExecutionMetrics {
    let Summary { usage, cost, duration, retries, .. } = summary;
    let total = usage.input_tokens.saturating_add(usage.output_tokens);
    ExecutionMetrics {
        duration_ms: i64::try_from(duration.as_millis()).unwrap_or(i64::MAX),
        input_tokens: Some(clamped(usage.input_tokens)),
        output_tokens: Some(clamped(usage.output_tokens)),
        total_tokens: Some(clamped(total)),
        cost_usd: cost.map(Cost::dollars),
        retry_count: clamped((*retries).into()),
        timestamp: unix_now(),
    }
}

fn clamped(count: u64) -> i32 {
    i32::try_from(count).unwrap_or(i32::MAX)
}

/// A provider's own bytes are only ever given to a caller who sent such bytes.
fn no_text() -> Status {
    Status::new(Code::Internal, "the answer is not text")
}

#[cfg(test)]
mod tests {
    use std::{sync::Arc, time::Duration};

    use super::*;
    use crate::{
        limits::{LimitKind, Refused, Scope},
        provider::Finish,
        router::NoRoute,
        usage::Usage,
    };

    fn request(system: &[&str], user: &[&str]) -> ExecuteRequest {
        let owned = |texts: &[&str]| texts.iter().map(|text| (*text).to_owned()).collect();
        ExecuteRequest {
            system_fragments: owned(system),
            user_fragments: owned(user),
            ..ExecuteRequest::default()
        }
    }

    #[test]
    fn system_fragments_are_the_system_prompt_and_user_fragments_the_users_words() {
        let call = call_request(request(&["a", "b"], &["ä", "d"]), None).expect("a good request");

        let said: Vec<_> = call.prompt.messages.iter().map(|one| (one.role, one.words())).collect();
        assert_eq!(said, [(Role::System, "a\n\nb".into()), (Role::User, "ä\n\nd".into())]);
        assert_eq!(call.input_length, 4);
    }

    #[test]
    fn a_request_without_fragments_is_an_empty_prompt() {
        let call = call_request(request(&[], &[]), None).expect("a good request");

        let said: Vec<_> = call.prompt.messages.iter().map(|one| (one.role, one.words())).collect();
        assert_eq!(said, [(Role::User, "".into())]);
    }

    #[test]
    fn a_schema_that_cannot_be_used_is_an_invalid_argument_with_its_place() {
        let schema = Some(r#"{"properties": {"a": {"type": "text"}}}"#.to_owned());
        let request = ExecuteRequest { response_model_schema: schema, ..ExecuteRequest::default() };

        let refused = status(&call_request(request, None).expect_err("a bad schema"));

        assert_eq!(refused.code(), Code::InvalidArgument);
        assert!(refused.message().contains("/properties/a/type"), "{}", refused.message());
    }

    #[test]
    fn a_stream_ends_with_complete_and_then_the_metrics() {
        let summary = Summary {
            model: Arc::from("small"),
            usage: Usage { input_tokens: 3, output_tokens: 4, estimated: false },
            cost: Some(Cost::from_picos(97_500_000)),
            finish: Finish::Stop,
            cached_tokens: 0,
            duration: Duration::from_millis(5),
            retries: 1,
        };

        let chunks: Vec<_> = chunks("7", Ok(Event::Done(summary)))
            .into_iter()
            .map(|chunk| chunk.expect("no status"))
            .collect();

        let complete = ChunkType::Complete(StreamComplete { actual_model_used: "small".to_owned() });
        assert_eq!(chunks[0], StreamChunk { request_id: "7".to_owned(), chunk_type: Some(complete) });
        let Some(ChunkType::FinalMetrics(metrics)) = &chunks[1].chunk_type else {
            panic!("metrics come last")
        };
        assert_eq!((metrics.total_tokens, metrics.duration_ms, metrics.retry_count), (Some(7), 5, 1));
        assert_eq!(metrics.cost_usd, Some(0.000_097_5));
    }

    #[test]
    fn trouble_with_models_is_a_message_and_a_limit_is_a_status_with_trailers() {
        let missing = CallError::NoRoute(NoRoute::ModelNotFound("x".to_owned()));
        let response = response("7".to_owned(), Err(missing)).expect("a message");
        let Some(Outcome::Error(error)) = response.result else { panic!("an error") };
        assert_eq!(
            (error.error_code.as_str(), error.error_message.as_str()),
            ("MODEL_NOT_FOUND", "unknown model: x")
        );

        let refused = CallError::Limited(Refused {
            kind: LimitKind::Rate,
            scope: Scope::Caller,
            maximum: 1,
            retry_after: Duration::from_micros(1_500),
        });
        let refused = status(&refused);
        assert_eq!(refused.code(), Code::ResourceExhausted);
        assert_eq!(refused.metadata().get("limit-type").expect("there"), "rpm");
        assert_eq!(refused.metadata().get("retry-after-ms").expect("there"), "2");
    }
}
