//! Callers and providers that speak the same dialect: nothing is lost between them.

use serde_json::{Value, json};

use crate::{
    fake_provider::{Fake, Script, Step, delta},
    proxy::Proxy,
};

const REQUEST: &str = r#"{"model":"small","messages":[{"role":"user","content":"hi","name":"bob"}],"tools":[{"type":"function","function":{"name":"f"}}],"x_future":{"b":1.0,"a":[1e2]}}"#;

#[tokio::test]
async fn a_request_and_its_response_pass_untouched_but_for_the_models_name() {
    let answer = r#"{ "id":"x", "choices":[{"message":{"content":null,"tool_calls":[{"id":"1"}]},"finish_reason":"tool_calls"}],"usage":{"prompt_tokens":5,"completion_tokens":6},"x_new":1.50 }"#;
    let fake = Fake::start(Script::body("application/json", answer)).await;
    let proxy = Proxy::before(&[fake.base_url()]).await;

    let response = proxy.chat(REQUEST).await;

    assert_eq!(response.headers()["content-type"], "application/json");
    assert_eq!(response.text().await.expect("a body"), answer);
    assert_eq!(fake.requests()[0].1, REQUEST.replace("small", "m-0"));
    assert_eq!(proxy.tokens(), (5, 6));
}

#[tokio::test]
async fn a_stream_passes_untouched_and_its_usage_only_to_those_who_asked() {
    let usage = r#"{"choices":[],"usage":{"prompt_tokens":5,"completion_tokens":6}}"#;
    let tool =
        r#"{"choices":[{"delta":{"tool_calls":[{"index":0}]},"finish_reason":"tool_calls"}],"x_new":1.50}"#;
    let fake = Fake::start(Script::events(&[&delta("hi"), tool, usage, "[DONE]"])).await;
    let proxy = Proxy::before(&[fake.base_url()]).await;
    let ask = |options| REQUEST.replacen('{', &format!("{{\"stream\":true,{options}"), 1);
    let event = |data: &str| format!("data: {data}\n\n");

    let plain = proxy.chat(ask("")).await.text().await.expect("a body");
    let with_usage =
        proxy.chat(ask(r#""stream_options":{"include_usage":true},"#)).await.text().await.expect("a body");

    assert_eq!(plain, [event(&delta("hi")), event(tool), event("[DONE]")].concat());
    assert_eq!(with_usage, [event(&delta("hi")), event(tool), event(usage), event("[DONE]")].concat());
    assert_eq!(proxy.tokens(), (10, 12));
    for (_, body) in fake.requests() {
        let body: Value = serde_json::from_slice(&body).expect("JSON");
        assert_eq!(body["stream_options"], json!({"include_usage": true}));
    }
}

#[tokio::test]
async fn a_stream_that_breaks_ends_with_an_error_of_ours() {
    let broken = r#"{"error":{"message":"secret","code":500}}"#;
    let fake = Fake::start(Script::events(&[&delta("hi"), broken]).then(Step::Hang)).await;

    let body =
        Proxy::before(&[fake.base_url()]).await.chat(REQUEST.replacen('{', r#"{"stream":true,"#, 1)).await;
    let body = body.text().await.expect("a body");

    let (said, error) = body.split_at(body.find("data: {\"error\"").expect("an error event"));
    assert_eq!(said, format!("data: {}\n\n", delta("hi")));
    assert!(
        error.contains("provider p0: the provider failed (status 500)") && !error.contains("secret"),
        "{error}"
    );
}

#[tokio::test]
async fn failures_have_a_status_that_fits_and_words_of_ours() {
    let code = r#"{"error":{"message":"secret","code":"context_length_exceeded"}}"#;
    let table = [
        (400, 400, json!("context_length_exceeded")),
        (401, 503, json!("provider_unavailable")),
        (403, 503, json!("provider_unavailable")),
        (500, 503, json!("provider_unavailable")),
        (302, 502, json!("provider_bad_answer")),
    ];
    for (theirs, ours, expected) in table {
        let fake = Fake::start(Script::body("application/json", code).with_status(theirs)).await;
        let response = Proxy::before(&[fake.base_url()]).await.chat(REQUEST).await;
        assert_eq!(response.status(), ours, "{theirs}");
        let body = response.text().await.expect("a body");
        assert!(!body.contains("secret"), "{body}");
        let body: Value = serde_json::from_str(&body).expect("JSON");
        assert_eq!(body["error"]["code"], expected, "{theirs}");
    }
}

#[tokio::test]
async fn the_providers_rate_limit_is_told_with_its_time_to_wait() {
    let mut script = Script::body("application/json", "{}").with_status(429);
    script.headers.push(("retry-after", "17"));
    let fake = Fake::start(script).await;

    let response = Proxy::before(&[fake.base_url()]).await.chat(REQUEST).await;

    assert_eq!(
        (response.status().as_u16(), &response.headers()["retry-after"]),
        (429, &"17".parse().expect("ASCII"))
    );
    let body: Value = response.json().await.expect("JSON");
    assert_eq!(body["error"]["code"], "provider_rate_limit_exceeded");
}

#[tokio::test]
async fn a_second_model_key_does_not_reach_the_provider() {
    let fake = Fake::start(Script::answer("no")).await;

    let response =
        Proxy::before(&[fake.base_url()]).await.chat(REQUEST.replacen('{', r#"{"model":"large","#, 1)).await;

    assert_eq!(response.status(), 400);
    assert!(fake.requests().is_empty());
}
