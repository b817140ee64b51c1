//! An upstream that answers every chat completion with the same kilobyte: at once, or as a stream, in one go or at a pace.

use std::net::SocketAddr;
use std::time::Duration;

use anyhow::Result;
use axum::Router;
use axum::body::{Body, Bytes};
use axum::http::header::CONTENT_TYPE;
use axum::response::{IntoResponse as _, Response};
use axum::routing::post;
use axum::serve::ListenerExt as _;
use futures::stream;
use tokio::time::{Instant, sleep, sleep_until};

/// Chunks of text in a stream.
pub const CHUNKS: usize = 40;
/// Time between two chunks of a stream at a pace.
pub const PACE: Duration = Duration::from_millis(50);
/// How long the model `slow` thinks before it answers.
pub const SLOW: Duration = Duration::from_millis(200);

/// A running upstream; it ends when this is dropped.
pub struct Upstream {
    address: SocketAddr,
    task: tokio::task::JoinHandle<()>,
}

impl Upstream {
    /// Listens on a free loopback port.
    ///
    /// # Errors
    /// When no port can be bound.
    pub async fn start() -> Result<Self> {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await?;
        let address = listener.local_addr()?;
        // Else a chunk waits for the acknowledgement of the one before it.
        let listener = listener.tap_io(|connection| {
            let _ = connection.set_nodelay(true);
        });
        let whole = Bytes::from(whole());
        let router = Router::new().route(
            "/v1/chat/completions",
            post(move |request: Bytes| async move {
                if says(&request, b"\"slow\"") {
                    sleep(SLOW).await;
                }
                answer(&request, whole)
            }),
        );
        let task = tokio::spawn(async move {
            // Ends only with the task itself; an accept error shows as failing calls.
            let _ = axum::serve(listener, router).await;
        });
        Ok(Self { address, task })
    }

    /// Base URL without `/v1`.
    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// Host and port.
    pub fn address(&self) -> SocketAddr {
        self.address
    }
}

impl Drop for Upstream {
    fn drop(&mut self) {
        self.task.abort();
    }
}

fn answer(request: &[u8], whole: Bytes) -> Response {
    // Gateways write JSON with and without spaces.
    if !(says(request, b"\"stream\":true") || says(request, b"\"stream\": true")) {
        return ([(CONTENT_TYPE, "application/json")], whole).into_response();
    }
    let pace = if says(request, b"\"paced\"") { PACE } else { Duration::ZERO };
    let started = Instant::now();
    let chunks = stream::unfold(0, move |number| async move {
        let event = event(number)?;
        // By the clock, not by the last chunk: what is late once does not make all of it late.
        sleep_until(started + pace * u32::try_from(number).unwrap_or_default()).await;
        Some((anyhow::Ok(Bytes::from(event)), number + 1))
    });
    ([(CONTENT_TYPE, "text/event-stream")], Body::from_stream(chunks)).into_response()
}

fn says(request: &[u8], text: &[u8]) -> bool {
    request.windows(text.len()).any(|window| window == text)
}

/// The events of a stream: the chunks, the end, the usage and the last word.
fn event(number: usize) -> Option<String> {
    let chunk = |choices: serde_json::Value, usage: serde_json::Value| {
        let chunk = serde_json::json!({
            "id": "chatcmpl-bench", "object": "chat.completion.chunk", "created": 1_700_000_000, "model": "bench",
            "choices": choices, "usage": usage,
        });
        format!("data: {chunk}\n\n")
    };
    let choice = |delta: serde_json::Value, reason: Option<&str>| serde_json::json!([{"index": 0, "delta": delta, "finish_reason": reason}]);
    let nothing = serde_json::Value::Null;
    match number.checked_sub(CHUNKS) {
        None => Some(chunk(choice(serde_json::json!({"content": "with enough memory, "}), None), nothing)),
        Some(0) => Some(chunk(choice(serde_json::json!({}), Some("stop")), nothing)),
        Some(1) => Some(chunk(
            serde_json::json!([]),
            serde_json::json!({"prompt_tokens": 12, "completion_tokens": 200, "total_tokens": 212}),
        )),
        Some(2) => Some("data: [DONE]\n\n".to_owned()),
        Some(_) => None,
    }
}

fn whole() -> String {
    let text = "The pod waits for a node with enough memory. ".repeat(20);
    serde_json::json!({
        "id": "chatcmpl-bench", "object": "chat.completion", "created": 1_700_000_000, "model": "bench",
        "choices": [{"index": 0, "message": {"role": "assistant", "content": text}, "finish_reason": "stop"}],
        "usage": {"prompt_tokens": 12, "completion_tokens": 200, "total_tokens": 212},
    })
    .to_string()
}
