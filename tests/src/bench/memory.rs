//! What a peer costs in memory: connections that do nothing, and streams that are not read.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use anyhow::{Result, ensure};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinHandle;
use tokio::time::sleep;
use tonic::Streaming;
use tonic::transport::{Certificate, Channel, ClientTlsConfig, Endpoint};
use vibectl_proto::llm_proxy::vibectl_llm_proxy_client::VibectlLlmProxyClient as Client;
use vibectl_proto::llm_proxy::{ExecuteRequest, GetServerInfoRequest, StreamChunk};

use super::process::{Launch, Process, free_address};

/// Streams of one connection.
const STREAMS: usize = 50;
/// Memory is read when it has not changed for so long.
const STILL: Duration = Duration::from_secs(2);

/// What one kind of peer costs.
#[derive(Debug)]
pub struct Cost {
    /// For the table.
    pub name: &'static str,
    /// How many there were.
    pub peers: usize,
    /// Resident memory of the server with one of them, in KiB.
    pub before_kib: u64,
    /// With all of them, and that one.
    pub after_kib: u64,
}

impl Cost {
    /// KiB for each of them.
    pub fn each_kib(&self) -> f64 {
        let grown = u32::try_from(self.after_kib.saturating_sub(self.before_kib)).unwrap_or(u32::MAX);
        f64::from(grown) / f64::from(u32::try_from(self.peers.max(1)).unwrap_or(u32::MAX))
    }
}

/// Measures each kind with a server of its own.
///
/// # Errors
/// When the server does not start or refuses a peer; it must be allowed to open three times as many files as there are peers.
pub async fn measure(server: &Path, peers: usize, folder: &Path) -> Result<Vec<Cost>> {
    Ok(vec![
        idle_http1(server, peers).await?,
        idle("idle, HTTP/2", server, &Way::Plaintext, peers).await?,
        idle("idle, HTTP/2 over TLS 1.3", server, &Way::tls(server, folder)?, peers).await?,
        unread_streams(server, peers, folder).await?,
    ])
}

/// How connections are made.
enum Way {
    Plaintext,
    /// With certificates of this folder of a CA.
    Tls(PathBuf),
}

impl Way {
    fn tls(server: &Path, folder: &Path) -> Result<Self> {
        let ca = folder.join("ca");
        let made = Command::new(server).args(["ca", "init", "--ca-dir"]).arg(&ca).output()?;
        ensure!(made.status.success(), "ca init: {}", String::from_utf8_lossy(&made.stderr));
        Ok(Self::Tls(ca))
    }

    fn arguments(&self) -> Vec<String> {
        match self {
            Self::Plaintext => vec!["serve-insecure".into()],
            Self::Tls(ca) => {
                vec![
                    "serve-ca".into(),
                    "--ca-dir".into(),
                    ca.display().to_string(),
                    "--no-require-auth".into(),
                ]
            }
        }
    }

    async fn connect(&self, address: &str) -> Result<Client<Channel>> {
        let endpoint = match self {
            Self::Plaintext => Endpoint::from_shared(format!("http://{address}"))?,
            Self::Tls(ca) => {
                let pem = std::fs::read(ca.join("ca-bundle.crt"))?;
                let tls = ClientTlsConfig::new().ca_certificate(Certificate::from_pem(pem));
                Endpoint::from_shared(format!("https://{address}"))?
                    .tls_config(tls.domain_name("localhost"))?
            }
        };
        Ok(Client::new(endpoint.connect().await?))
    }
}

async fn start(name: &str, server: &Path, mut arguments: Vec<String>) -> Result<Process> {
    let address = free_address()?;
    let (host, port) = (address.ip().to_string(), address.port().to_string());
    arguments.extend(["--host".into(), host, "--port".into(), port]);
    let environment = vec![("VIBECTL_LOG_LEVEL".to_owned(), "warning".to_owned())];
    let launch =
        Launch { name: name.to_owned(), program: server.to_owned(), arguments, environment, address };
    Process::launch(&launch, async || TcpStream::connect(address).await.is_ok()).await
}

/// Reads the memory once it stands still.
async fn settled(process: &Process) -> Result<u64> {
    let mut last = process.resident_kib()?;
    loop {
        sleep(STILL).await;
        let now = process.resident_kib()?;
        if now.abs_diff(last) <= now / 500 {
            return Ok(now);
        }
        last = now;
    }
}

async fn idle(name: &'static str, server: &Path, way: &Way, peers: usize) -> Result<Cost> {
    let process = start(name, server, way.arguments()).await?;
    let mut held = vec![called(way, &process.address).await?];
    let before_kib = settled(&process).await?;
    for _ in 0..peers {
        held.push(called(way, &process.address).await?);
    }
    let after_kib = settled(&process).await?;
    drop(held);
    process.stop().await?;
    Ok(Cost { name, peers, before_kib, after_kib })
}

/// A connection that has been of use once.
async fn called(way: &Way, address: &str) -> Result<Client<Channel>> {
    let mut client = way.connect(address).await?;
    client.get_server_info(GetServerInfoRequest {}).await?;
    Ok(client)
}

async fn idle_http1(server: &Path, peers: usize) -> Result<Cost> {
    let name = "idle, HTTP/1.1";
    let process = start(name, server, Way::Plaintext.arguments()).await?;
    let mut held = vec![called_http1(&process.address).await?];
    let before_kib = settled(&process).await?;
    for _ in 0..peers {
        held.push(called_http1(&process.address).await?);
    }
    let after_kib = settled(&process).await?;
    drop(held);
    process.stop().await?;
    Ok(Cost { name, peers, before_kib, after_kib })
}

async fn called_http1(address: &str) -> Result<TcpStream> {
    let mut stream = TcpStream::connect(address).await?;
    stream.write_all(b"GET /v1/models HTTP/1.1\r\nHost: localhost\r\n\r\n").await?;
    let read = stream.read(&mut [0; 4096]).await?;
    ensure!(read > 0, "the server closed the connection");
    Ok(stream)
}

async fn unread_streams(server: &Path, peers: usize, folder: &Path) -> Result<Cost> {
    let (upstream, port) = generous().await?;
    let config = folder.join("streams.yaml");
    std::fs::write(
        &config,
        format!(
            "server: {{default_model: m}}\nproviders: [{{name: p, openai: {{base_url: 'http://127.0.0.1:{port}/v1'}}}}]\n\
             models: [{{name: m, routes: [{{provider: p, model: m}}]}}]\n"
        ),
    )?;
    let name = "stream that is not read, its provider pouring";
    let mut arguments = Way::Plaintext.arguments();
    arguments.extend(["--config".into(), config.display().to_string()]);
    let process = start(name, server, arguments).await?;
    let mut held = vec![opened(&mut Way::Plaintext.connect(&process.address).await?).await?];
    let before_kib = settled(&process).await?;
    while held.len() <= peers {
        let mut client = Way::Plaintext.connect(&process.address).await?;
        for _ in 0..STREAMS.min(peers + 1 - held.len()) {
            held.push(opened(&mut client).await?);
        }
    }
    let after_kib = settled(&process).await?;
    drop(held);
    process.stop().await?;
    upstream.abort();
    Ok(Cost { name, peers, before_kib, after_kib })
}

/// A stream of which nothing is ever read. Those of one connection share what it may carry unread, so not each gets a chunk.
async fn opened(client: &mut Client<Channel>) -> Result<Streaming<StreamChunk>> {
    let ask = ExecuteRequest { user_fragments: vec!["go on".to_owned()], ..ExecuteRequest::default() };
    Ok(client.stream_execute(ask).await?.into_inner())
}

/// An upstream that streams for ever, as fast as it is read.
async fn generous() -> Result<(JoinHandle<()>, u16)> {
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    let port = listener.local_addr()?.port();
    let serving = tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            tokio::spawn(pour(stream));
        }
    });
    Ok((serving, port))
}

/// Until the other side is gone.
async fn pour(mut stream: TcpStream) {
    const HEAD: &[u8] = b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\nconnection: close\r\n\r\n";
    let text = "x".repeat(1024);
    let event = format!("data: {{\"choices\":[{{\"index\":0,\"delta\":{{\"content\":\"{text}\"}}}}]}}\n\n");
    let _ = stream.read(&mut [0; 4096]).await;
    let mut alive = stream.write_all(HEAD).await.is_ok();
    while alive {
        alive = stream.write_all(event.as_bytes()).await.is_ok();
    }
}
