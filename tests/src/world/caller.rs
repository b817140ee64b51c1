//! A client of one address: a Service, or one pod, whatever name its certificate carries.

use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use anyhow::{Context as _, Result};
use reqwest::{Client, ClientBuilder, StatusCode};
use serde_json::{Value, json};

use super::Credential;

/// Calls with one credential.
#[derive(Clone)]
pub struct Caller {
    client: Client,
    base: String,
    token: String,
}

/// What came back.
#[derive(Debug)]
pub struct Answer {
    /// HTTP status.
    pub status: StatusCode,
    /// Body, or null where it is not JSON.
    pub body: Value,
}

impl Caller {
    /// A caller of one address that verifies the name of the credential's URL.
    ///
    /// # Errors
    /// When the CA cannot be read.
    pub fn at(credential: &Credential, address: IpAddr, port: u16) -> Result<Self> {
        Self::build(credential, address, port, |client| client)
    }

    fn build(
        credential: &Credential,
        address: IpAddr,
        port: u16,
        adjust: impl FnOnce(ClientBuilder) -> ClientBuilder,
    ) -> Result<Self> {
        let trusted = match &credential.ca {
            Some(ca) => reqwest::Certificate::from_pem_bundle(ca.as_bytes())?,
            None => Vec::new(),
        };
        let scheme = if trusted.is_empty() { "http" } else { "https" };
        let client = Client::builder()
            .resolve(&credential.host, SocketAddr::new(address, port))
            .timeout(Duration::from_secs(30))
            .tls_certs_only(trusted)
            .no_proxy();
        let base = format!("{scheme}://{}:{port}", credential.host);
        Ok(Self { client: adjust(client).build()?, base, token: credential.token.clone() })
    }

    /// The same with a connection, and so a handshake, of its own for each call.
    ///
    /// # Errors
    /// When the CA cannot be read.
    pub fn afresh(credential: &Credential, address: IpAddr, port: u16) -> Result<Self> {
        Self::build(credential, address, port, |client| client.pool_max_idle_per_host(0).tls_info(true))
    }

    /// The certificate that a new connection meets, DER.
    ///
    /// # Errors
    /// When there is no answer, or none over TLS; or when the caller is not one of [`Self::afresh`].
    pub async fn certificate(&self) -> Result<Vec<u8>> {
        let response =
            self.client.get(format!("{}/v1/models", self.base)).bearer_auth(&self.token).send().await?;
        let tls = response.extensions().get::<reqwest::tls::TlsInfo>();
        let certificate = tls.and_then(reqwest::tls::TlsInfo::peer_certificate);
        Ok(certificate.context("the answer came without a certificate")?.to_vec())
    }

    /// `POST /v1/chat/completions` with one user message.
    ///
    /// # Errors
    /// When there is no answer at all.
    pub async fn chat(&self, model: &str, text: &str) -> Result<Answer> {
        let body = json!({"model": model, "messages": [{"role": "user", "content": text}]});
        self.post("/v1/chat/completions", &body).await
    }

    /// `POST` of any JSON.
    ///
    /// # Errors
    /// When there is no answer at all.
    pub async fn post(&self, path: &str, body: &Value) -> Result<Answer> {
        let request = self.client.post(format!("{}{path}", self.base)).bearer_auth(&self.token).json(body);
        answer(request).await
    }

    /// `GET`.
    ///
    /// # Errors
    /// When there is no answer at all.
    pub async fn get(&self, path: &str) -> Result<Answer> {
        answer(self.client.get(format!("{}{path}", self.base)).bearer_auth(&self.token)).await
    }
}

impl Answer {
    /// The text of a chat completion.
    ///
    /// # Errors
    /// When it is something else; the text shows what.
    pub fn text(&self) -> Result<&str> {
        let content = self.body["choices"][0]["message"]["content"].as_str();
        content.with_context(|| format!("no text in {} {}", self.status, self.body))
    }
}

async fn answer(request: reqwest::RequestBuilder) -> Result<Answer> {
    let response = request.send().await?;
    let status = response.status();
    let body = serde_json::from_slice(&response.bytes().await?).unwrap_or(Value::Null);
    Ok(Answer { status, body })
}
