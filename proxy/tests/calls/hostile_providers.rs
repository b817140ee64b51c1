//! Providers that answer with something else than they should, and callers that would like to choose the provider themselves.

use std::fs;

use bytes::Bytes;

use crate::{
    fake_provider::{Fake, Script, Step},
    proxy::{Proxy, ask},
};

/// A provider with a key.
async fn with_key(fake: &Fake, folder: &std::path::Path) -> Proxy {
    let key = folder.join("key");
    fs::write(&key, "sk-provider").expect("written");
    Proxy::start(&format!(
        "server: {{default_model: small}}\n\
         providers: [{{name: p0, retries: {{attempts: 0}}, openai: {{base_url: '{}', api_key_file: '{}'}}}}]\n\
         models: [{{name: small, routes: [{{provider: p0, model: m-0}}]}}]",
        fake.base_url(),
        key.display()
    ))
    .await
}

#[tokio::test]
async fn e03_nothing_in_a_request_says_where_it_goes_or_with_which_key() {
    let folder = tempfile::tempdir().expect("a folder");
    let (fake, elsewhere) =
        (Fake::start(Script::answer("hi")).await, Fake::start(Script::answer("no")).await);
    let proxy = with_key(&fake, folder.path()).await;
    let other = elsewhere.base_url();
    for wish in ["api_base", "base_url", "api_key", "host", "extra_headers", "metadata", "litellm_params"] {
        let value =
            format!(r#"{{"api_base":"{other}","api_key":"sk-evil","authorization":"Bearer sk-evil"}}"#);
        let body = format!(r#"{{"messages":[{{"role":"user","content":"hi"}}],"{wish}":{value}}}"#);

        assert_eq!(proxy.chat(body).await.status(), 200, "{wish}");
    }

    assert!(elsewhere.requests().is_empty());
    let host = fake.address.to_string();
    for (headers, _) in fake.requests() {
        assert_eq!(
            (&headers["authorization"], &headers["host"]),
            (&"Bearer sk-provider".parse().expect("ASCII"), &host.parse().expect("ASCII"))
        );
    }
}

#[tokio::test]
async fn e04_a_key_that_the_provider_refuses_is_our_trouble_and_shows_until_a_call_is_answered() {
    let folder = tempfile::tempdir().expect("a folder");
    let body =
        r#"{"error":{"message":"Incorrect API key provided: sk-provider","type":"invalid_request_error"}}"#;
    let refusal = |status| Script::body("application/json", body).with_status(status);
    let fake = Fake::in_turn(vec![refusal(401), refusal(403), refusal(401), Script::answer("hi")]).await;
    let proxy = with_key(&fake, folder.path()).await;
    let refused =
        || proxy.shared.active.load().router.upstreams().any(|(_, upstream)| upstream.refuses_key());

    for _ in 0..2 {
        let (code, message) = proxy.execute(ask("hello")).await.expect_err("refused");
        assert_eq!(code, "EXECUTION_FAILED", "and not a status that is about the caller's own token");
        assert!(!message.contains("sk-") && message.contains("does not accept the key"), "{message}");
    }
    let response = proxy.chat(r#"{"messages":[{"role":"user","content":"hello"}]}"#).await;
    assert_eq!(response.status(), 503);
    assert!(!response.text().await.expect("a body").contains("sk-"));
    assert!(refused());

    proxy.execute(ask("hello")).await.expect("the key is good again");

    assert!(!refused());
}

#[tokio::test]
async fn e08_a_stream_of_every_form_that_the_standard_knows_is_read() {
    let piece = |text: &str| format!(r#"{{"choices":[{{"delta":{{"content":"{text}"}}}}]}}"#);
    let text = format!(
        "\u{feff}: comment\r\n\r\ndata:{}\r\rdata: {}\n\nid: 1\nevent: x\ndata: {}\r\n\r\ndata: [DONE]",
        piece("a"),
        piece("\u{e4}\u{1f980}"),
        piece("c")
    );
    let bytes = Bytes::from(text);
    let steps = bytes.chunks(3).map(|part| Step::Send(Bytes::copy_from_slice(part))).collect();
    let fake = Fake::start(Script { steps, ..Script::events(&[]) }).await;

    let (text, end) = Proxy::before(&[fake.base_url()]).await.stream(ask("hello")).await;

    assert_eq!((text.as_str(), end.as_deref()), ("a\u{e4}\u{1f980}c", Ok("small")));
}

#[tokio::test]
async fn e08_a_line_of_ten_megabytes_or_a_nul_is_one_clear_error() {
    let long = Script { steps: vec![Step::Send(vec![b'a'; 10 * 1024 * 1024].into())], ..Script::events(&[]) };
    for (script, told) in [
        (long, "an event of the provider's answer is too long"),
        (Script::events(&["\0"]), "the provider's answer cannot be understood"),
    ] {
        let fake = Fake::start(script).await;

        let (text, end) = Proxy::before(&[fake.base_url()]).await.stream(ask("hello")).await;

        assert_eq!((text.as_str(), end.expect_err("an error").1), ("", format!("provider p0: {told}")));
    }
}

#[tokio::test]
async fn e09_json_of_every_hostile_kind_is_read_or_one_clear_error() {
    let deep = "[".repeat(100_000);
    let answer = |more: &str| format!(r#"{{"choices":[{{"message":{{"content":"hi"}}}}]{more}}}"#);
    for body in [
        deep.clone(),
        answer(&format!(r#","x":{deep}{}"#, "]".repeat(100_000))),
        answer(r#","choices":[]"#),
        answer(r#","usage":{"prompt_tokens":NaN}"#),
        answer(r#","usage":{"prompt_tokens":1e999,"completion_tokens":-1}"#),
        answer(r#","usage":{"prompt_tokens":99999999999999999999999999,"completion_tokens":1}"#),
        "\u{feff}{}".to_owned(),
        String::new(),
    ] {
        let shown: String = body.chars().take(80).collect();
        let fake = Fake::start(Script::body("application/json", body)).await;

        let told = Proxy::before(&[fake.base_url()]).await.execute(ask("hello")).await;

        let clear = "provider p0: the provider's answer cannot be understood";
        assert!(
            told.as_ref().map_or_else(|(_, said)| said == clear, |text| text == "hi"),
            "{shown}: {told:?}"
        );
    }
}

#[tokio::test]
async fn e10_what_a_provider_compressed_unasked_is_not_unpacked() {
    // A gzip stream of an empty text; a bomb would begin the same way.
    let gzip: &[u8] = &[0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 0, 3, 3, 0, 0, 0, 0, 0, 0, 0, 0, 0];
    let mut script = Script::body("application/json", Bytes::from_static(gzip));
    script.headers.push(("content-encoding", "gzip"));
    let fake = Fake::start(script).await;

    let (_, message) =
        Proxy::before(&[fake.base_url()]).await.execute(ask("hello")).await.expect_err("compressed");

    assert_eq!(message, "provider p0: the provider's answer cannot be understood");
    assert!(!fake.requests()[0].0.contains_key("accept-encoding"));
}
