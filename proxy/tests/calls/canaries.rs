//! No caller ever sees a word of another one's answer, whatever becomes of streams meanwhile.

use futures::{StreamExt, stream};
use vibectl_proto::llm_proxy::{
    stream_chunk::ChunkType, vibectl_llm_proxy_client::VibectlLlmProxyClient as Client,
};

use crate::{
    fake_provider::{BREAK, Fake, Script},
    proxy::{Proxy, ask},
};

const STREAMS: usize = 10_000;
const AT_ONCE: usize = 100;
const PIECES: usize = 3;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn e16_ten_thousand_interleaved_streams_carry_no_word_of_each_other() {
    let fake = Fake::start(Script::parrot(PIECES)).await;
    let proxy = Proxy::before(&[fake.base_url()]).await;
    let client = proxy.grpc().await;

    let said: Vec<usize> = stream::iter(0..STREAMS)
        .map(|number| one(client.clone(), number))
        .buffer_unordered(AT_ONCE)
        .collect()
        .await;

    let whole = said.iter().filter(|pieces| **pieces == PIECES).count();
    assert!(whole > STREAMS / 2, "{whole} were read to their end");
    proxy.idle().await;
}

/// One stream with a canary of its own; every seventh is left after its first piece, every eleventh broken by the provider. Tells
/// how many pieces came.
async fn one(mut client: Client<tonic::transport::Channel>, number: usize) -> usize {
    let breaks = if number.is_multiple_of(11) { BREAK } else { "" };
    let canary = format!("[canary {number} {breaks}]");
    let mut stream = client.stream_execute(ask(&canary)).await.expect("accepted").into_inner();
    let mut pieces = 0;
    while let Some(chunk) = stream.message().await.expect("no status but OK") {
        if let Some(ChunkType::TextChunk(text)) = chunk.chunk_type {
            assert_eq!(text, canary, "a word of somebody else");
            pieces += 1;
        }
        if number.is_multiple_of(7) {
            break;
        }
    }
    pieces
}
