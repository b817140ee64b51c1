//! Both ends of TLS for a server under test: a CA, the files that a server serves with, and clients.

use std::fs;
use std::io::{self, Read, Write};
use std::net::TcpStream;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, ClientConnection, RootCertStore, StreamOwned, crypto::aws_lc_rs};
use vibectl_pki::{Ca, IssueRequest, Leaf, Names, Usage};

use super::{PATIENCE, Server};

pub(crate) const DAY: Duration = Duration::from_hours(24);

/// A CA for `localhost`.
pub(crate) fn ca() -> Ca {
    let names = Names::parse(["localhost"]).expect("names");
    Ca::constrained("test", &names, DAY * 30, Timestamp::now()).expect("a CA")
}

/// A leaf for `localhost`.
pub(crate) fn leaf(ca: &Ca, usage: Usage, validity: Duration) -> Leaf {
    let names = Names::parse(["localhost"]).expect("names");
    ca.issue(&IssueRequest { names: &names, usage, validity, now: Timestamp::now() }).expect("a leaf")
}

/// Writes `tls.crt` and `tls.key`.
pub(crate) fn put_pair(folder: &Path, leaf: &Leaf) {
    fs::write(folder.join("tls.key"), leaf.key_pem().as_bytes()).expect("written");
    fs::write(folder.join("tls.crt"), leaf.chain_pem()).expect("written");
}

/// A client that trusts this CA, offers these protocols and shows this certificate.
pub(crate) fn client(ca: &Ca, alpn: &[&[u8]], identity: Option<&Leaf>) -> Arc<ClientConfig> {
    let mut roots = RootCertStore::empty();
    roots.add(ca.chain().leaf().clone()).expect("an anchor");
    let builder = ClientConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()))
        .with_safe_default_protocol_versions()
        .expect("versions")
        .with_root_certificates(roots);
    let mut config = match identity {
        None => builder.with_no_client_auth(),
        Some(leaf) => builder
            .with_client_auth_cert(leaf.chain().certificates().to_vec(), leaf.key().to_der().expect("a key"))
            .expect("an identity"),
    };
    config.alpn_protocols = alpn.iter().map(|protocol| protocol.to_vec()).collect();
    Arc::new(config)
}

/// A TLS session of a client, before its first byte.
pub(crate) fn session(config: &Arc<ClientConfig>) -> ClientConnection {
    let name = ServerName::try_from("localhost").expect("a name");
    ClientConnection::new(Arc::clone(config), name).expect("a client")
}

impl Server {
    /// Starts with a pair of this CA, and waits until it is ready.
    pub(crate) fn with_pair(leaf: &Leaf, more: &str) -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        put_pair(folder.path(), leaf);
        let config = format!("server: {{host: 127.0.0.1, default_model: echo}}\n{more}");
        let arguments =
            ["serve-custom", "--cert-file", "tls.crt", "--key-file", "tls.key", "--no-require-auth"];
        let server = Self::start_in(folder, &arguments, &config);
        server.wait_for("ready", |server| server.admin_get("/readyz").is_some_and(|answer| answer.0 == 200));
        server
    }

    /// Completes a handshake.
    pub(crate) fn handshake(
        &self,
        config: &Arc<ClientConfig>,
    ) -> io::Result<StreamOwned<ClientConnection, TcpStream>> {
        let tcp = TcpStream::connect(("127.0.0.1", self.port))?;
        tcp.set_read_timeout(Some(PATIENCE))?;
        let mut stream = StreamOwned::new(session(config), tcp);
        while stream.conn.is_handshaking() {
            stream.conn.complete_io(&mut stream.sock)?;
        }
        Ok(stream)
    }

    /// The certificate that is served now.
    pub(crate) fn served(&self, config: &Arc<ClientConfig>) -> CertificateDer<'static> {
        let stream = self.handshake(config).expect("a handshake");
        stream.conn.peer_certificates().expect("a certificate")[0].clone().into_owned()
    }

    /// Status of an HTTP/1.1 request; an error for a peer that the handshake did not let in.
    pub(crate) fn get_over_tls(&self, config: &Arc<ClientConfig>, token: Option<&str>) -> io::Result<u16> {
        let mut stream = self.handshake(config)?;
        let authorization =
            token.map_or_else(String::new, |token| format!("Authorization: Bearer {token}\r\n"));
        let head =
            format!("GET /v1/models HTTP/1.1\r\nHost: localhost\r\n{authorization}Connection: close\r\n\r\n");
        stream.write_all(head.as_bytes())?;
        let mut answer = [0; 12];
        stream.read_exact(&mut answer)?;
        let status = std::str::from_utf8(&answer).ok().and_then(|head| head.split(' ').nth(1)?.parse().ok());
        status.ok_or_else(|| io::Error::other("not an HTTP answer"))
    }
}
