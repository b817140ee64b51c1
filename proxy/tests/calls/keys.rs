//! The provider's key: where it goes, and what happens without it.

use std::{fs, sync::Arc, time::Duration};

use vibectl_proto::llm_proxy::stream_chunk::ChunkType;
use vibectl_server::{provider::sources::Sources, state::Active};

use crate::{
    fake_provider::{Fake, Script, Step, delta},
    proxy::{Proxy, ask},
};

fn config(base_url: &str, key: &std::path::Path) -> String {
    format!(
        "server: {{default_model: small}}\n\
         providers: [{{name: local, openai: {{base_url: '{base_url}', api_key_file: '{}'}}}}]\n\
         models: [{{name: small, routes: [{{provider: local, model: m}}]}}]",
        key.display()
    )
}

#[tokio::test]
async fn the_key_goes_to_the_provider_and_the_callers_headers_do_not() {
    let folder = tempfile::tempdir().expect("a folder");
    let key = folder.path().join("key");
    fs::write(&key, "sk-provider\n").expect("written");
    let fake = Fake::start(Script::answer("hi")).await;
    let proxy = Proxy::start(&config(&fake.base_url(), &key)).await;
    let mut request = tonic::Request::new(ask("hello"));
    request.metadata_mut().insert("authorization", "Bearer the-callers-token".parse().expect("ASCII"));
    request.metadata_mut().insert("x-secret", "of the caller".parse().expect("ASCII"));

    proxy.grpc().await.execute(request).await.expect("answered");

    let (headers, _) = &fake.requests()[0];
    assert_eq!(headers["authorization"], "Bearer sk-provider");
    assert!(!headers.contains_key("x-secret"));
}

#[tokio::test]
async fn without_its_key_a_provider_is_off_until_the_key_is_there() {
    let folder = tempfile::tempdir().expect("a folder");
    let key = folder.path().join("key");
    let fake = Fake::start(Script::answer("hi")).await;
    let proxy = Proxy::start(&config(&fake.base_url(), &key)).await;

    let (code, message) = proxy.execute(ask("hello")).await.expect_err("no key");
    assert_eq!(code, "EXECUTION_FAILED");
    assert_eq!(message, "provider local: the provider is off: its API key file is missing or cannot be read");
    let response = proxy.chat(r#"{"messages":[{"role":"user","content":"hello"}]}"#).await;
    assert_eq!(response.status(), 503);
    assert!(fake.requests().is_empty());

    fs::write(&key, "sk-provider").expect("written");
    take_up(&proxy);

    assert_eq!(proxy.execute(ask("hello")).await.as_deref(), Ok("hi"));
}

#[tokio::test]
async fn l08_after_a_new_key_the_next_call_uses_it_and_a_stream_of_the_old_one_goes_on() {
    let folder = tempfile::tempdir().expect("a folder");
    let key = folder.path().join("key");
    fs::write(&key, "sk-old").expect("written");
    let script = Script::events(&[&delta("one ")]).then(Step::Wait(Duration::from_millis(500)));
    let rest = Script::stream(&["two"]).steps;
    let fake = Fake::start(rest.into_iter().fold(script, Script::then)).await;
    let proxy = Proxy::start(&config(&fake.base_url(), &key)).await;
    let mut before = proxy.grpc().await.stream_execute(ask("hello")).await.expect("accepted").into_inner();
    before.message().await.expect("no error").expect("the first chunk");

    fs::write(&key, "sk-new").expect("written");
    take_up(&proxy);

    assert_eq!(proxy.stream(ask("hello")).await, ("one two".to_owned(), Ok("small".to_owned())));
    let mut chunks = Vec::new();
    while let Some(chunk) = before.message().await.expect("no error") {
        chunks.extend(chunk.chunk_type);
    }
    assert!(matches!(&chunks[0], ChunkType::TextChunk(text) if text == "two"), "{chunks:?}");
    assert!(chunks.iter().any(|chunk| matches!(chunk, ChunkType::Complete(_))), "{chunks:?}");
    let keys: Vec<_> = fake.requests().iter().map(|(headers, _)| headers["authorization"].clone()).collect();
    assert_eq!(keys, ["Bearer sk-old", "Bearer sk-new"]);
}

/// As the server does when files of its config have changed.
fn take_up(proxy: &Proxy) {
    let active = Active::new(proxy.shared.config(), &Sources::of_process());
    proxy.shared.active.store(Arc::new(active));
}
