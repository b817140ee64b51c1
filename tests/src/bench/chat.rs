//! The load on gateways over HTTP: whole answers of a kibibyte, and many streams at a pace.

use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail};
use futures::StreamExt as _;
use tokio::task::JoinSet;
use tokio::time::sleep;

use super::upstream::{CHUNKS, PACE};

/// Length of a request's body, more or less.
const REQUEST_BYTES: usize = 1024;

/// Where calls go.
#[derive(Debug, Clone)]
pub struct Chat {
    client: reqwest::Client,
    url: String,
    token: Option<String>,
}

/// Which model of the upstream is asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Model {
    /// Answers at once.
    Bench,
    /// Says a chunk every [`PACE`].
    Paced,
    /// Answers after [`super::upstream::SLOW`].
    Slow,
}

impl Chat {
    /// Calls of the server with this base URL, without `/v1`; over HTTP/1.1, which every gateway speaks.
    ///
    /// # Errors
    /// When `ca` is no certificate.
    pub fn new(base: &str, token: Option<&str>, ca: Option<&str>) -> Result<Self> {
        let roots = ca.map(|pem| reqwest::Certificate::from_pem(pem.as_bytes())).transpose()?;
        let client = reqwest::Client::builder()
            .no_proxy()
            .http1_only()
            .pool_max_idle_per_host(1024)
            .tls_certs_only(roots)
            .build()?;
        Ok(Self { client, url: format!("{base}/v1/chat/completions"), token: token.map(str::to_owned) })
    }

    fn request(&self, model: Model, stream: bool) -> reqwest::RequestBuilder {
        let name = match model {
            Model::Bench => "bench",
            Model::Paced => "paced",
            Model::Slow => "slow",
        };
        let words = "Why is the pod pending? ".repeat(REQUEST_BYTES / 24);
        let options = if stream { r#","stream":true,"stream_options":{"include_usage":true}"# } else { "" };
        let body =
            format!(r#"{{"model":"{name}","messages":[{{"role":"user","content":"{words}"}}]{options}}}"#);
        let request = self.client.post(&self.url).header("content-type", "application/json").body(body);
        match &self.token {
            Some(token) => request.bearer_auth(token),
            None => request,
        }
    }

    /// One whole answer.
    ///
    /// # Errors
    /// When it is anything but an answer.
    pub async fn whole(&self, model: Model) -> Result<()> {
        let answer = self.request(model, false).send().await?.error_for_status()?.bytes().await?;
        if answer.len() < REQUEST_BYTES / 2 {
            bail!("an answer of {} bytes is not the upstream's", answer.len());
        }
        Ok(())
    }

    /// One stream that is left after its first chunk.
    ///
    /// # Errors
    /// When there is no first chunk.
    pub async fn leave(&self, model: Model) -> Result<()> {
        let response = self.request(model, true).send().await?.error_for_status()?;
        response.bytes_stream().next().await.context("a stream without a byte")??;
        Ok(())
    }

    /// One call that has to be refused for its token.
    ///
    /// # Errors
    /// When it is anything else.
    pub async fn refused(&self) -> Result<()> {
        let status = self.request(Model::Bench, false).send().await?.status();
        if status != reqwest::StatusCode::UNAUTHORIZED {
            bail!("a call with a bad token was answered with {status}");
        }
        Ok(())
    }

    /// One stream, read to its end: the time to its first chunk.
    ///
    /// # Errors
    /// When it has fewer chunks than the upstream says.
    pub async fn stream(&self, model: Model) -> Result<Duration> {
        let started = Instant::now();
        let response = self.request(model, true).send().await?.error_for_status()?;
        let (mut first, mut seen) = (None, 0);
        let mut pieces = response.bytes_stream();
        while let Some(piece) = pieces.next().await {
            first.get_or_insert_with(|| started.elapsed());
            let piece = piece?;
            seen += piece.windows(5).filter(|window| window == b"data:").count();
        }
        if seen < CHUNKS {
            bail!("a stream ended after {seen} of {CHUNKS} chunks");
        }
        first.context("a stream without a byte")
    }

    /// Runs this many streams at a time, each caller one after the other, and tells the times to their first chunks, sorted.
    /// Callers begin spread over the length of a stream: what is measured is the steady state.
    ///
    /// # Errors
    /// When a stream fails.
    pub async fn paced_streams(&self, at_once: usize, each: usize) -> Result<Vec<Duration>> {
        let length = PACE * u32::try_from(CHUNKS)?;
        let mut callers = JoinSet::new();
        for number in 0..at_once {
            let (chat, delay) = (self.clone(), length * u32::try_from(number)? / u32::try_from(at_once)?);
            callers.spawn(async move {
                sleep(delay).await;
                let mut times = Vec::with_capacity(each);
                for _ in 0..each {
                    times.push(chat.stream(Model::Paced).await?);
                }
                anyhow::Ok(times)
            });
        }
        let mut times = Vec::with_capacity(at_once * each);
        while let Some(of_one) = callers.join_next().await {
            times.extend(of_one??);
        }
        times.sort_unstable();
        Ok(times)
    }
}
