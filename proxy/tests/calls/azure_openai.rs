//! OpenAI's models at Azure: other paths and another header for the key, the same bytes.

use serde_json::{Value, json};

use crate::{
    fake_provider::{Fake, Script, delta},
    proxy::{Proxy, ask},
};

/// What Azure sends before anything is said.
const FILTER_RESULTS: &str =
    r#"{"choices":[],"prompt_filter_results":[{"prompt_index":0,"content_filter_results":{}}]}"#;

/// A proxy before a resource of Azure; `more` goes into its block.
async fn before(script: Script, more: &str) -> (Fake, Proxy, tempfile::TempDir) {
    let folder = tempfile::tempdir().expect("a folder");
    let key = folder.path().join("key");
    std::fs::write(&key, "azure-key\n").expect("written");
    let fake = Fake::start(script).await;
    let proxy = Proxy::start(&format!(
        "server: {{default_model: small}}\n\
         providers: [{{name: azure, azure_openai: {{base_url: 'http://{}', api_key_file: '{}'{more}}}}}]\n\
         models: [{{name: small, routes: [{{provider: azure, model: gpt/4o}}]}}]",
        fake.address,
        key.display()
    ))
    .await;
    (fake, proxy, folder)
}

#[tokio::test]
async fn a_callers_own_request_goes_to_the_deployment_untouched_but_for_the_models_name() {
    let request = r#"{"model":"small","messages":[{"role":"user","content":"hi","name":"bob"}],"x_future":{"b":1.0,"a":[1e2]}}"#;
    let answer = r#"{ "choices":[{"message":{"content":"hi"},"content_filter_results":{}}],"usage":{"prompt_tokens":5,"completion_tokens":6} }"#;
    let (fake, proxy, _folder) =
        before(Script::body("application/json", answer), ", api_version: 2024-10-21").await;

    let response = proxy.chat(request).await;

    assert_eq!(response.text().await.expect("a body"), answer);
    assert_eq!(fake.paths(), ["/openai/deployments/gpt%2F4o/chat/completions?api-version=2024-10-21"]);
    let (headers, body) = &fake.requests()[0];
    assert_eq!(body, &request.replace("small", "gpt/4o"));
    assert_eq!(headers["api-key"], "azure-key");
    assert!(!headers.contains_key("authorization"));
    assert_eq!(proxy.tokens(), (5, 6));
}

#[tokio::test]
async fn without_a_version_the_newer_api_is_asked_and_the_body_names_the_deployment() {
    let (fake, proxy, _folder) = before(Script::answer("hi"), "").await;
    let request = json!({"messages": [{"role": "user", "content": "hello"}], "max_completion_tokens": 7});

    assert_eq!(proxy.execute(ask("hello")).await.as_deref(), Ok("hi"));
    proxy.chat(request.to_string()).await;

    assert_eq!(fake.paths(), ["/openai/v1/chat/completions"; 2]);
    let bodies = fake.requests().into_iter().map(|(_, body)| serde_json::from_slice::<Value>(&body));
    let models: Vec<_> = bodies.map(|body| body.expect("JSON")["model"].clone()).collect();
    assert_eq!(models, ["gpt/4o", "gpt/4o"]);
}

#[tokio::test]
async fn a_stream_that_begins_with_the_verdict_of_the_filter_is_read_and_passed_on() {
    let usage = r#"{"choices":[],"usage":{"prompt_tokens":5,"completion_tokens":6}}"#;
    let finish = r#"{"choices":[{"index":0,"delta":{},"finish_reason":"stop"}]}"#;
    let script = Script::events(&[FILTER_RESULTS, &delta("hi"), finish, usage, "[DONE]"]);
    let (_fake, proxy, _folder) = before(script, ", api_version: 2024-10-21").await;

    let (text, end) = proxy.stream(ask("hello")).await;
    let raw = proxy.chat(r#"{"stream":true,"messages":[]}"#).await.text().await.expect("a body");

    assert_eq!((text.as_str(), end), ("hi", Ok("small".to_owned())));
    assert!(raw.starts_with(&format!("data: {FILTER_RESULTS}\n\ndata: {}\n\n", delta("hi"))), "{raw}");
    assert_eq!(proxy.tokens(), (10, 12));
}

#[tokio::test]
async fn a_prompt_that_the_filter_stops_is_refused_with_the_code_that_callers_know() {
    let error = r#"{"error":{"message":"secret","type":null,"param":"prompt","code":"content_filter","status":400,"innererror":{}}}"#;
    let (_fake, proxy, _folder) = before(Script::body("application/json", error).with_status(400), "").await;

    let response = proxy.chat(r#"{"messages":[{"role":"user","content":"hi"}]}"#).await;

    assert_eq!(response.status(), 400);
    let body: Value = response.json().await.expect("JSON");
    assert_eq!(body["error"]["code"], "content_filter");
    assert!(!body.to_string().contains("secret"), "{body}");
}
