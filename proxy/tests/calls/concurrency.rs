//! A provider has as many calls at once as its config allows. Nobody waits for a place.

use tonic::Code;

use crate::{
    fake_provider::{Fake, Script, Step, delta},
    proxy::{Proxy, ask},
};

/// A call that gets a place which it should not have ends soon, so that the test fails and does not hang.
const ONE_AT_ONCE: &str = "max_concurrency: 1, first_byte_timeout_seconds: 10, idle_timeout_seconds: 10";

fn hanging() -> Script {
    Script::events(&[&delta("begun")]).then(Step::Hang)
}

#[tokio::test]
async fn a_call_that_finds_a_provider_full_goes_to_the_next_one() {
    let (busy, idle) = (Fake::start(hanging()).await, Fake::start(Script::answer("elsewhere")).await);
    let proxy = Proxy::before_with(ONE_AT_ONCE, &[busy.base_url(), idle.base_url()]).await;
    let mut open = proxy.grpc().await.stream_execute(ask("hello")).await.expect("accepted").into_inner();
    open.message().await.expect("no error").expect("the first chunk");

    assert_eq!(proxy.execute(ask("hello")).await.as_deref(), Ok("elsewhere"));

    assert_eq!(busy.requests().len(), 1);
    let metrics = proxy.shared.metrics.render();
    let full = r#"vibectl_provider_passed_over_total{provider="p0",reason="full"} 1"#;
    assert!(metrics.contains(full), "{metrics}");
}

#[tokio::test]
async fn a_call_that_finds_every_provider_full_is_refused_with_the_reason_and_when_to_come_back() {
    let busy = Fake::start(hanging()).await;
    let proxy = Proxy::before_with(ONE_AT_ONCE, &[busy.base_url()]).await;
    let mut open = proxy.grpc().await.stream_execute(ask("hello")).await.expect("accepted").into_inner();
    open.message().await.expect("no error").expect("the first chunk");

    let refused = proxy.grpc().await.execute(ask("hello")).await.expect_err("full");
    let told = proxy.chat(r#"{"messages":[{"role":"user","content":"hello"}]}"#).await;

    assert_eq!(refused.code(), Code::ResourceExhausted);
    assert_eq!(refused.metadata().get("retry-after-ms").expect("there"), "1000");
    assert!(refused.message().contains("as many calls as it may have"), "{}", refused.message());
    assert_eq!((told.status().as_u16(), &told.headers()["retry-after"]), (503, &"1".parse().expect("ASCII")));
    let body: serde_json::Value = told.json().await.expect("JSON");
    assert_eq!(body["error"]["code"], "providers_full");
    assert_eq!(busy.requests().len(), 1);
}

#[tokio::test]
async fn the_place_of_a_call_whose_caller_went_away_is_free_again() {
    let busy = Fake::start(hanging()).await;
    let proxy = Proxy::before_with(ONE_AT_ONCE, &[busy.base_url()]).await;
    for _ in 0..3 {
        let mut open = proxy.grpc().await.stream_execute(ask("hello")).await.expect("a place").into_inner();
        open.message().await.expect("no error").expect("the first chunk");
        drop(open);
        proxy.idle().await;
    }

    assert_eq!(busy.requests().len(), 3);
}

#[tokio::test]
async fn the_place_of_a_call_that_failed_is_free_while_it_waits_for_its_retry() {
    let failure = Script::body("text/plain", "").with_status(503);
    let fake = Fake::in_turn(vec![failure.clone(), failure, Script::answer("hi")]).await;
    let settings = "max_concurrency: 1, retries: {attempts: 2, base_ms: 1, cap_ms: 1}";

    let answer = Proxy::before_with(settings, &[fake.base_url()]).await.execute(ask("hello")).await;

    assert_eq!(answer.as_deref(), Ok("hi"));
}
