//! Models of a provider that speaks the dialect of Gemini, for callers who do not.

use serde_json::{Value, json};
use vibectl_proto::llm_proxy::ExecuteRequest;

use crate::{
    fake_provider::{Fake, Script},
    proxy::{Proxy, ask},
};

const WHOLE: &str = include_str!("../golden/gemini/tools.response.json");
const STREAM: &str = include_str!("../golden/gemini/tools.response.sse");
const STRUCTURED: &str = include_str!("../golden/gemini/schema.response.sse");
const BLOCKED: &str = include_str!("../golden/gemini/blocked.response.json");

async fn before(script: Script) -> (Fake, Proxy, tempfile::TempDir) {
    let folder = tempfile::tempdir().expect("a folder");
    let key = folder.path().join("key");
    std::fs::write(&key, "google-key\n").expect("written");
    let fake = Fake::start(script).await;
    let proxy = Proxy::start(&format!(
        "server: {{default_model: small}}\n\
         providers: [{{name: google, gemini: {{base_url: 'http://{}/v1beta', api_key_file: '{}'}}}}]\n\
         models: [{{name: small, routes: [{{provider: google, model: gemini-x}}]}}]",
        fake.address,
        key.display()
    ))
    .await;
    (fake, proxy, folder)
}

fn whole(body: impl Into<bytes::Bytes>) -> Script {
    Script::body("application/json; charset=UTF-8", body)
}

fn stream(events: &'static str) -> Script {
    Script::body("text/event-stream", events)
}

fn question(more: &Value) -> String {
    let mut body = json!({
        "messages": [{"role": "user", "content": "what is there?"}],
        "tools": [{"type": "function", "function": {"name": "look", "parameters": {"type": "object"}}}],
    });
    let fields = body.as_object_mut().expect("an object");
    fields.extend(more.as_object().expect("an object").clone());
    body.to_string()
}

#[tokio::test]
async fn an_openai_caller_gets_words_calls_and_usage_and_no_thoughts() {
    let (fake, proxy, _folder) = before(whole(WHOLE)).await;

    let response: Value = proxy.chat(question(&json!({}))).await.json().await.expect("JSON");

    let choice = &response["choices"][0];
    assert_eq!(choice["message"]["content"], "Let me look.");
    assert_eq!(
        choice["message"]["tool_calls"],
        json!([
            {"id": "mAit-a_L-0_signed_c2ln", "type": "function", "function": {"name": "look", "arguments": "{\"at\": 1}"}},
            {"id": "mAit-a_L-1", "type": "function", "function": {"name": "wait", "arguments": "{}"}},
        ])
    );
    assert_eq!(choice["finish_reason"], "tool_calls");
    assert_eq!(response["usage"]["prompt_tokens_details"]["cached_tokens"], 10);
    assert_eq!(proxy.tokens(), (472, 89));
    assert_eq!(fake.paths(), ["/v1beta/models/gemini-x:generateContent"]);
    let (headers, _) = &fake.requests()[0];
    assert_eq!(headers["x-goog-api-key"], "google-key");
    assert!(!headers.contains_key("authorization"));
}

#[tokio::test]
async fn a_call_that_comes_back_has_its_signature_again() {
    let (fake, proxy, _folder) = before(whole(WHOLE)).await;
    let first: Value = proxy.chat(question(&json!({}))).await.json().await.expect("JSON");
    let said = first["choices"][0]["message"].clone();
    let result = |index: usize| {
        let id = &said["tool_calls"][index]["id"];
        json!({"role": "tool", "tool_call_id": id, "content": format!("result {index}")})
    };
    let messages = json!([{"role": "user", "content": "what is there?"}, said, result(1), result(0)]);

    proxy.chat(question(&json!({"messages": messages}))).await;

    let sent: Value = serde_json::from_slice(&fake.requests()[1].1).expect("JSON");
    assert_eq!(
        sent["contents"][1]["parts"],
        json!([
            {"text": "Let me look."},
            {"functionCall": {"name": "look", "args": {"at": 1}}, "thoughtSignature": "c2ln"},
            {"functionCall": {"name": "wait", "args": {}}},
        ])
    );
    assert_eq!(
        sent["contents"][2],
        json!({"role": "user", "parts": [
            {"functionResponse": {"name": "look", "response": {"output": "result 0"}}},
            {"functionResponse": {"name": "wait", "response": {"output": "result 1"}}},
        ]})
    );
}

#[tokio::test]
async fn a_stream_of_words_and_calls_has_the_form_of_the_openai_api() {
    let (fake, proxy, _folder) = before(stream(STREAM)).await;
    let body = question(&json!({"stream": true, "stream_options": {"include_usage": true}}));

    let text = proxy.chat(body).await.text().await.expect("a whole stream");

    let mut data: Vec<_> =
        text.split_terminator("\n\n").map(|event| event.strip_prefix("data: ").expect("data")).collect();
    assert_eq!(data.pop(), Some("[DONE]"));
    let chunks: Vec<Value> = data.iter().map(|text| serde_json::from_str(text).expect("JSON")).collect();
    let said: String =
        chunks.iter().filter_map(|chunk| chunk["choices"][0]["delta"]["content"].as_str()).collect();
    assert_eq!(said, "Let me löok.");
    let ids: Vec<_> = chunks
        .iter()
        .filter_map(|chunk| chunk["choices"][0]["delta"]["tool_calls"][0]["id"].as_str())
        .collect();
    assert_eq!(ids, ["mAit-a_L-0_signed_c2ln", "mAit-a_L-1"]);
    let finish: Vec<_> =
        chunks.iter().filter_map(|chunk| chunk["choices"][0]["finish_reason"].as_str()).collect();
    assert_eq!(finish, ["tool_calls"]);
    assert_eq!(chunks.last().expect("chunks")["usage"]["total_tokens"], 472 + 89);
    assert_eq!(proxy.tokens(), (472, 89));
    assert_eq!(fake.paths(), ["/v1beta/models/gemini-x:streamGenerateContent?alt=sse"]);
}

#[tokio::test]
async fn a_grpc_caller_gets_structured_answers_by_the_schema_of_the_dialect() {
    let schema = json!({"type": "object", "required": ["name"], "properties": {"name": {"type": "string"}}});
    let (fake, proxy, _folder) = before(stream(STRUCTURED)).await;

    let request = ExecuteRequest { response_model_schema: Some(schema.to_string()), ..ask("who are you?") };
    let (text, end) = proxy.stream(request).await;

    assert_eq!((text.as_str(), end), (r#"{"name": "x"}"#, Ok("small".to_owned())));
    assert_eq!(proxy.tokens(), (12, 9));
    let sent = fake.only_request();
    assert_eq!(sent["generationConfig"]["responseMimeType"], "application/json");
    assert_eq!(sent["generationConfig"]["responseJsonSchema"], schema);
}

#[tokio::test]
async fn a_prompt_that_a_filter_stops_is_an_answer_that_says_so() {
    let (_fake, proxy, _folder) = before(whole(BLOCKED)).await;

    let response: Value = proxy.chat(question(&json!({}))).await.json().await.expect("JSON");

    assert_eq!(response["choices"][0]["finish_reason"], "content_filter");
    assert_eq!(proxy.tokens(), (8, 0));
}

#[tokio::test]
async fn what_the_dialect_cannot_say_is_named_and_nothing_is_sent() {
    let (fake, proxy, _folder) = before(whole(WHOLE)).await;
    let picture = json!([{"role": "user", "content": [{"type": "image_url", "image_url": {"url": "https://pictures.test/1"}}]}]);

    for (more, named) in [
        (json!({"logit_bias": {"1": 2}}), "logit_bias"),
        (json!({"parallel_tool_calls": false}), "parallel_tool_calls"),
        (json!({"messages": picture}), "images by their address"),
    ] {
        let response = proxy.chat(question(&more)).await;

        assert_eq!(response.status(), 400, "{named}");
        let error: Value = response.json().await.expect("JSON");
        assert_eq!(error["error"]["code"], "not_expressible", "{named}");
        assert!(error["error"]["message"].as_str().is_some_and(|text| text.contains(named)), "{error}");
    }
    assert!(fake.requests().is_empty());
}

#[tokio::test]
async fn a_stream_that_breaks_is_booked_with_what_was_told() {
    let cut = STREAM
        .find("data: {\"candidates\":[{\"content\":{\"parts\":[{\"functionCall\"")
        .expect("a later event");
    let error = r#"{"error":{"code":503,"message":"secret","status":"UNAVAILABLE"}}"#;
    let broken = format!("{}data: {error}\r\n\r\n", &STREAM[..cut]);
    let early = STREAM[..cut].to_owned();

    for body in [broken, early] {
        let (_fake, proxy, _folder) = before(Script::body("text/event-stream", body)).await;

        let (text, end) = proxy.stream(ask("hello")).await;

        let (code, message) = end.expect_err("it broke");
        assert_eq!((text.as_str(), code.as_str()), ("Let me löok.", "EXECUTION_FAILED"));
        assert!(!message.contains("secret"), "{message}");
        assert_eq!(proxy.tokens(), (472, 60));
    }
}

#[tokio::test]
async fn a_key_that_is_refused_is_our_trouble_and_not_the_callers() {
    let body = r#"{"error":{"code":400,"message":"secret","status":"INVALID_ARGUMENT","details":[{"reason":"API_KEY_INVALID"}]}}"#;
    let (_fake, proxy, _folder) = before(whole(body).with_status(400)).await;

    assert_eq!(proxy.chat(question(&json!({}))).await.status(), 503);
}
