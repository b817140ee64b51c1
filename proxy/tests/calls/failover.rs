//! Another provider takes over while nothing has been handed on, and only then.

use vibectl_proto::llm_proxy::execute_response::Result as Outcome;

use crate::{
    fake_provider::{Fake, Script, delta},
    proxy::{Proxy, ask},
};

#[tokio::test]
async fn the_next_provider_answers_when_the_first_one_fails() {
    let broken = Fake::start(Script::body("text/plain", "").with_status(503)).await;
    let good = Fake::start(Script::answer("from the second")).await;
    let proxy = Proxy::before(&[broken.base_url(), good.base_url()]).await;

    let response = proxy.grpc().await.execute(ask("hello")).await.expect("accepted").into_inner();

    let Some(Outcome::Success(success)) = response.result else { panic!("a success") };
    assert_eq!(success.response_text, "from the second");
    assert_eq!(success.metrics.expect("there").retry_count, 1);
    assert_eq!((broken.requests().len(), good.only_request()["model"].as_str()), (1, Some("m-1")));
    let metrics = proxy.shared.metrics.render();
    assert!(
        metrics.contains(r#"vibectl_provider_calls_total{provider="p0",outcome="unavailable"} 1"#),
        "{metrics}"
    );
    assert!(metrics.contains(r#"vibectl_provider_calls_total{provider="p1",outcome="ok"} 1"#), "{metrics}");
}

#[tokio::test]
async fn a_stream_that_fails_before_its_first_word_is_taken_over() {
    let broken = Fake::start(Script::events(&[r#"{"error":{"code":503}}"#])).await;
    let good = Fake::start(Script::stream(&["from the ", "second"])).await;
    let proxy = Proxy::before(&[broken.base_url(), good.base_url()]).await;

    let (text, end) = proxy.stream(ask("hello")).await;

    assert_eq!((text.as_str(), end.as_deref()), ("from the second", Ok("small")));
    assert_eq!(proxy.tokens(), (11, 7));
}

#[tokio::test]
async fn a_stream_that_fails_after_its_first_word_is_not() {
    let broken = Fake::start(Script::events(&[&delta("begun"), r#"{"error":{"code":503}}"#])).await;
    let good = Fake::start(Script::stream(&["never"])).await;
    let proxy = Proxy::before(&[broken.base_url(), good.base_url()]).await;

    let (text, end) = proxy.stream(ask("hello")).await;

    assert_eq!(text, "begun");
    assert_eq!(end.expect_err("a failure").1, "provider p0: the provider failed (status 503)");
    assert!(good.requests().is_empty());
}

#[tokio::test]
async fn a_request_that_is_refused_for_what_it_is_is_not_tried_elsewhere() {
    let strict = Fake::start(Script::body("application/json", "{}").with_status(400)).await;
    let good = Fake::start(Script::answer("never")).await;
    let proxy = Proxy::before(&[strict.base_url(), good.base_url()]).await;

    proxy.execute(ask("hello")).await.expect_err("refused");

    assert!(good.requests().is_empty());
}

#[tokio::test]
async fn each_provider_is_asked_once_when_all_fail() {
    let script = || Script::body("text/plain", "").with_status(500);
    let (first, second) = (Fake::start(script()).await, Fake::start(script()).await);
    let proxy = Proxy::before(&[first.base_url(), second.base_url()]).await;

    let (_, message) = proxy.execute(ask("hello")).await.expect_err("all fail");

    assert_eq!(message, "provider p1: the provider failed (status 500)");
    assert_eq!((first.requests().len(), second.requests().len()), (1, 1));
}
