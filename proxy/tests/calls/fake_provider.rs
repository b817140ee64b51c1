//! A server that speaks just enough of the OpenAI dialect to answer as a test says, rightly or wrongly.

use std::{
    io,
    net::SocketAddr,
    sync::{Arc, Mutex},
    time::Duration,
};

use axum::{
    Router,
    body::Body,
    extract::{Request, State},
    response::Response,
};
use bytes::Bytes;
use futures::stream;
use http::HeaderMap;
use hyper_util::{
    rt::{TokioExecutor, TokioIo},
    server::conn::auto::Builder,
    service::TowerToHyperService,
};
use rustls::{ServerConfig, crypto::aws_lc_rs};
use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::{TcpListener, TcpStream},
    sync::Notify,
    time::sleep,
};
use tokio_rustls::TlsAcceptor;
use vibectl_pki::Leaf;

/// How the fake answers every request.
#[derive(Clone, Debug)]
pub(crate) struct Script {
    pub(crate) status: u16,
    pub(crate) headers: Vec<(&'static str, &'static str)>,
    /// Silence before the head of the response.
    pub(crate) wait: Duration,
    pub(crate) steps: Vec<Step>,
    /// Says the last message of the request so many times instead, in a stream, with a pause after each; and breaks in the
    /// middle if the message asks for it.
    pub(crate) parrot: Option<usize>,
}

/// One step of a response's body.
#[derive(Clone, Debug)]
pub(crate) enum Step {
    Send(Bytes),
    Wait(Duration),
    /// The connection breaks.
    Cut,
    /// Nothing more comes, and no end.
    Hang,
}

/// A running fake; it ends with the test's runtime.
pub(crate) struct Fake {
    pub(crate) address: SocketAddr,
    state: Arc<Seen>,
}

struct Seen {
    /// One for each request in order; the last one for all that follow.
    scripts: Vec<Script>,
    requests: Mutex<Vec<(HeaderMap, Bytes)>>,
    paths: Mutex<Vec<String>>,
    abandoned: Notify,
    close: Notify,
}

impl Script {
    /// A response of this content type in one piece.
    pub(crate) fn body(content_type: &'static str, body: impl Into<Bytes>) -> Self {
        Self {
            status: 200,
            headers: vec![("content-type", content_type)],
            wait: Duration::ZERO,
            steps: vec![Step::Send(body.into())],
            parrot: None,
        }
    }

    /// A stream that says what it is asked so many times.
    pub(crate) fn parrot(times: usize) -> Self {
        Self { parrot: Some(times), ..Self::body("text/event-stream", "") }
    }

    /// What a parrot does with a request.
    fn repeating(&self, request: &[u8]) -> Vec<Step> {
        let Some(times) = self.parrot else { return self.steps.clone() };
        let request: serde_json::Value = serde_json::from_slice(request).expect("JSON");
        let last = request["messages"].as_array().and_then(|all| all.last()).expect("a message");
        let text = last["content"].as_str().expect("text");
        let piece = Step::Send(format!("data: {}\n\n", delta(text)).into());
        let said = (0..times).flat_map(|_| [piece.clone(), Step::Wait(Duration::from_millis(1))]);
        let rest = if text.contains(BREAK) { vec![Step::Cut] } else { Self::stream(&[]).steps };
        said.chain(rest).collect()
    }

    /// A whole answer with this text.
    pub(crate) fn answer(text: &str) -> Self {
        let text = serde_json::to_string(text).expect("JSON");
        let usage = r#"{"prompt_tokens":11,"completion_tokens":7,"total_tokens":18}"#;
        Self::body(
            "application/json",
            format!(
                r#"{{"choices":[{{"index":0,"message":{{"role":"assistant","content":{text}}}}}],"usage":{usage}}}"#
            ),
        )
    }

    /// A stream of these events and nothing more.
    pub(crate) fn events(events: &[&str]) -> Self {
        let steps = events.iter().map(|event| Step::Send(format!("data: {event}\n\n").into())).collect();
        Self { steps, ..Self::body("text/event-stream", "") }
    }

    /// A good stream with these pieces of text.
    pub(crate) fn stream(pieces: &[&str]) -> Self {
        let mut events: Vec<String> = pieces.iter().map(|piece| delta(piece)).collect();
        events.push(r#"{"choices":[{"index":0,"delta":{},"finish_reason":"stop"}]}"#.to_owned());
        events.push(r#"{"choices":[],"usage":{"prompt_tokens":11,"completion_tokens":7}}"#.to_owned());
        events.push("[DONE]".to_owned());
        Self::events(&events.iter().map(String::as_str).collect::<Vec<_>>())
    }

    /// The same response with another status.
    pub(crate) fn with_status(self, status: u16) -> Self {
        Self { status, ..self }
    }

    /// The same response with one step more.
    pub(crate) fn then(mut self, step: Step) -> Self {
        self.steps.push(step);
        self
    }
}

/// A parrot breaks off after a message with this in it.
pub(crate) const BREAK: &str = "break";

/// A chunk with a piece of text.
pub(crate) fn delta(text: &str) -> String {
    let text = serde_json::to_string(text).expect("JSON");
    format!(r#"{{"choices":[{{"index":0,"delta":{{"content":{text}}},"finish_reason":null}}]}}"#)
}

impl Fake {
    pub(crate) async fn start(script: Script) -> Self {
        Self::in_turn(vec![script]).await
    }

    /// Answers each request by the next script, and all after the last one by the last.
    pub(crate) async fn in_turn(scripts: Vec<Script>) -> Self {
        Self::listen(scripts, async |tcp| Ok(tcp)).await
    }

    /// The same behind TLS.
    pub(crate) async fn start_tls(script: Script, leaf: &Leaf) -> Self {
        let key = leaf.key().to_der().expect("a key");
        let mut config = ServerConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()))
            .with_safe_default_protocol_versions()
            .expect("versions")
            .with_no_client_auth()
            .with_single_cert(leaf.chain().certificates().to_vec(), key)
            .expect("a certificate");
        config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
        let acceptor = TlsAcceptor::from(Arc::new(config));
        Self::listen(vec![script], move |tcp| acceptor.accept(tcp)).await
    }

    async fn listen<S, F>(scripts: Vec<Script>, accept: impl Fn(TcpStream) -> F + Send + 'static) -> Self
    where
        S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
        F: Future<Output = io::Result<S>> + Send,
    {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let address = listener.local_addr().expect("an address");
        let seen = Seen {
            scripts,
            requests: Mutex::default(),
            paths: Mutex::default(),
            abandoned: Notify::new(),
            close: Notify::new(),
        };
        let state = Arc::new(seen);
        let app = Router::new().fallback(answer).with_state(Arc::clone(&state));
        let closing = Arc::clone(&state);
        tokio::spawn(async move {
            while let Ok((tcp, _)) = listener.accept().await {
                let Ok(stream) = accept(tcp).await else { continue };
                let (app, closing) = (TowerToHyperService::new(app.clone()), Arc::clone(&closing));
                tokio::spawn(async move {
                    let server = Builder::new(TokioExecutor::new());
                    tokio::select! {
                        _ = server.serve_connection(TokioIo::new(stream), app) => {}
                        () = closing.close.notified() => {}
                    }
                });
            }
        });
        Self { address, state }
    }

    /// Breaks the connections that are open.
    pub(crate) fn close_connections(&self) {
        self.state.close.notify_waiters();
    }

    pub(crate) fn base_url(&self) -> String {
        format!("http://{}/v1", self.address)
    }

    /// Headers and bodies of the requests so far.
    pub(crate) fn requests(&self) -> Vec<(HeaderMap, Bytes)> {
        self.state.requests.lock().expect("not poisoned").clone()
    }

    /// Paths of the requests so far, with their queries.
    pub(crate) fn paths(&self) -> Vec<String> {
        self.state.paths.lock().expect("not poisoned").clone()
    }

    /// The body of the only request.
    pub(crate) fn only_request(&self) -> serde_json::Value {
        let requests = self.requests();
        assert_eq!(requests.len(), 1, "one request");
        serde_json::from_slice(&requests[0].1).expect("JSON")
    }

    /// Completes when the proxy has gone away from a response that had not ended.
    pub(crate) async fn abandoned(&self) {
        tokio::time::timeout(Duration::from_secs(1), self.state.abandoned.notified())
            .await
            .expect("the provider is told within a second");
    }
}

/// Tells when it is dropped without having been disarmed.
struct Guard(Option<Arc<Seen>>);

impl Drop for Guard {
    fn drop(&mut self) {
        if let Some(seen) = &self.0 {
            seen.abandoned.notify_one();
        }
    }
}

async fn answer(State(seen): State<Arc<Seen>>, request: Request) -> Response {
    let (parts, body) = request.into_parts();
    let body = axum::body::to_bytes(body, usize::MAX).await.expect("a whole request");
    let path = parts.uri.path_and_query().map_or("", |path| path.as_str());
    seen.paths.lock().expect("not poisoned").push(path.to_owned());
    let number = {
        let mut requests = seen.requests.lock().expect("not poisoned");
        requests.push((parts.headers, body.clone()));
        requests.len() - 1
    };
    let guard = Guard(Some(Arc::clone(&seen)));
    let script = seen.scripts.get(number).or(seen.scripts.last()).expect("a script").clone();
    sleep(script.wait).await;
    let mut response = Response::builder().status(script.status);
    for (name, value) in &script.headers {
        response = response.header(*name, *value);
    }
    let steps = script.repeating(&body);
    let pieces = stream::unfold((steps.into_iter(), guard), async |(mut steps, mut guard)| {
        loop {
            match steps.next() {
                Some(Step::Send(bytes)) => return Some((Ok(bytes), (steps, guard))),
                Some(Step::Wait(time)) => sleep(time).await,
                Some(Step::Hang) => std::future::pending().await,
                Some(Step::Cut) => {
                    guard.0 = None;
                    return Some((Err(io::Error::other("cut")), (steps, guard)));
                }
                None => {
                    guard.0 = None;
                    return None;
                }
            }
        }
    });
    response.body(Body::from_stream(pieces)).expect("a response")
}
