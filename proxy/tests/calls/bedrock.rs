//! Models of Amazon Bedrock, for callers of other dialects.

use bytes::Bytes;
use serde_json::{Value, json};
use vibectl_proto::llm_proxy::ExecuteRequest;

use crate::{
    fake_provider::{Fake, Script},
    proxy::{Proxy, ask},
};

const WHOLE: &str = include_str!("../golden/bedrock/tools.response.json");
const STREAM: &str = include_str!("../golden/bedrock/tools.response.events");
const STRUCTURED: &str = include_str!("../golden/bedrock/schema.response.events");
const MODEL: &str = "eu.anthropic.claude-x-v1:0";

async fn before(script: Script) -> (Fake, Proxy, tempfile::TempDir) {
    let folder = tempfile::tempdir().expect("a folder");
    for (file, content) in [("id", "AKIDEXAMPLE\n"), ("secret", "hunter2\n"), ("token", "session-1\n")] {
        std::fs::write(folder.path().join(file), content).expect("written");
    }
    let path = |file: &str| folder.path().join(file).display().to_string();
    let fake = Fake::start(script).await;
    let proxy = Proxy::start(&format!(
        "server: {{default_model: small}}\n\
         providers: [{{name: amazon, bedrock: {{region: eu-central-1, base_url: 'http://{}', \
         access_key_id_file: '{}', secret_access_key_file: '{}', session_token_file: '{}'}}}}]\n\
         models: [{{name: small, routes: [{{provider: amazon, model: '{MODEL}'}}]}}]",
        fake.address,
        path("id"),
        path("secret"),
        path("token")
    ))
    .await;
    (fake, proxy, folder)
}

/// One message of the event stream.
fn message(headers: &[(&str, &str)], payload: &[u8]) -> Vec<u8> {
    let mut of_headers = Vec::new();
    for (name, value) in headers {
        of_headers.push(u8::try_from(name.len()).expect("a short name"));
        of_headers.extend(name.bytes());
        of_headers.push(7);
        of_headers.extend(u16::try_from(value.len()).expect("a short value").to_be_bytes());
        of_headers.extend(value.bytes());
    }
    let length = |length: usize| u32::try_from(length).expect("a short message").to_be_bytes();
    let mut bytes = length(16 + of_headers.len() + payload.len()).to_vec();
    bytes.extend(length(of_headers.len()));
    bytes.extend(crc32fast::hash(&bytes).to_be_bytes());
    bytes.extend(of_headers);
    bytes.extend(payload);
    bytes.extend(crc32fast::hash(&bytes).to_be_bytes());
    bytes
}

/// Events, one on each line with its type, as the messages that carry them.
fn messages(lines: &str) -> Vec<u8> {
    let message = |line: &str| {
        let (name, payload) = line.split_once(' ').expect("a type and a payload");
        message(&[(":event-type", name), (":message-type", "event")], payload.as_bytes())
    };
    lines.lines().flat_map(message).collect()
}

fn stream(body: impl Into<Bytes>) -> Script {
    Script::body("application/vnd.amazon.eventstream", body)
}

fn tools() -> Value {
    json!([{"type": "function", "function": {"name": "look", "parameters": {"type": "object"}}}])
}

#[tokio::test]
async fn an_openai_caller_gets_words_calls_and_usage_for_a_signed_request() {
    let (fake, proxy, _folder) = before(Script::body("application/json", WHOLE)).await;
    let body = json!({"messages": [{"role": "user", "content": "what is there?"}], "tools": tools()});

    let response: Value = proxy.chat(body.to_string()).await.json().await.expect("JSON");

    let choice = &response["choices"][0];
    assert_eq!(
        choice["message"],
        json!({
            "role": "assistant", "content": "Let me look.",
            "tool_calls": [{"id": "tooluse_1", "type": "function", "function": {"name": "look", "arguments": "{\"at\": 1}"}}],
        })
    );
    assert_eq!(choice["finish_reason"], "tool_calls");
    assert_eq!(proxy.tokens(), (487, 89));
    assert_eq!(fake.paths(), ["/model/eu.anthropic.claude-x-v1%3A0/converse"]);
    let (headers, _) = &fake.requests()[0];
    let authorization = headers["authorization"].to_str().expect("text");
    let day = &headers["x-amz-date"].to_str().expect("text")[..8];
    let begin = format!(
        "AWS4-HMAC-SHA256 Credential=AKIDEXAMPLE/{day}/eu-central-1/bedrock/aws4_request, \
         SignedHeaders=content-type;host;x-amz-date;x-amz-security-token, Signature="
    );
    assert_eq!(authorization.strip_prefix(&begin).map(str::len), Some(64), "{authorization}");
    assert_eq!(headers["x-amz-security-token"], "session-1");
    assert_eq!(headers["content-type"], "application/json");
    assert_eq!(headers["host"], fake.address.to_string().as_str());
    assert!(!format!("{headers:?}").contains("hunter2"));
}

#[tokio::test]
async fn a_stream_of_words_and_calls_has_the_form_of_the_openai_api() {
    let (fake, proxy, _folder) = before(stream(messages(STREAM))).await;
    let body = json!({
        "messages": [{"role": "user", "content": "what is there?"}], "tools": tools(),
        "stream": true, "stream_options": {"include_usage": true},
    });

    let text = proxy.chat(body.to_string()).await.text().await.expect("a whole stream");

    let mut data: Vec<_> =
        text.split_terminator("\n\n").map(|event| event.strip_prefix("data: ").expect("data")).collect();
    assert_eq!(data.pop(), Some("[DONE]"));
    let chunks: Vec<Value> = data.iter().map(|text| serde_json::from_str(text).expect("JSON")).collect();
    let delta = |chunk: &Value| chunk["choices"][0]["delta"].clone();
    let said: String =
        chunks.iter().map(delta).filter_map(|delta| delta["content"].as_str().map(str::to_owned)).collect();
    assert_eq!(said, "Let me löok.");
    let arguments: String = chunks
        .iter()
        .map(delta)
        .filter_map(|delta| delta["tool_calls"][0]["function"]["arguments"].as_str().map(str::to_owned))
        .collect();
    assert_eq!(arguments, "{\"at\": 1}{}");
    assert_eq!(chunks.last().expect("chunks")["usage"]["prompt_tokens_details"]["cached_tokens"], 10);
    assert_eq!(proxy.tokens(), (487, 89));
    assert_eq!(fake.paths(), ["/model/eu.anthropic.claude-x-v1%3A0/converse-stream"]);
}

#[tokio::test]
async fn a_grpc_caller_gets_structured_answers() {
    let schema = json!({"type": "object", "required": ["name"], "properties": {"name": {"type": "string"}}});
    let (_fake, proxy, _folder) = before(stream(messages(STRUCTURED))).await;

    let request = ExecuteRequest { response_model_schema: Some(schema.to_string()), ..ask("who are you?") };
    let (text, end) = proxy.stream(request).await;

    assert_eq!((text.as_str(), end), (r#"{"name": "x"}"#, Ok("small".to_owned())));
    assert_eq!(proxy.tokens(), (12, 9));
}

#[tokio::test]
async fn a_stream_that_breaks_is_told_and_shows_nothing_of_the_provider() {
    let begin = STREAM.split_inclusive('\n').take(5).collect::<String>();
    let exception = [(":exception-type", "throttlingException"), (":message-type", "exception")];
    let thrown = [messages(&begin), message(&exception, br#"{"message":"secret"}"#)].concat();
    let mut damaged = messages(&begin);
    damaged.extend(messages("messageStop {}").iter().map(|byte| byte ^ 1));
    let early = messages(&begin);
    let (mut amid, end) = (messages(&begin), messages("messageStop {}"));
    amid.extend(&end[..end.len() - 1]);

    for (body, told) in [
        (thrown, "provider amazon: the provider's rate limit is reached (status 429)"),
        (damaged, "provider amazon: the provider's answer was damaged on its way"),
        (early, "provider amazon: the provider's answer ended too early"),
        (amid, "provider amazon: the provider's answer ended too early"),
    ] {
        let (_fake, proxy, _folder) = before(stream(body)).await;

        let (text, end) = proxy.stream(ask("hello")).await;

        assert_eq!((text.as_str(), end.expect_err("it broke").1.as_str()), ("Let me löok.", told));
    }
}

#[tokio::test]
async fn what_the_dialect_cannot_say_is_named_and_nothing_is_sent() {
    let (fake, proxy, _folder) = before(Script::body("application/json", WHOLE)).await;
    let body = json!({
        "messages": [{"role": "user", "content": "hi"}], "tools": tools(), "tool_choice": "none",
    });

    let response = proxy.chat(body.to_string()).await;

    assert_eq!(response.status(), 400);
    let error: Value = response.json().await.expect("JSON");
    assert_eq!(error["error"]["code"], "not_expressible");
    assert!(
        error["error"]["message"].as_str().is_some_and(|text| text.contains("tool_choice none")),
        "{error}"
    );
    assert!(fake.requests().is_empty());
}

#[tokio::test]
async fn a_status_of_the_dialect_is_told_like_any_other() {
    let denied = r#"{"message":"The security token included in the request is invalid."}"#;
    for (status, ours) in [(403, 503), (400, 400), (429, 429), (424, 503)] {
        let (_fake, proxy, _folder) =
            before(Script::body("application/json", denied).with_status(status)).await;

        let response = proxy.chat(r#"{"messages":[{"role":"user","content":"hi"}]}"#).await;

        assert_eq!(response.status(), ours, "{status}");
    }
}

#[tokio::test]
async fn without_one_of_its_keys_it_is_off_and_says_which() {
    let fake = Fake::start(Script::body("application/json", WHOLE)).await;
    let proxy = Proxy::start(&format!(
        "server: {{default_model: small}}\n\
         providers: [{{name: amazon, bedrock: {{region: eu-central-1, base_url: 'http://{}', \
         access_key_id_file: Cargo.toml, secret_access_key_file: /nowhere}}}}]\n\
         models: [{{name: small, routes: [{{provider: amazon, model: m}}]}}]",
        fake.address
    ))
    .await;

    let (_, message) = proxy.execute(ask("hello")).await.expect_err("no key");

    assert_eq!(
        message,
        "provider amazon: the provider is off: its secret access key file is missing or cannot be read"
    );
}
