//! Models of a provider that speaks the Anthropic dialect, for callers who do not.

use serde_json::{Value, json};
use vibectl_proto::llm_proxy::ExecuteRequest;

use crate::{
    fake_provider::{Fake, Script},
    proxy::{Proxy, ask},
};

const WHOLE: &str = include_str!("../golden/anthropic/tools.response.json");
const STREAM: &str = include_str!("../golden/anthropic/tools.response.sse");
const STRUCTURED: &str = include_str!("../golden/anthropic/schema.response.sse");

fn config(fake: &Fake, key: &std::path::Path) -> String {
    format!(
        "server: {{default_model: small}}\n\
         providers: [{{name: claude, anthropic: {{base_url: '{}', api_key_file: '{}', max_tokens: 777}}}}]\n\
         models: [{{name: small, routes: [{{provider: claude, model: claude-x}}]}}]",
        fake.base_url(),
        key.display()
    )
}

async fn before(script: Script) -> (Fake, Proxy, tempfile::TempDir) {
    let folder = tempfile::tempdir().expect("a folder");
    let key = folder.path().join("key");
    std::fs::write(&key, "sk-ant\n").expect("written");
    let fake = Fake::start(script).await;
    let proxy = Proxy::start(&config(&fake, &key)).await;
    (fake, proxy, folder)
}

fn stream(events: &'static str) -> Script {
    Script::body("text/event-stream; charset=utf-8", events)
}

fn tools() -> Value {
    json!([{"type": "function", "function": {"name": "look", "parameters": {"type": "object"}}}])
}

#[tokio::test]
async fn an_openai_caller_gets_words_calls_and_usage() {
    let (fake, proxy, _folder) = before(Script::body("application/json", WHOLE)).await;
    let body = json!({"messages": [{"role": "user", "content": "what is there?"}], "tools": tools()});

    let response: Value = proxy.chat(body.to_string()).await.json().await.expect("JSON");

    let choice = &response["choices"][0];
    assert_eq!(
        choice["message"],
        json!({
            "role": "assistant", "content": "Let me look.",
            "tool_calls": [{"id": "toolu_1", "type": "function", "function": {"name": "look", "arguments": "{\"at\":1}"}}],
        })
    );
    assert_eq!(choice["finish_reason"], "tool_calls");
    assert_eq!(response["usage"]["total_tokens"], 472 + 89);
    assert_eq!(proxy.tokens(), (472, 89));
    assert_eq!(fake.paths(), ["/v1/messages"]);
    let (headers, body) = &fake.requests()[0];
    assert_eq!(headers["x-api-key"], "sk-ant");
    assert_eq!(headers["anthropic-version"], "2023-06-01");
    assert!(!headers.contains_key("authorization"));
    let body: Value = serde_json::from_slice(body).expect("JSON");
    assert_eq!((&body["model"], &body["max_tokens"]), (&json!("claude-x"), &json!(777)));
}

#[tokio::test]
async fn a_stream_of_words_and_calls_has_the_form_of_the_openai_api() {
    let (_fake, proxy, _folder) = before(stream(STREAM)).await;
    let body = json!({
        "messages": [{"role": "user", "content": "what is there?"}], "tools": tools(),
        "stream": true, "stream_options": {"include_usage": true},
    });

    let text = proxy.chat(body.to_string()).await.text().await.expect("a whole stream");

    let mut data: Vec<_> =
        text.split_terminator("\n\n").map(|event| event.strip_prefix("data: ").expect("data")).collect();
    assert_eq!(data.pop(), Some("[DONE]"));
    let chunks: Vec<Value> = data.iter().map(|text| serde_json::from_str(text).expect("JSON")).collect();
    let deltas: Vec<_> = chunks.iter().map(|chunk| chunk["choices"][0]["delta"].clone()).collect();
    let call = |index: u32, id: &str| json!({"tool_calls": [{"index": index, "id": id, "type": "function", "function": {"name": "look", "arguments": ""}}]});
    let arguments =
        |index: u32, json: &str| json!({"tool_calls": [{"index": index, "function": {"arguments": json}}]});
    assert_eq!(
        deltas,
        [
            json!({"role": "assistant", "content": ""}),
            json!({"content": "Let me "}),
            json!({"content": "look."}),
            call(0, "toolu_1"),
            arguments(0, "{\"at\""),
            arguments(0, ": 1}"),
            call(1, "toolu_2"),
            arguments(1, "{}"),
            json!({}),
            Value::Null,
        ]
    );
    assert_eq!(chunks[8]["choices"][0]["finish_reason"], "tool_calls");
    assert_eq!(chunks[9]["usage"]["total_tokens"], 487 + 89);
    assert_eq!(chunks[9]["usage"]["prompt_tokens_details"]["cached_tokens"], 10);
    assert_eq!(proxy.tokens(), (487, 89));
}

#[tokio::test]
async fn a_grpc_caller_gets_structured_answers() {
    let schema = json!({"type": "object", "required": ["name"], "properties": {"name": {"type": "string"}}});
    let request =
        || ExecuteRequest { response_model_schema: Some(schema.to_string()), ..ask("who are you?") };
    let (_fake, proxy, _folder) = before(stream(STRUCTURED)).await;

    let (text, end) = proxy.stream(request()).await;

    assert_eq!((text.as_str(), end), (r#"{"name": "x"}"#, Ok("small".to_owned())));
    assert_eq!(proxy.tokens(), (12, 9));

    let whole = r#"{"content": [{"type": "tool_use", "id": "t", "name": "answer", "input": {"name": 7}}],
        "stop_reason": "tool_use", "usage": {"input_tokens": 1, "output_tokens": 2}}"#;
    let (_fake, proxy, _folder) = before(Script::body("application/json", whole)).await;
    let (code, message) = proxy.execute(request()).await.expect_err("7 is no string");
    assert_eq!((code.as_str(), message.contains("/name")), ("EXECUTION_FAILED", true), "{message}");
}

#[tokio::test]
async fn what_the_dialect_cannot_say_is_named_and_goes_to_a_provider_that_can() {
    let body = r#"{"messages":[{"role":"user","content":"hi"}],"logit_bias":{"1":2}}"#;
    let (fake, proxy, _folder) = before(Script::body("application/json", WHOLE)).await;

    let response = proxy.chat(body).await;

    assert_eq!(response.status(), 400);
    let error: Value = response.json().await.expect("JSON");
    assert_eq!(error["error"]["code"], "not_expressible");
    assert!(error["error"]["message"].as_str().is_some_and(|text| text.contains("logit_bias")), "{error}");
    assert!(fake.requests().is_empty());
    assert_eq!(proxy.tokens(), (0, 0));

    let other = Fake::start(Script::answer("hi")).await;
    let both = format!(
        "server: {{default_model: small}}\n\
         providers: [{{name: claude, anthropic: {{base_url: '{}'}}}}, {{name: other, openai: {{base_url: '{}'}}}}]\n\
         models: [{{name: small, routes: [{{provider: claude, model: c}}, {{provider: other, model: m, priority: 1}}]}}]",
        fake.base_url(),
        other.base_url()
    );
    assert_eq!(Proxy::start(&both).await.chat(body).await.status(), 200);
    assert_eq!((fake.requests().len(), other.requests().len()), (0, 1));
}

#[tokio::test]
async fn a_stream_that_breaks_is_booked_with_what_was_told() {
    let cut = STREAM.find("event: content_block_stop").expect("a block that ends");
    let broken = format!(
        "{}event: error\ndata: {{\"type\":\"error\",\"error\":{{\"type\":\"overloaded_error\",\"message\":\"secret\"}}}}\n\n",
        &STREAM[..cut]
    );
    let (_fake, proxy, _folder) = before(Script::body("text/event-stream", broken)).await;

    let (text, end) = proxy.stream(ask("hello")).await;

    let (code, message) = end.expect_err("it broke");
    assert_eq!((text.as_str(), code.as_str()), ("Let me look.", "EXECUTION_FAILED"));
    assert!(!message.contains("secret"), "{message}");
    assert_eq!(proxy.tokens(), (487, 2));
}

#[tokio::test]
async fn a_status_of_the_dialect_is_told_like_any_other() {
    let busy = r#"{"type":"error","error":{"type":"overloaded_error","message":"Overloaded"}}"#;
    let (_fake, proxy, _folder) = before(Script::body("application/json", busy).with_status(529)).await;

    let response = proxy.chat(r#"{"messages":[{"role":"user","content":"hi"}]}"#).await;

    assert_eq!(response.status(), 503);
}
