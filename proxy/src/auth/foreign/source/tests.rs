//! Against a real TLS server on loopback that speaks the little of OpenID Connect that is needed.

use std::net::SocketAddr;
use std::sync::Mutex;
use std::sync::atomic::AtomicUsize;
use std::sync::atomic::Ordering::SeqCst;

use rustls::ServerConfig;
use rustls::crypto::aws_lc_rs;
use rustls_pki_types::PrivateKeyDer;
use rustls_pki_types::pem::PemObject;
use serde_json::json;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;
use tokio_rustls::TlsAcceptor;
use vibectl_pki::{Leaf, Name, Names};
use vibectl_token::foreign::KeySource;
use vibectl_token::{Algorithm, SigningKey};

use super::*;

/// An identity provider whose answers a test can change.
#[derive(Clone)]
pub(in crate::auth) struct Provider {
    address: SocketAddr,
    ca: String,
    answers: Arc<Mutex<Answers>>,
    asked: Arc<AtomicUsize>,
}

struct Answers {
    status: &'static str,
    keys: String,
    /// What the discovery document says; of the provider itself unless a test says otherwise.
    issuer: Option<String>,
}

impl Provider {
    pub(in crate::auth) async fn start() -> Self {
        let names = Names::new(["localhost".parse::<Name>().unwrap()]).unwrap();
        let leaf = Leaf::self_signed(&names, Duration::from_hours(1), jiff::Timestamp::now()).unwrap();
        let certificates = leaf.chain().certificates().to_vec();
        let key = PrivateKeyDer::from_pem_slice(leaf.key_pem().as_bytes()).unwrap();
        let mut config = ServerConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()))
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_no_client_auth()
            .with_single_cert(certificates, key)
            .unwrap();
        config.alpn_protocols = vec![b"http/1.1".to_vec()];
        let tcp = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let provider = Self {
            address: tcp.local_addr().unwrap(),
            ca: leaf.chain_pem(),
            answers: Arc::new(Mutex::new(Answers { status: "200 OK", keys: String::new(), issuer: None })),
            asked: Arc::default(),
        };
        let (serving, acceptor) = (provider.clone(), TlsAcceptor::from(Arc::new(config)));
        tokio::spawn(async move {
            while let Ok((peer, _)) = tcp.accept().await {
                let Ok(mut tls) = acceptor.accept(peer).await else { continue };
                let mut request = [0; 4096];
                let read = tls.read(&mut request).await.unwrap_or_default();
                let answer = serving.answer(&String::from_utf8_lossy(&request[..read]));
                let _ = tls.write_all(answer.as_bytes()).await;
                let _ = tls.shutdown().await;
            }
        });
        provider
    }

    pub(in crate::auth) fn url(&self, path: &str) -> String {
        format!("https://localhost:{}{path}", self.address.port())
    }

    fn answer(&self, request: &str) -> String {
        self.asked.fetch_add(1, SeqCst);
        let answers = self.answers.lock().unwrap();
        let body = if request.starts_with("GET /.well-known/openid-configuration ") {
            let issuer = answers.issuer.clone().unwrap_or_else(|| self.url(""));
            json!({"issuer": issuer, "jwks_uri": self.url("/keys")}).to_string()
        } else {
            answers.keys.clone()
        };
        let status = answers.status;
        format!(
            "HTTP/1.1 {status}\r\nlocation: http://169.254.169.254/\r\nconnection: close\r\ncontent-length: {}\r\n\r\n{body}",
            body.len()
        )
    }

    /// PEM of what to check it against.
    pub(in crate::auth) fn ca(&self) -> &str {
        &self.ca
    }

    /// How often it was asked.
    pub(in crate::auth) fn asked(&self) -> usize {
        self.asked.load(SeqCst)
    }

    pub(in crate::auth) fn publish(&self, keys: &[&SigningKey]) {
        let keys: Vec<_> = keys.iter().map(|key| serde_json::to_value(key.public_jwk()).unwrap()).collect();
        self.answers.lock().unwrap().keys = json!({"keys": keys}).to_string();
    }

    fn issuer(&self, keys: KeySource) -> Issuer {
        Issuer {
            name: "corp".to_owned(),
            issuer: self.url(""),
            audiences: vec!["llm".to_owned()],
            keys,
            ca_bundle: Some(self.ca.clone()),
        }
    }

    async fn source(&self, keys: KeySource) -> (Source, Arc<Family<1>>) {
        let outcomes = Arc::new(Family::counter("fetches", "Fetches.", ["outcome"]));
        let source = Source::start(&self.issuer(keys), AddressRule::Any, &outcomes).unwrap();
        answered(&source, 1).await;
        (source, outcomes)
    }

    /// Time passes: the issuer may be asked again.
    fn cool_down(source: &Source) {
        *source.state.asked.lock().unwrap() = Instant::now().checked_sub(COOLDOWN);
    }
}

/// Returns when so many requests have ended since the source was started.
async fn answered(source: &Source, count: u64) {
    let ended = || source.state.outcomes.with(["ok"]).get() + source.state.outcomes.with(["failed"]).get();
    while u64::try_from(ended()).unwrap() < count {
        sleep(Duration::from_millis(5)).await;
    }
}

fn kids(source: &Source) -> Vec<String> {
    source.keys().map(|keys| keys.set.kids().map(str::to_owned).collect()).unwrap_or_default()
}

fn key() -> SigningKey {
    SigningKey::generate(Algorithm::Es256).unwrap()
}

#[tokio::test]
async fn keys_are_found_by_discovery_and_by_their_own_address() {
    let (provider, key) = (Provider::start().await, key());
    provider.publish(&[&key]);

    let (discovered, _) = provider.source(KeySource::Discovery).await;
    let (named, _) = provider.source(KeySource::Url(provider.url("/keys"))).await;

    assert_eq!(kids(&discovered), [key.kid()]);
    assert_eq!(kids(&named), [key.kid()]);
}

#[tokio::test]
async fn a13_a_new_key_is_fetched_once_when_a_token_names_it() {
    let (provider, old, new) = (Provider::start().await, key(), key());
    provider.publish(&[&old]);
    let (source, _) = provider.source(KeySource::Url(provider.url("/keys"))).await;
    provider.publish(&[&old, &new]);
    Provider::cool_down(&source);

    let waited = [source.refresh(), source.refresh(), source.refresh()];
    let happened = futures::future::join_all(waited.iter().map(Refresh::happened)).await;

    assert!(happened.iter().all(|happened| *happened), "{happened:?}");
    assert!(kids(&source).contains(&new.kid().to_owned()));
    assert_eq!(provider.asked.load(SeqCst), 2, "once at the start, once for all who waited");
}

#[tokio::test]
async fn a12_tokens_with_made_up_keys_make_us_ask_once_in_a_while() {
    let (provider, key) = (Provider::start().await, key());
    provider.publish(&[&key]);
    let (source, _) = provider.source(KeySource::Url(provider.url("/keys"))).await;

    for _ in 0..1000 {
        assert!(!source.refresh().happened().await, "it was asked just now");
    }

    assert_eq!(provider.asked.load(SeqCst), 1);
}

#[tokio::test]
async fn a14_what_is_no_key_set_leaves_the_old_one_in_force() {
    let (provider, old) = (Provider::start().await, key());
    provider.publish(&[&old]);
    let (source, outcomes) = provider.source(KeySource::Url(provider.url("/keys"))).await;
    let twice = serde_json::to_value(key().public_jwk()).unwrap();
    let bad = [
        ("200 OK", "<html>".to_owned()),
        ("200 OK", json!({"keys": [twice, twice]}).to_string()),
        ("200 OK", json!({"keys": []}).to_string()),
        ("200 OK", "x".repeat(600 * 1024)),
        ("302 Found", String::new()),
        ("500 Internal Server Error", String::new()),
    ];

    for (index, (status, keys)) in (1..).zip(bad) {
        {
            let mut answers = provider.answers.lock().unwrap();
            (answers.status, answers.keys) = (status, keys);
        }
        Provider::cool_down(&source);
        source.refresh().happened().await;

        assert_eq!(kids(&source), [old.kid()], "{status}");
        assert_eq!(outcomes.with(["failed"]).get(), index, "{status}");
    }
}

#[tokio::test]
async fn the_discovery_document_of_another_issuer_gives_no_keys() {
    let (provider, key) = (Provider::start().await, key());
    provider.publish(&[&key]);
    provider.answers.lock().unwrap().issuer = Some(format!("{}/", provider.url("")));

    let (source, outcomes) = provider.source(KeySource::Discovery).await;

    assert!(source.keys().is_none());
    assert_eq!(outcomes.with(["failed"]).get(), 1);
}

#[tokio::test]
async fn an_issuer_at_an_address_of_the_node_is_never_asked() {
    let provider = Provider::start().await;
    let outcomes = Arc::new(Family::counter("fetches", "Fetches.", ["outcome"]));
    let issuer = provider.issuer(KeySource::Url(provider.url("/keys")));

    let source = Source::start(&issuer, AddressRule::Guarded, &outcomes).unwrap();
    answered(&source, 1).await;

    assert!(source.keys().is_none());
    assert_eq!(provider.asked.load(SeqCst), 0);
}

#[tokio::test]
async fn keys_that_were_not_confirmed_for_a_day_are_not_trusted() {
    let (provider, key) = (Provider::start().await, key());
    provider.publish(&[&key]);
    let (source, _) = provider.source(KeySource::Url(provider.url("/keys"))).await;
    let now = Instant::now();

    assert!(source.keys_at(now + STALE / 2).is_some());
    assert!(source.keys_at(now + STALE).is_none());
}
