//! Two calls with nothing but what is in the token's Secret.

use std::io::{BufRead as _, BufReader};
use std::net::SocketAddr;
use std::path::Path;
use std::process::{Child, ChildStdout, Command, Stdio};
use std::time::Duration;

use anyhow::{Context as _, Result, bail};
use tonic::metadata::MetadataValue;
use tonic::transport::{Certificate, ClientTlsConfig, Endpoint};
use vibectl_proto::llm_proxy::vibectl_llm_proxy_client::VibectlLlmProxyClient;
use vibectl_proto::llm_proxy::{ExecuteRequest, execute_response};

use super::{NAMESPACE, kubectl};
use crate::progress::say;
use crate::tools;

const QUESTION: &str = "Say hello to the cluster";

/// What the operator put into the Secret.
pub(super) struct Credential {
    token: String,
    ca: String,
    host: String,
    pub(super) port: u16,
}

impl Credential {
    pub(super) fn read(kubeconfig: &Path, secret: &str) -> Result<Self> {
        let key = |name: &str| {
            let template = format!("go-template={{{{ index .data \"{name}\" | base64decode }}}}");
            kubectl(kubeconfig, &["-n", NAMESPACE, "get", "secret", secret, "-o", &template])
        };
        let url = key("url")?;
        let (host, port) = url
            .strip_prefix("vibectl-server://")
            .and_then(|rest| rest.rsplit_once(':'))
            .with_context(|| format!("the Secret's url is {url:?}, not vibectl-server://HOST:PORT"))?;
        Ok(Self { token: key("token")?, ca: key("ca.crt")?, host: host.to_owned(), port: port.parse()? })
    }
}

/// A running `kubectl port-forward`; it ends when this is dropped.
pub(super) struct Forward {
    child: Child,
    // Held to the end: kubectl dies of a broken pipe at its next message.
    _output: BufReader<ChildStdout>,
    local: SocketAddr,
}

impl Forward {
    pub(super) fn start(kubeconfig: &Path, service: &str, port: u16) -> Result<Self> {
        let mut child = Command::new(tools::kubectl()?)
            .env("KUBECONFIG", kubeconfig)
            .args(["-n", NAMESPACE, "port-forward", &format!("service/{service}"), &format!(":{port}")])
            .stdout(Stdio::piped())
            .spawn()
            .context("failed to start kubectl port-forward")?;
        let mut line = String::new();
        let mut output = BufReader::new(child.stdout.take().context("no standard output")?);
        output.read_line(&mut line)?;
        let local = line
            .strip_prefix("Forwarding from ")
            .and_then(|rest| rest.split(' ').next())
            .and_then(|address| address.parse().ok());
        let Some(local) = local else {
            bail!("kubectl port-forward said {line:?}");
        };
        Ok(Self { child, _output: output, local })
    }
}

impl Drop for Forward {
    fn drop(&mut self) {
        // Already gone is as good.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

pub(super) async fn grpc(credential: &Credential, forward: &Forward) -> Result<()> {
    let tls = ClientTlsConfig::new()
        .ca_certificate(Certificate::from_pem(&credential.ca))
        .domain_name(credential.host.clone());
    let channel =
        Endpoint::from_shared(format!("https://{}", forward.local))?.tls_config(tls)?.connect().await?;
    let mut client = VibectlLlmProxyClient::new(channel);
    let mut request = tonic::Request::new(ExecuteRequest {
        user_fragments: vec![QUESTION.into()],
        ..ExecuteRequest::default()
    });
    let bearer: MetadataValue<_> = format!("Bearer {}", credential.token).parse()?;
    request.metadata_mut().insert("authorization", bearer);
    let answer = client.execute(request).await.context("the gRPC call was refused")?.into_inner();
    match answer.result {
        Some(execute_response::Result::Success(success)) => {
            say(format_args!("gRPC  Execute                    → {:?}", success.response_text));
            Ok(())
        }
        other => bail!("the gRPC call was answered with {other:?}"),
    }
}

pub(super) async fn http(credential: &Credential, forward: &Forward) -> Result<()> {
    let client = reqwest::Client::builder()
        .tls_certs_only([reqwest::Certificate::from_pem(credential.ca.as_bytes())?])
        .resolve(&credential.host, forward.local)
        .timeout(Duration::from_secs(30))
        .no_proxy()
        .build()?;
    let url = format!("https://{}:{}/v1/chat/completions", credential.host, forward.local.port());
    let body = serde_json::json!({"model": "default", "messages": [{"role": "user", "content": QUESTION}]});
    let answer = client.post(url).bearer_auth(&credential.token).json(&body).send().await?;
    let status = answer.status();
    let body: serde_json::Value = answer.json().await.context("the HTTP answer is not JSON")?;
    if !status.is_success() {
        bail!("the HTTP call was answered with {status}: {body}");
    }
    say(format_args!("HTTPS POST /v1/chat/completions    → {}", body["choices"][0]["message"]["content"]));
    Ok(())
}
