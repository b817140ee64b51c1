//! TLS-ALPN-01 (RFC 8737) in our own handshakes: the challenge's certificate for exactly the ACME server's question, and
//! for nobody else.

use std::io;
use std::sync::Arc;

use rustls::server::{ClientHello, ResolvesServerCert};
use rustls::sign::{CertifiedKey, SingleCertAndKey};
use rustls::{ServerConfig, crypto::aws_lc_rs};
use tokio::task::spawn_blocking;
use vibectl_pki::acme::answer::alpn_certificate;

use crate::acme::pending::Pending;

/// The protocol that the ACME server, and only that, asks for.
const ACME_TLS: &[u8] = b"acme-tls/1";

/// The name in a hello that asks for a challenge: `acme-tls/1` alone, and a server name.
pub fn challenged_name(hello: &ClientHello<'_>) -> Option<String> {
    let mut protocols = hello.alpn()?;
    let alone = protocols.next() == Some(ACME_TLS) && protocols.next().is_none();
    alone.then(|| hello.server_name().map(str::to_owned)).flatten()
}

/// The config that answers the pending challenge of a name; none when there is none. Files are read and a key is made
/// beside the runtime.
pub async fn config_for(answers: &Pending, name: String) -> Option<Arc<ServerConfig>> {
    let answers = answers.clone();
    spawn_blocking(move || {
        let answer = answers.of_name(&name)?;
        let (certificate, key) = alpn_certificate(&answer.name, &answer.digest()).ok()?;
        let provider = aws_lc_rs::default_provider();
        let key = provider.key_provider.load_private_key(key).ok()?;
        // Not `from_der`: it reads the certificate with webpki, which knows no critical acmeIdentifier.
        let certified = CertifiedKey::new(vec![certificate], key);
        with(Arc::new(SingleCertAndKey::from(certified)), &[ACME_TLS]).ok()
    })
    .await
    .ok()
    .flatten()
}

/// The config of a port that has no certificate yet: every handshake is refused with an alert.
pub fn without_certificate() -> io::Result<Arc<ServerConfig>> {
    with(Arc::new(Nothing), &[b"h2", b"http/1.1"])
}

#[derive(Debug)]
struct Nothing;

impl ResolvesServerCert for Nothing {
    fn resolve(&self, _: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        None
    }
}

fn with(resolver: Arc<dyn ResolvesServerCert>, alpn: &[&[u8]]) -> io::Result<Arc<ServerConfig>> {
    let builder = ServerConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()));
    let builder = builder.with_safe_default_protocol_versions().map_err(io::Error::other)?;
    let mut config = builder.with_no_client_auth().with_cert_resolver(resolver);
    config.alpn_protocols = alpn.iter().map(|protocol| protocol.to_vec()).collect();
    Ok(Arc::new(config))
}
