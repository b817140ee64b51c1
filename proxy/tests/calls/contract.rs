//! The gRPC contract as released clients rely on it, with the embedded provider behind it.

use std::time::{Duration, Instant};

use tonic::{Code, Request};
use vibectl_proto::llm_proxy::{
    ExecuteRequest, GetServerInfoRequest, execute_response::Result as Outcome, stream_chunk::ChunkType,
};

use crate::proxy::{Proxy, ask};

#[tokio::test]
async fn a_stream_is_text_then_complete_then_the_metrics() {
    let proxy = Proxy::start("").await;
    let request = ExecuteRequest { request_id: "r-1".to_owned(), ..ask("a text of more than one chunk") };

    let mut stream = proxy.grpc().await.stream_execute(request).await.expect("accepted").into_inner();

    let (mut text, mut kinds) = (String::new(), Vec::new());
    while let Some(chunk) = stream.message().await.expect("no status but OK") {
        assert_eq!(chunk.request_id, "r-1");
        match chunk.chunk_type.expect("a chunk") {
            ChunkType::TextChunk(piece) => {
                kinds.push("text");
                text.push_str(&piece);
            }
            ChunkType::Complete(complete) => {
                kinds.push("complete");
                assert_eq!(complete.actual_model_used, "echo");
            }
            ChunkType::FinalMetrics(metrics) => {
                kinds.push("metrics");
                assert_eq!(
                    (metrics.input_tokens, metrics.output_tokens, metrics.total_tokens),
                    (Some(7), Some(7), Some(14))
                );
                assert!(metrics.timestamp > 1_700_000_000);
            }
            ChunkType::Error(error) => panic!("{error:?}"),
        }
    }
    assert_eq!(text, "a text of more than one chunk");
    assert_eq!(kinds, ["text", "text", "complete", "metrics"]);
}

#[tokio::test]
async fn a_whole_answer_has_its_metrics_and_the_models_own_name() {
    let proxy = Proxy::start("").await;
    let request = ExecuteRequest { model_name: Some("default".to_owned()), ..ask("hello") };

    let response = proxy.grpc().await.execute(request).await.expect("accepted").into_inner();

    assert_eq!(response.request_id.len(), 36, "a UUID where the caller gave none");
    let Some(Outcome::Success(success)) = response.result else { panic!("a success") };
    assert_eq!((success.response_text.as_str(), success.actual_model_used.as_str()), ("hello", "echo"));
    assert_eq!(success.metrics.expect("there").total_tokens, Some(2));
    assert_eq!(proxy.tokens(), (1, 1));
}

#[tokio::test]
async fn the_server_tells_what_there_is() {
    let proxy = Proxy::start("").await;

    let info =
        proxy.grpc().await.get_server_info(GetServerInfoRequest {}).await.expect("answered").into_inner();

    assert_eq!((info.server_name.as_str(), info.server_version.as_str()), ("vibectl-llm-proxy", "0.11.6"));
    assert_eq!(info.available_models[0].model_id, "echo");
    assert!(info.limits.is_some());
}

#[tokio::test]
async fn models_that_are_not_there_are_messages_in_both_kinds_of_call() {
    let proxy = Proxy::start("models: [{name: small, routes: [{provider: echo, model: echo}]}]\nproviders: [{name: echo, echo: {}}]").await;
    let unknown = ExecuteRequest { model_name: Some("large".to_owned()), ..ask("hello") };

    let missing = proxy.execute(unknown.clone()).await.expect_err("unknown");
    assert_eq!(missing, ("MODEL_NOT_FOUND".to_owned(), "unknown model: large".to_owned()));
    assert_eq!(proxy.stream(unknown).await.1.expect_err("unknown").0, "MODEL_NOT_FOUND");
    let none = proxy.execute(ask("hello")).await.expect_err("no default");
    assert_eq!(none.0, "NO_MODEL");
    assert_eq!(proxy.tokens(), (0, 0), "nothing was sent, nothing is owed");
}

#[tokio::test]
async fn a_limit_is_a_status_that_tells_when_to_come_back() {
    let proxy =
        Proxy::start("server: {limits: {global: {max_requests_per_minute: 1, max_input_length: 10}}}").await;
    let mut client = proxy.grpc().await;

    let long = client.execute(ask("more than ten characters")).await.expect_err("too long");
    client.execute(ask("hello")).await.expect("the first");
    let refused = client.stream_execute(ask("hello")).await.expect_err("the second");

    assert_eq!(
        (long.code(), long.metadata().get("limit-type")),
        (Code::ResourceExhausted, Some(&"input".parse().expect("ASCII")))
    );
    assert_eq!(refused.code(), Code::ResourceExhausted);
    assert_eq!(refused.metadata().get("limit-type").expect("there"), "rpm");
    let wait: u64 = refused
        .metadata()
        .get("retry-after-ms")
        .expect("there")
        .to_str()
        .expect("ASCII")
        .parse()
        .expect("a number");
    assert!((1..=61_000).contains(&wait), "{wait}");
}

#[tokio::test]
async fn the_callers_deadline_ends_a_call() {
    let proxy = Proxy::start("providers: [{name: echo, echo: {delay_ms: 60000}}]\nmodels: [{name: echo, routes: [{provider: echo, model: echo}]}]\nserver: {default_model: echo}").await;
    let mut request = Request::new(ask("hello"));
    request.set_timeout(Duration::from_millis(200));
    let start = Instant::now();

    let late = proxy.grpc().await.execute(request).await.expect_err("too late");

    assert!(matches!(late.code(), Code::DeadlineExceeded | Code::Cancelled), "{late:?}");
    assert!(start.elapsed() < Duration::from_secs(30));
    proxy.idle().await;
}

#[tokio::test]
async fn the_time_limit_ends_a_stream_that_has_begun() {
    let config = "
server: {default_model: echo, limits: {global: {request_timeout_seconds: 1}}}
providers: [{name: echo, echo: {chunk_size: 1, chunk_delay_ms: 400}}]
models: [{name: echo, routes: [{provider: echo, model: echo}]}]";
    let proxy = Proxy::start(config).await;
    let mut stream =
        proxy.grpc().await.stream_execute(ask("a long text")).await.expect("accepted").into_inner();

    let (mut text, mut end) = (0, None);
    loop {
        match stream.message().await {
            Ok(Some(_)) => text += 1,
            Ok(None) => break,
            Err(status) => {
                end = Some(status.code());
                break;
            }
        }
    }

    assert_eq!((text, end), (3, Some(Code::DeadlineExceeded)));
    proxy.idle().await;
}
