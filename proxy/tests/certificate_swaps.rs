//! A thousand certificates in a row under load, through the files that a server follows: no handshake fails, no stream is
//! cut, and of a half-written pair nothing is ever served.

#![expect(clippy::expect_used, reason = "a test ends where its preparation fails")]

use std::fs::{self, File};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};
use std::time::{Duration, SystemTime};

use jiff::Timestamp;
use rustls::client::Resumption;
use rustls::pki_types::ServerName;
use rustls::{ClientConfig, RootCertStore, crypto::aws_lc_rs};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;
use tokio_rustls::TlsConnector;
use tonic::transport::{Certificate, ClientTlsConfig, Endpoint};
use vibectl_config::mount::Part;
use vibectl_pki::{Ca, IssueRequest, Leaf, Names, Usage};
use vibectl_proto::llm_proxy::vibectl_llm_proxy_client::VibectlLlmProxyClient;
use vibectl_proto::llm_proxy::{ExecuteRequest, stream_chunk::ChunkType};
use vibectl_server::listener::Listener;
use vibectl_server::listener::tls::Security;
use vibectl_server::reload::{Reloader, Started};
use vibectl_server::settings::mode::ServeFlags;
use vibectl_server::settings::{Settings, TlsOverride};
use vibectl_server::{service, telemetry};

const SWAPS: usize = 1_000;
const DAY: Duration = Duration::from_hours(24);

/// What a server reads, and those that are put there in turn.
struct Pairs {
    folder: tempfile::TempDir,
    ca: Ca,
    leaves: Vec<Leaf>,
}

impl Pairs {
    fn new() -> Self {
        let names = Names::parse(["localhost"]).expect("names");
        let ca = Ca::constrained("test", &names, DAY * 30, Timestamp::now()).expect("a CA");
        let request =
            IssueRequest { names: &names, usage: Usage::Server, validity: DAY, now: Timestamp::now() };
        let leaves = (0..8).map(|_| ca.issue(&request).expect("a leaf")).collect();
        Self { folder: tempfile::tempdir().expect("a folder"), ca, leaves }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn leaf(&self, number: usize) -> &Leaf {
        &self.leaves[number % self.leaves.len()]
    }

    /// As a writer does that wrote a moment ago, so that nobody has to wait for the file to settle.
    fn put(&self, name: &str, content: &str) {
        put(&self.path(name), content);
    }
}

fn put(path: &Path, content: &str) {
    let beside = path.with_extension("new");
    fs::write(&beside, content).expect("written");
    let file = File::options().write(true).open(&beside).expect("opened");
    file.set_modified(SystemTime::now() - Duration::from_secs(1)).expect("a time");
    fs::rename(&beside, path).expect("renamed");
}

fn start(pairs: &Pairs) -> Started {
    pairs.put("tls.key", &pairs.leaf(0).key_pem());
    pairs.put("tls.crt", &pairs.leaf(0).chain_pem());
    let config = format!(
        "server: {{default_model: echo}}\n\
         tls: {{cert_file: '{}', key_file: '{}'}}\n\
         providers: [{{name: slow, echo: {{chunk_size: 1, chunk_delay_ms: 20}}}}]\n\
         models: [{{name: echo, routes: [{{provider: slow, model: echo}}]}}]\n",
        pairs.path("tls.crt").display(),
        pairs.path("tls.key").display(),
    );
    fs::write(pairs.path("config.yaml"), config).expect("a config");
    let settings = Settings {
        file: Some(pairs.path("config.yaml")),
        file_is_named: true,
        tls: TlsOverride::Routed(ServeFlags::default()),
        ..Settings::default()
    };
    let quiet = |_: &vibectl_config::Config| telemetry::start(vibectl_config::LogLevel::Error);
    let mut started = Reloader::start(settings, quiet, |_| Ok(None)).expect("started");
    assert_eq!(started.reloader.look(), []);
    started.shared.auth.open();
    started
}

async fn listen(started: &Started) -> SocketAddr {
    let tcp = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let address = tcp.local_addr().expect("an address");
    let shared = &started.shared;
    let listener = Listener {
        name: "service",
        tcp,
        security: Security::Tls(shared.tls.get().expect("a certificate").server_config()),
        router: service::build(shared),
        stages: shared.shutdown.of_service(),
        shared: Arc::clone(shared),
    };
    tokio::spawn(listener.serve());
    address
}

#[derive(Default)]
struct Counts {
    handshakes: AtomicU64,
    streams: AtomicU64,
    over: AtomicBool,
}

/// One handshake after the other, each a full one; the first that fails ends it.
async fn handshakes(
    address: SocketAddr,
    config: Arc<ClientConfig>,
    counts: Arc<Counts>,
) -> Result<(), String> {
    let connector = TlsConnector::from(config);
    while !counts.over.load(Relaxed) {
        let tcp = TcpStream::connect(address).await.map_err(|error| error.to_string())?;
        let name = ServerName::try_from("localhost").expect("a name");
        connector.connect(name, tcp).await.map_err(|error| error.to_string())?;
        counts.handshakes.fetch_add(1, Relaxed);
    }
    Ok(())
}

/// One stream after the other on one connection; the first that is cut ends it.
async fn streams(address: SocketAddr, ca: String, counts: Arc<Counts>) -> Result<(), String> {
    let tls = ClientTlsConfig::new().ca_certificate(Certificate::from_pem(ca)).domain_name("localhost");
    let endpoint = Endpoint::from_shared(format!("https://{address}")).expect("an address");
    let channel =
        endpoint.tls_config(tls).expect("TLS").connect().await.map_err(|error| error.to_string())?;
    let mut client = VibectlLlmProxyClient::new(channel);
    while !counts.over.load(Relaxed) {
        let request = ExecuteRequest { user_fragments: vec!["x".repeat(100)], ..ExecuteRequest::default() };
        let stream = client.stream_execute(request).await.map_err(|status| status.to_string())?;
        let (mut stream, mut text, mut complete) = (stream.into_inner(), 0, false);
        while let Some(chunk) = stream.message().await.map_err(|status| status.to_string())? {
            match chunk.chunk_type {
                Some(ChunkType::TextChunk(piece)) => text += piece.len(),
                Some(ChunkType::Complete(_)) => complete = true,
                _ => {}
            }
        }
        if !complete || text < 100 {
            return Err(format!("a stream of {text} characters, complete: {complete}"));
        }
        counts.streams.fetch_add(1, Relaxed);
    }
    Ok(())
}

fn client(ca: &Ca) -> Arc<ClientConfig> {
    let mut roots = RootCertStore::empty();
    roots.add(ca.chain().leaf().clone()).expect("an anchor");
    let mut config = ClientConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()))
        .with_safe_default_protocol_versions()
        .expect("versions")
        .with_root_certificates(roots)
        .with_no_client_auth();
    config.alpn_protocols = vec![b"h2".to_vec()];
    config.resumption = Resumption::disabled();
    Arc::new(config)
}

#[tokio::test(flavor = "multi_thread")]
async fn b07_l03_a_thousand_swaps_under_load_fail_no_handshake_and_cut_no_stream() {
    let pairs = Pairs::new();
    let started = start(&pairs);
    let address = listen(&started).await;
    let counts = Arc::new(Counts::default());
    let mut load = JoinSet::new();
    for _ in 0..4 {
        load.spawn(handshakes(address, client(&pairs.ca), Arc::clone(&counts)));
        load.spawn(streams(address, pairs.ca.chain_pem(), Arc::clone(&counts)));
    }

    let mut reloader = started.reloader;
    for swap in 1..=SWAPS {
        let next = pairs.leaf(swap);
        // Key new, certificate old; then a certificate of which half was written.
        pairs.put("tls.key", &next.key_pem());
        let torn = swap % 2 == 0;
        if torn {
            let chain = next.chain_pem();
            pairs.put("tls.crt", &chain[..chain.len() / 2]);
        }
        let rejected = tokio::task::block_in_place(|| reloader.look());
        assert_eq!(rejected.iter().map(|rejected| rejected.part).collect::<Vec<_>>(), [Part::Tls]);
        pairs.put("tls.crt", &next.chain_pem());
        assert_eq!(tokio::task::block_in_place(|| reloader.look()), []);
        let served = started.shared.tls.get().expect("a certificate").facts().serial.clone();
        assert_eq!(served, next.facts().serial);
        // The next swap comes when somebody was served with this one.
        let before = counts.handshakes.load(Relaxed);
        while counts.handshakes.load(Relaxed) < before + 2 && load.try_join_next().is_none() {
            tokio::task::yield_now().await;
        }
    }
    counts.over.store(true, Relaxed);

    while let Some(ended) = load.join_next().await {
        assert_eq!(ended.expect("no panic"), Ok(()));
    }
    let (handshakes, streams) = (counts.handshakes.load(Relaxed), counts.streams.load(Relaxed));
    assert!(handshakes >= 2 * SWAPS as u64, "{handshakes}");
    assert!(streams > 0, "{streams}");
    let refused = &started.shared.metrics.connections_refused;
    assert_eq!(refused.with(["service", "handshake"]).get(), 0);
    let reloads = |outcome| started.shared.metrics.reloads.with(["tls", outcome]).get();
    let swaps = i64::try_from(SWAPS).expect("a small number");
    assert_eq!((reloads("applied"), reloads("rejected")), (swaps + 1, swaps));
}
