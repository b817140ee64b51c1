//! An upstream that answers every chat completion at once with the same kilobyte.

use std::net::SocketAddr;

use anyhow::Result;
use axum::Router;
use axum::http::header::CONTENT_TYPE;
use axum::routing::post;

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
        let body = answer();
        let router = Router::new().route(
            "/v1/chat/completions",
            post(move || async move { ([(CONTENT_TYPE, "application/json")], body) }),
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
}

impl Drop for Upstream {
    fn drop(&mut self) {
        self.task.abort();
    }
}

fn answer() -> String {
    let text = "The pod waits for a node with enough memory. ".repeat(20);
    serde_json::json!({
        "id": "chatcmpl-bench", "object": "chat.completion", "created": 1_700_000_000, "model": "bench",
        "choices": [{"index": 0, "message": {"role": "assistant", "content": text}, "finish_reason": "stop"}],
        "usage": {"prompt_tokens": 12, "completion_tokens": 200, "total_tokens": 212},
    })
    .to_string()
}
