//! Answers that must be instances of a schema.

use tonic::Code;
use vibectl_proto::llm_proxy::ExecuteRequest;

use crate::{
    fake_provider::{Fake, Script},
    proxy::{Proxy, ask},
};

const SCHEMA: &str = r#"{"type":"object","required":["a"],"properties":{"a":{"type":"integer"}}}"#;

fn structured() -> ExecuteRequest {
    ExecuteRequest { response_model_schema: Some(SCHEMA.to_owned()), ..ask("hello") }
}

#[tokio::test]
async fn the_schema_goes_to_the_provider_and_a_good_answer_comes_back_as_it_is() {
    let fake = Fake::start(Script::answer("{ \"a\": 1 }")).await;
    let proxy = Proxy::before(&[fake.base_url()]).await;

    assert_eq!(proxy.execute(structured()).await.as_deref(), Ok("{ \"a\": 1 }"));

    let sent = fake.only_request();
    let schema: serde_json::Value = serde_json::from_str(SCHEMA).expect("JSON");
    assert_eq!(sent["response_format"]["json_schema"]["schema"], schema);
}

#[tokio::test]
async fn an_answer_that_breaks_the_schema_is_told_to_the_model_which_mends_it() {
    let fake = Fake::in_turn([r#"{"a": "one"}"#, r#"{"a": 1}"#].map(Script::answer).into()).await;
    let proxy = Proxy::before(&[fake.base_url()]).await;

    assert_eq!(proxy.execute(structured()).await.as_deref(), Ok(r#"{"a": 1}"#));

    let requests = fake.requests();
    let second: serde_json::Value = serde_json::from_slice(&requests[1].1).expect("JSON");
    let said = |place: usize| second["messages"][place]["content"].as_str().expect("text");
    assert_eq!((requests.len(), said(0), said(1)), (2, "hello", r#"{"a": "one"}"#));
    assert!(said(2).starts_with("the answer breaks `type` /a. Answer again"), "{}", said(2));
    assert_eq!(proxy.tokens(), (22, 14), "both answers are paid");
    let metrics = proxy.shared.metrics.render();
    assert!(metrics.contains(r#"vibectl_structured_repairs_total{outcome="repaired"} 1"#), "{metrics}");
}

#[tokio::test]
async fn an_answer_that_breaks_the_schema_twice_is_an_error() {
    let fake = Fake::start(Script::answer(r#"{"a": "one"}"#)).await;
    let proxy = Proxy::before(&[fake.base_url()]).await;

    let (code, message) = proxy.execute(structured()).await.expect_err("not an instance");

    assert_eq!(code, "EXECUTION_FAILED");
    assert_eq!(message, "the model's answer does not satisfy the schema: the answer breaks `type` /a");
    assert_eq!(proxy.tokens(), (22, 14), "the provider has been paid all the same");
    assert_eq!(fake.requests().len(), 2, "one second chance and no third");
    let metrics = proxy.shared.metrics.render();
    assert!(metrics.contains(r#"vibectl_structured_repairs_total{outcome="failed"} 1"#), "{metrics}");
}

#[tokio::test]
async fn a_second_answer_that_does_not_come_leaves_the_error_of_the_first() {
    let failure = Script::body("text/plain", "").with_status(503);
    let fake = Fake::in_turn(vec![Script::answer("no JSON"), failure]).await;
    let proxy = Proxy::before(&[fake.base_url()]).await;

    let (_, message) = proxy.execute(structured()).await.expect_err("not an instance");

    assert_eq!(message, "the model's answer does not satisfy the schema: the answer is not JSON");
    assert_eq!(proxy.tokens(), (11, 7));
}

#[tokio::test]
async fn a_model_whose_config_says_so_gets_no_second_chance() {
    let fake = Fake::start(Script::answer(r#"{"a": "one"}"#)).await;
    let proxy = Proxy::start(&format!(
        "server: {{default_model: small}}\n\
         providers: [{{name: p, openai: {{base_url: '{}'}}}}]\n\
         models: [{{name: small, structured_repair: false, routes: [{{provider: p, model: m}}]}}]",
        fake.base_url()
    ))
    .await;

    proxy.execute(structured()).await.expect_err("not an instance");

    assert_eq!(fake.requests().len(), 1);
}

#[tokio::test]
async fn a_streamed_answer_is_checked_at_its_end() {
    let fake = Fake::start(Script::stream(&["{\"a\":", "\"one\"}"])).await;
    let proxy = Proxy::before(&[fake.base_url()]).await;

    let (text, end) = proxy.stream(structured()).await;

    assert_eq!(text, r#"{"a":"one"}"#);
    assert_eq!(end.expect_err("not an instance").0, "EXECUTION_FAILED");
}

#[tokio::test]
async fn a_schema_that_cannot_be_used_is_refused_before_anything_is_sent() {
    let fake = Fake::start(Script::answer("{}")).await;
    let proxy = Proxy::before(&[fake.base_url()]).await;
    let request =
        ExecuteRequest { response_model_schema: Some(r#"{"type": "text"}"#.to_owned()), ..ask("hello") };

    let refused = proxy.grpc().await.stream_execute(request).await.expect_err("refused");

    assert_eq!(refused.code(), Code::InvalidArgument);
    assert!(refused.message().contains("/type:"), "{}", refused.message());
    assert!(fake.requests().is_empty());
}

#[tokio::test]
async fn the_embedded_provider_answers_the_planner_of_the_client() {
    let planner = include_str!("../golden/structured/planner_response.schema.json");
    let request = ExecuteRequest { response_model_schema: Some(planner.to_owned()), ..ask("list pods") };

    let answer = Proxy::start("").await.execute(request).await;

    assert_eq!(answer.as_deref(), Ok(r#"{"action":{"action_type":"DONE","explanation":"list pods"}}"#));
}
