//! Providers that fail: each fault is one clear error, nothing of the provider's words gets out, nothing is sent twice.

use std::time::{Duration, Instant};

use bytes::Bytes;

use crate::{
    fake_provider::{Fake, Script, Step, delta},
    proxy::{Proxy, ask},
};

/// What a unary call and a stream say about a provider that answers so.
async fn told(unary: Script, stream: Script) -> [String; 2] {
    let (unary, stream) = (Fake::start(unary).await, Fake::start(stream).await);
    let (code, whole) =
        Proxy::before(&[unary.base_url()]).await.execute(ask("hello")).await.expect_err("a failure");
    assert_eq!(code, "EXECUTION_FAILED");
    let (text, end) = Proxy::before(&[stream.base_url()]).await.stream(ask("hello")).await;
    let (code, streamed) = end.expect_err("a failure");
    assert_eq!((code.as_str(), text.as_str()), ("EXECUTION_FAILED", ""));
    assert_eq!((unary.requests().len(), stream.requests().len()), (1, 1), "asked once");
    [whole, streamed]
}

async fn told_by_both(script: Script) -> String {
    let [whole, streamed] = told(script.clone(), script).await;
    assert_eq!(whole, streamed);
    whole
}

#[tokio::test]
async fn an_error_status_is_told_in_our_words() {
    let body = r#"{"error":{"message":"secret prompt sk-123","type":"server_error","code":null}}"#;
    let status = |status| Script::body("application/json", body).with_status(status);

    assert_eq!(told_by_both(status(500)).await, "provider p0: the provider failed (status 500)");
    assert_eq!(
        told_by_both(status(401)).await,
        "provider p0: the provider does not accept the key of this server (status 401)"
    );
    assert_eq!(
        told_by_both(status(404)).await,
        "provider p0: the provider does not have this model (status 404)"
    );
    assert_eq!(told_by_both(status(400)).await, "provider p0: the provider refused the request (status 400)");
}

#[tokio::test]
async fn an_error_page_is_told_in_our_words() {
    let page = Script::body("text/html", "<html>secret</html>");

    assert_eq!(
        told_by_both(page.clone().with_status(502)).await,
        "provider p0: the provider failed (status 502)"
    );
    let [whole, streamed] = told(page.clone(), page).await;
    assert_eq!(whole, "provider p0: the provider's answer cannot be understood");
    assert_eq!(streamed, "provider p0: the provider did not answer with a stream");
}

#[tokio::test]
async fn an_error_object_within_a_response_of_success_is_an_error() {
    let error = r#"{"error":{"message":"secret","code":500}}"#;

    let [whole, streamed] = told(Script::body("application/json", error), Script::events(&[error])).await;

    assert_eq!(whole, "provider p0: the provider failed (status 500)");
    assert_eq!(streamed, whole);
}

#[tokio::test]
async fn garbage_is_an_error() {
    let [whole, streamed] =
        told(Script::body("application/json", "\0\u{1}garbage"), Script::events(&["\0garbage"])).await;

    assert_eq!(whole, "provider p0: the provider's answer cannot be understood");
    assert_eq!(streamed, whole);
}

#[tokio::test]
async fn an_answer_without_an_end_to_its_size_is_cut_off() {
    let megabyte = Bytes::from(vec![b'a'; 1024 * 1024]);
    let endless = |content_type| Script {
        steps: std::iter::repeat_n(Step::Send(megabyte.clone()), 20).collect(),
        ..Script::body(content_type, "")
    };

    let [whole, streamed] = told(endless("application/json"), endless("text/event-stream")).await;

    assert_eq!(whole, "provider p0: the provider's answer is too long");
    assert_eq!(streamed, "provider p0: an event of the provider's answer is too long");
}

#[tokio::test]
async fn e07_silence_before_the_first_byte_ends_after_its_timeout() {
    let start = Instant::now();

    let script = Script { wait: Duration::from_secs(60), ..Script::answer("late") };
    let told = told_by_both(script).await;

    assert_eq!(told, "provider p0: the provider did not answer in time");
    assert!(start.elapsed() < Duration::from_secs(30));
}

#[tokio::test]
async fn e07_silence_within_a_stream_ends_after_the_idle_timeout() {
    let fake = Fake::start(Script::events(&[&delta("begun")]).then(Step::Hang)).await;
    let proxy = Proxy::before(&[fake.base_url()]).await;

    let (text, end) = proxy.stream(ask("hello")).await;

    assert_eq!(text, "begun");
    assert_eq!(end.expect_err("a failure").1, "provider p0: the provider did not answer in time");
}

#[tokio::test]
async fn a_stream_that_breaks_is_told_after_its_text_and_never_run_again() {
    let wait = Step::Wait(Duration::from_millis(50));
    let cut = Fake::start(Script::events(&[&delta("begun")]).then(wait).then(Step::Cut)).await;
    let good = Fake::start(Script::stream(&["never"])).await;
    let proxy = Proxy::before(&[cut.base_url(), good.base_url()]).await;

    let (text, end) = proxy.stream(ask("hello, provider")).await;

    assert_eq!(text, "begun");
    assert_eq!(end.expect_err("a failure").1, "provider p0: the connection to the provider broke");
    assert_eq!((cut.requests().len(), good.requests().len()), (1, 0));
    proxy.idle().await;
    assert_eq!(proxy.tokens(), (3, 1), "what was said counts, estimated");
}

#[tokio::test]
async fn a_stream_that_stops_short_of_its_end_is_an_error() {
    let fake = Fake::start(Script::events(&[&delta("begun")])).await;

    let (text, end) = Proxy::before(&[fake.base_url()]).await.stream(ask("hello")).await;

    assert_eq!(text, "begun");
    assert_eq!(end.expect_err("a failure").1, "provider p0: the provider's answer ended too early");
}

#[tokio::test]
async fn a_stream_without_its_last_event_is_fine_when_the_model_had_ended() {
    let fake =
        Fake::start(Script::events(&[r#"{"choices":[{"delta":{"content":"all"},"finish_reason":"stop"}]}"#]))
            .await;

    let (text, end) = Proxy::before(&[fake.base_url()]).await.stream(ask("hello")).await;

    assert_eq!((text.as_str(), end.as_deref()), ("all", Ok("small")));
}

#[tokio::test]
async fn e02_a_redirect_is_not_followed() {
    let target = Fake::start(Script::answer("elsewhere")).await;
    let location: &'static str = Box::leak(target.base_url().into_boxed_str());
    let mut script = Script::body("text/plain", "").with_status(307);
    script.headers.push(("location", location));

    let told = told_by_both(script).await;

    assert_eq!(told, "provider p0: the provider answered with a redirect (status 307)");
    assert!(target.requests().is_empty());
}

#[tokio::test]
async fn a_provider_that_is_not_there_is_told_at_once() {
    let proxy = Proxy::before(&["http://127.0.0.1:1/v1".to_owned()]).await;

    let (_, message) = proxy.execute(ask("hello")).await.expect_err("nobody there");

    assert_eq!(message, "provider p0: the provider cannot be reached");
    assert_eq!(proxy.tokens(), (0, 0));
}
