//! Tokens per minute: reserved before a provider is asked, settled with what it reports.

use std::time::Duration;

use http::StatusCode;
use serde_json::{Value, json};

use crate::{
    fake_provider::{Fake, Script, Step, delta},
    proxy::{Proxy, ask},
};

/// A hundred tokens a minute for each caller.
async fn limited(fake: &Fake) -> Proxy {
    Proxy::start(&format!(
        "server: {{default_model: small, limits: {{global: {{max_tokens_per_minute: 100}}}}}}\n\
         providers: [{{name: local, openai: {{base_url: '{}'}}}}]\n\
         models: [{{name: small, routes: [{{provider: local, model: m}}]}}]",
        fake.base_url()
    ))
    .await
}

/// Status, code of the error and seconds to wait of a call whose answer may have this many tokens.
async fn call(proxy: &Proxy, max_tokens: u32, more: Value) -> (StatusCode, Option<String>, Option<u64>) {
    let mut body = json!({"messages": [{"role": "user", "content": "hello"}], "max_tokens": max_tokens});
    body.as_object_mut().expect("an object").extend(more.as_object().expect("an object").clone());
    let response = proxy.chat(body.to_string()).await;
    let wait = response.headers().get("retry-after").and_then(|wait| wait.to_str().ok()?.parse().ok());
    let status = response.status();
    let body: Value = response.json().await.expect("JSON");
    (status, body["error"]["code"].as_str().map(str::to_owned), wait)
}

#[tokio::test]
async fn what_the_provider_reports_counts_and_not_what_was_reserved() {
    let fake = Fake::start(Script::answer("hi")).await;
    let proxy = limited(&fake).await;

    assert_eq!(call(&proxy, 99, json!({})).await.0, StatusCode::OK, "1 + 99 reserved, 11 + 7 taken");
    assert_eq!(call(&proxy, 81, json!({})).await.0, StatusCode::OK, "18 + 82");
    let (status, code, wait) = call(&proxy, 81, json!({})).await;

    assert_eq!((status, code.as_deref()), (StatusCode::TOO_MANY_REQUESTS, Some("rate_limit_exceeded")));
    assert!(wait.is_some_and(|seconds| (55..=61).contains(&seconds)), "{wait:?}");
    assert_eq!(fake.requests().len(), 2, "nobody was asked in vain");
}

#[tokio::test]
async fn a_call_that_could_take_more_than_a_minute_has_is_refused_for_what_it_is() {
    let fake = Fake::start(Script::answer("hi")).await;
    let proxy = limited(&fake).await;

    let large = (StatusCode::PAYLOAD_TOO_LARGE, Some("tokens_above_limit".to_owned()), None);
    assert_eq!(call(&proxy, 100, json!({})).await, large);
    assert_eq!(call(&proxy, 40, json!({"n": 3})).await, large, "each choice has its own cap");
    assert!(fake.requests().is_empty());
}

#[tokio::test]
async fn a_grpc_caller_is_told_by_the_limit_type_that_the_original_documents() {
    let fake = Fake::start(Script::answer("hi")).await;
    let proxy = limited(&fake).await;
    let mut client = proxy.grpc().await;
    client.execute(ask("hello")).await.expect("a call that does not say how long its answer may be");
    let prompt = "x".repeat(400);

    let refused = client.execute(ask(&prompt)).await.expect_err("18 taken, at least 100 wanted");

    assert_eq!(refused.code(), tonic::Code::ResourceExhausted);
    assert_eq!(refused.metadata().get("limit-type").expect("there"), "token");
    let wait = refused.metadata().get("retry-after-ms").expect("there").to_str().expect("ASCII");
    let wait: u64 = wait.parse().expect("a number");
    assert!((55_000..=61_000).contains(&wait), "{wait}");
}

#[tokio::test]
async fn a_stream_that_its_caller_leaves_gives_back_what_was_not_said() {
    let fake = Fake::start(Script::events(&[&delta("eight ch")]).then(Step::Hang)).await;
    let proxy = limited(&fake).await;
    let mut stream = proxy.grpc().await.stream_execute(ask("hello")).await.expect("accepted").into_inner();
    stream.message().await.expect("the first chunk");
    assert_eq!(call(&proxy, 1, json!({})).await.0, StatusCode::TOO_MANY_REQUESTS, "all of it is reserved");

    drop(stream);
    fake.abandoned().await;
    proxy.idle().await;

    assert_eq!(proxy.tokens(), (1, 2));
    let admitted = tokio::time::timeout(Duration::from_millis(300), call(&proxy, 90, json!({}))).await;
    assert!(admitted.is_err(), "not refused: the provider is at work on it");
}
