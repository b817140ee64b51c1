//! The service under test, on a port of its own.

use std::{net::SocketAddr, sync::Arc, time::Duration};

use tokio::{net::TcpListener, time::sleep};
use tonic::transport::Channel;
use vibectl_config::Config;
use vibectl_proto::llm_proxy::{
    ExecuteError, ExecuteRequest, StreamChunk, execute_response::Result as Outcome, stream_chunk::ChunkType,
    vibectl_llm_proxy_client::VibectlLlmProxyClient,
};
use vibectl_server::{
    parts::Parts,
    provider::sources::Sources,
    service,
    state::{Active, Shared},
};

pub(crate) struct Proxy {
    pub(crate) shared: Arc<Shared>,
    pub(crate) address: SocketAddr,
}

impl Proxy {
    /// Starts the service with this config, open to everybody.
    pub(crate) async fn start(config: &str) -> Self {
        let shared = shared(config);
        shared.auth.open();
        Self::serve(shared).await
    }

    /// Starts the service with this config and the authentication that it asks for.
    pub(crate) async fn guarded(config: &str) -> Self {
        let shared = shared(config);
        shared.auth.start(&shared.config(), false).expect("a secret");
        Self::serve(shared).await
    }

    async fn serve(shared: Arc<Shared>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let address = listener.local_addr().expect("an address");
        let app = service::build(&shared);
        tokio::spawn(async move { axum::serve(listener, app).await });
        Self { shared, address }
    }

    /// Starts the service with one model, `small`, that these providers serve in this order. None is asked twice.
    pub(crate) async fn before(providers: &[String]) -> Self {
        let settings = "retries: {attempts: 0}, first_byte_timeout_seconds: 1, idle_timeout_seconds: 1";
        Self::before_with(settings, providers).await
    }

    /// The same with these settings of each provider.
    pub(crate) async fn before_with(settings: &str, providers: &[String]) -> Self {
        let provider = |(index, base_url): (usize, &String)| {
            format!("{{name: p{index}, {settings}, openai: {{base_url: '{base_url}'}}}}")
        };
        let route = |index| format!("{{provider: p{index}, model: m-{index}, priority: {index}}}");
        let routes: Vec<_> = (0..providers.len()).map(route).collect();
        let providers: Vec<_> = providers.iter().enumerate().map(provider).collect();
        Self::start(&format!(
            "server: {{default_model: small}}\nproviders: [{}]\nmodels: [{{name: small, routes: [{}]}}]",
            providers.join(", "),
            routes.join(", ")
        ))
        .await
    }

    pub(crate) async fn grpc(&self) -> VibectlLlmProxyClient<Channel> {
        let channel = Channel::from_shared(format!("http://{}", self.address)).expect("an address");
        VibectlLlmProxyClient::new(channel.connect().await.expect("a connection"))
    }

    /// The text of the whole answer, or the error code and message.
    pub(crate) async fn execute(&self, request: ExecuteRequest) -> Result<String, (String, String)> {
        let response = self.grpc().await.execute(request).await.expect("a status of OK").into_inner();
        match response.result.expect("a result") {
            Outcome::Success(success) => Ok(success.response_text),
            Outcome::Error(error) => Err(coded(error)),
        }
    }

    /// The text of the stream and how it ended: with the model's name, or with an error code and message.
    pub(crate) async fn stream(&self, request: ExecuteRequest) -> (String, Result<String, (String, String)>) {
        let mut stream =
            self.grpc().await.stream_execute(request).await.expect("a status of OK").into_inner();
        let (mut text, mut end) = (String::new(), None);
        while let Some(StreamChunk { chunk_type, .. }) = stream.message().await.expect("no status but OK") {
            match chunk_type.expect("a chunk") {
                ChunkType::TextChunk(piece) => text.push_str(&piece),
                ChunkType::Complete(complete) => end = Some(Ok(complete.actual_model_used)),
                ChunkType::Error(error) => end = Some(Err(coded(error))),
                ChunkType::FinalMetrics(_) => {}
            }
        }
        (text, end.expect("an end"))
    }

    /// Posts a chat completions request.
    pub(crate) async fn chat(&self, body: impl Into<reqwest::Body>) -> reqwest::Response {
        let url = format!("http://{}/v1/chat/completions", self.address);
        client().post(url).body(body).send().await.expect("a response")
    }

    /// Completes when no call holds a permit; at most a second.
    pub(crate) async fn idle(&self) {
        for _ in 0..100 {
            if self.shared.limiter.calls_in_flight() == 0 {
                return;
            }
            sleep(Duration::from_millis(10)).await;
        }
        panic!("a permit was not given back");
    }

    /// Input and output tokens of all callers.
    pub(crate) fn tokens(&self) -> (u64, u64) {
        let totals = self.shared.usage.totals();
        (totals.iter().map(|one| one.input_tokens).sum(), totals.iter().map(|one| one.output_tokens).sum())
    }
}

fn shared(config: &str) -> Arc<Shared> {
    let config = Config::parse(config, "test.yaml").unwrap_or_else(|mistakes| panic!("{mistakes}")).config;
    let active = Active::new(Arc::new(config), &Sources::of_process());
    Arc::new(Shared::new(active, Parts::new(None)))
}

pub(crate) fn client() -> reqwest::Client {
    reqwest::Client::builder().no_proxy().build().expect("a client")
}

/// A request with this user prompt for the default model.
pub(crate) fn ask(text: &str) -> ExecuteRequest {
    ExecuteRequest { user_fragments: vec![text.to_owned()], ..ExecuteRequest::default() }
}

fn coded(error: ExecuteError) -> (String, String) {
    (error.error_code, error.error_message)
}
