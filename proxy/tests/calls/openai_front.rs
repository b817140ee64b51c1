//! The OpenAI API in front of a provider that does not speak it.

use serde_json::{Value, json};

use crate::proxy::{Proxy, client};

async fn events(response: reqwest::Response) -> Vec<String> {
    assert_eq!(response.headers()["content-type"], "text/event-stream");
    let text = response.text().await.expect("a whole stream");
    text.split_terminator("\n\n")
        .map(|event| event.strip_prefix("data: ").expect("data").to_owned())
        .collect()
}

#[tokio::test]
async fn a_whole_answer_has_the_form_of_the_api() {
    let proxy = Proxy::start("").await;

    let response = proxy
        .chat(r#"{"model":"echo","messages":[{"role":"user","content":[{"type":"text","text":"hello"}]}]}"#)
        .await;

    assert_eq!(response.status(), 200);
    let mut body: Value = response.json().await.expect("JSON");
    assert!(body["id"].as_str().is_some_and(|id| id.starts_with("chatcmpl-")));
    assert!(body["created"].is_i64());
    body["id"].take();
    body["created"].take();
    let details = json!({"cached_tokens": 0});
    assert_eq!(
        body,
        json!({
            "id": null, "object": "chat.completion", "created": null, "model": "echo",
            "choices": [{"index": 0, "message": {"role": "assistant", "content": "hello"}, "finish_reason": "stop"}],
            "usage": {"prompt_tokens": 1, "completion_tokens": 1, "total_tokens": 2, "prompt_tokens_details": details},
        })
    );
}

#[tokio::test]
async fn a_stream_has_the_form_of_the_api_with_the_usage_for_those_who_ask() {
    let proxy = Proxy::start("").await;
    let ask = |options: &str| {
        format!(
            r#"{{"stream":true,{options}"messages":[{{"role":"user","content":"more than one chunk"}}]}}"#
        )
    };

    let plain = events(proxy.chat(ask("")).await).await;
    let with_usage = events(proxy.chat(ask(r#""stream_options":{"include_usage":true},"#)).await).await;

    assert_eq!((plain.len(), with_usage.len()), (5, 6));
    let chunk = |text: &str| serde_json::from_str::<Value>(text).expect("JSON");
    assert_eq!(chunk(&plain[0])["choices"][0]["delta"], json!({"role": "assistant", "content": ""}));
    let said: String = plain[1..3]
        .iter()
        .map(|text| chunk(text)["choices"][0]["delta"]["content"].as_str().expect("text").to_owned())
        .collect();
    assert_eq!(said, "more than one chunk");
    assert_eq!(chunk(&plain[3])["choices"][0]["finish_reason"], "stop");
    assert_eq!(plain[4], "[DONE]");
    let usage = chunk(&with_usage[4]);
    assert_eq!((&usage["choices"], &usage["usage"]["total_tokens"]), (&json!([]), &json!(8)));
}

#[tokio::test]
async fn a_schema_is_satisfied() {
    let body = json!({
        "messages": [{"role": "user", "content": "hello"}],
        "response_format": {"type": "json_schema", "json_schema": {"name": "x", "schema":
            {"type": "object", "required": ["said"], "properties": {"said": {"type": "string"}}}}},
    });

    let response: Value = Proxy::start("").await.chat(body.to_string()).await.json().await.expect("JSON");

    assert_eq!(response["choices"][0]["message"]["content"], r#"{"said":"hello"}"#);
}

#[tokio::test]
async fn models_are_listed() {
    let proxy = Proxy::start("").await;

    let response =
        client().get(format!("http://{}/v1/models", proxy.address)).send().await.expect("a response");

    let body: Value = response.json().await.expect("JSON");
    let model = &body["data"][0];
    assert_eq!(
        (&body["object"], &model["id"], &model["object"]),
        (&json!("list"), &json!("echo"), &json!("model"))
    );
}

#[tokio::test]
async fn everything_that_is_wrong_is_an_error_object() {
    let proxy = Proxy::start("").await;
    let url = |path| format!("http://{}{path}", proxy.address);
    let image = r#"{"messages":[{"role":"user","content":[{"type":"image_url","image_url":{"url":"x"}}]}]}"#;
    let requests = [
        (client().post(url("/v1/audio/speech")).body("{}"), 404, Value::Null),
        (client().get(url("/v1/chat/completions")), 405, Value::Null),
        (client().post(url("/v1/chat/completions")).body("{"), 400, Value::Null),
        (
            client().post(url("/v1/chat/completions")).body(r#"{"model":"x","messages":[]}"#),
            404,
            json!("model_not_found"),
        ),
        (client().post(url("/v1/chat/completions")).body(image), 400, Value::Null),
    ];
    for (request, status, code) in requests {
        let response = request.send().await.expect("a response");
        assert_eq!(response.status(), status);
        let body: Value = response.json().await.expect("JSON");
        assert!(body["error"]["message"].is_string() && body["error"]["type"].is_string(), "{body}");
        assert_eq!(body["error"]["code"], code, "{body}");
    }
}

#[tokio::test]
async fn a_limit_is_a_429_that_tells_when_to_come_back() {
    let proxy = Proxy::start("server: {limits: {global: {max_requests_per_minute: 1}}}").await;
    let body = r#"{"messages":[{"role":"user","content":"hello"}]}"#;

    proxy.chat(body).await;
    let refused = proxy.chat(body).await;

    assert_eq!(refused.status(), 429);
    let wait: u64 = refused.headers()["retry-after"].to_str().expect("ASCII").parse().expect("a number");
    assert!((1..=61).contains(&wait), "{wait}");
    assert_eq!(refused.json::<Value>().await.expect("JSON")["error"]["code"], "rate_limit_exceeded");
}

#[tokio::test]
async fn a_body_above_two_megabytes_is_read_when_the_config_permits_it() {
    let text = "x".repeat(3 * 1024 * 1024);
    let body = format!(r#"{{"messages":[{{"role":"user","content":"{text}"}}]}}"#);

    assert_eq!(Proxy::start("").await.chat(body).await.status(), 200);
}
