//! A caller that goes away: the provider is told within a second, the permit is given back, what was said is booked.

use std::time::Duration;

use tokio::time::{sleep, timeout};

use crate::{
    fake_provider::{Fake, Script, Step, delta},
    proxy::{Proxy, ask, client},
};

#[tokio::test]
async fn c02_e11_leaving_a_stream_ends_the_upstream_call() {
    let fake = Fake::start(Script::events(&[&delta("eight ch")]).then(Step::Hang)).await;
    let proxy = Proxy::before(&[fake.base_url()]).await;
    let mut stream = proxy.grpc().await.stream_execute(ask("hello")).await.expect("accepted").into_inner();
    stream.message().await.expect("the first chunk");

    drop(stream);

    fake.abandoned().await;
    proxy.idle().await;
    assert_eq!(proxy.tokens(), (1, 2), "estimated from what was said");
}

#[tokio::test]
async fn e11_leaving_before_the_first_word_ends_the_upstream_call() {
    let fake = Fake::start(Script { wait: Duration::from_secs(60), ..Script::stream(&["late"]) }).await;
    let proxy = Proxy::before(&[fake.base_url()]).await;
    let mut client = proxy.grpc().await;

    let left = timeout(Duration::from_millis(200), client.stream_execute(ask("hello"))).await;

    assert!(left.is_err());
    fake.abandoned().await;
    proxy.idle().await;
}

#[tokio::test]
async fn e11_leaving_a_unary_call_ends_the_upstream_call() {
    let fake = Fake::start(Script { wait: Duration::from_secs(60), ..Script::answer("late") }).await;
    let proxy = Proxy::before(&[fake.base_url()]).await;
    let mut client = proxy.grpc().await;

    let left = timeout(Duration::from_millis(200), client.execute(ask("hello"))).await;

    assert!(left.is_err());
    fake.abandoned().await;
    proxy.idle().await;
}

#[tokio::test]
async fn e11_leaving_an_http_stream_ends_the_upstream_call() {
    let fake = Fake::start(Script::events(&[&delta("begun")]).then(Step::Hang)).await;
    let proxy = Proxy::before(&[fake.base_url()]).await;
    let mut response = proxy.chat(r#"{"stream":true,"messages":[{"role":"user","content":"hello"}]}"#).await;
    response.chunk().await.expect("the first event");

    drop(response);

    fake.abandoned().await;
    proxy.idle().await;
}

#[tokio::test]
async fn e11_leaving_an_http_request_that_waits_ends_the_upstream_call() {
    let fake = Fake::start(Script { wait: Duration::from_secs(60), ..Script::answer("late") }).await;
    let proxy = Proxy::before(&[fake.base_url()]).await;
    let request = client()
        .post(format!("http://{}/v1/chat/completions", proxy.address))
        .body(r#"{"messages":[{"role":"user","content":"hello"}]}"#);

    let left = timeout(Duration::from_millis(200), request.send()).await;

    assert!(left.is_err());
    fake.abandoned().await;
    proxy.idle().await;
}

#[tokio::test]
async fn c10_a_caller_that_does_not_read_holds_the_provider_back() {
    let piece = delta(&"x".repeat(64 * 1024));
    let events: Vec<&str> = std::iter::repeat_n(piece.as_str(), 500).collect();
    let fake = Fake::start(Script::events(&events).then(Step::Hang)).await;
    let proxy = Proxy::before(&[fake.base_url()]).await;
    let stream = proxy.grpc().await.stream_execute(ask("hello")).await.expect("accepted").into_inner();

    sleep(Duration::from_millis(500)).await;
    drop(stream);

    fake.abandoned().await;
    proxy.idle().await;
    let (_, output) = proxy.tokens();
    assert!(output < 500 * 16 * 1024, "{output}: the whole stream was read although nobody took it");
}
