//! TLS of the service port, between two ends in memory: what is agreed, what is served, who is let in.

#![expect(clippy::expect_used, reason = "a test ends where its preparation fails")]

mod certificates;
mod clients;
mod dependencies;
mod pairs;
mod tickets;

use std::{collections::BTreeMap, io, sync::Arc, time::Duration};

use jiff::Timestamp;
use rustls::{
    ClientConfig, ClientConnection, RootCertStore, ServerConnection, SupportedProtocolVersion,
    crypto::aws_lc_rs, pki_types::ServerName, version::TLS13,
};
use vibectl_config::MinVersion;
use vibectl_pki::{Ca, IssueRequest, Leaf, Names, Usage};
use vibectl_server::tls::TlsState;
use vibectl_server::tls::clients::ClientTrust;

const DAY: Duration = Duration::from_hours(24);
const NAME: &str = "team.ai.svc";

/// Whether a client without a certificate of its own that trusts this CA gets through.
fn connects(state: &TlsState, ca: &Ca) -> bool {
    Pair::connect(state, client(ca, &TLS13, None)).is_ok()
}

fn names() -> Names {
    Names::parse([NAME]).expect("names")
}

fn ca() -> Ca {
    ca_of(&[NAME])
}

fn ca_of(names: &[&str]) -> Ca {
    let names = Names::parse(names).expect("names");
    Ca::constrained("test", &names, DAY * 30, Timestamp::now()).expect("a CA")
}

fn leaf(ca: &Ca, usage: Usage) -> Leaf {
    let names = names();
    ca.issue(&IssueRequest { names: &names, usage, validity: DAY, now: Timestamp::now() }).expect("a leaf")
}

fn state(leaf: &Leaf, clients: Option<ClientTrust>, min_version: MinVersion) -> TlsState {
    TlsState::new(leaf, clients, min_version).expect("TLS")
}

fn files(leaf: &Leaf) -> BTreeMap<String, Vec<u8>> {
    BTreeMap::from([
        ("tls.crt".to_owned(), leaf.chain_pem().into_bytes()),
        ("tls.key".to_owned(), leaf.key_pem().as_bytes().to_vec()),
    ])
}

fn client(ca: &Ca, version: &'static SupportedProtocolVersion, identity: Option<&Leaf>) -> ClientConfig {
    let mut roots = RootCertStore::empty();
    roots.add(ca.chain().leaf().clone()).expect("an anchor");
    let builder = ClientConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()))
        .with_protocol_versions(&[version])
        .expect("a version")
        .with_root_certificates(roots);
    let mut config = match identity {
        None => builder.with_no_client_auth(),
        Some(leaf) => builder
            .with_client_auth_cert(leaf.chain().certificates().to_vec(), leaf.key().to_der().expect("a key"))
            .expect("an identity"),
    };
    config.alpn_protocols = vec![b"h2".to_vec()];
    config
}

/// Two ends of a connection in memory.
struct Pair {
    client: ClientConnection,
    server: ServerConnection,
}

impl Pair {
    fn connect(state: &TlsState, client: ClientConfig) -> Result<Self, rustls::Error> {
        Self::connect_to(NAME, state, client)
    }

    fn connect_to(name: &str, state: &TlsState, client: ClientConfig) -> Result<Self, rustls::Error> {
        let name = ServerName::try_from(name.to_owned()).expect("a name");
        let client = ClientConnection::new(Arc::new(client), name)?;
        let mut pair = Self { client, server: ServerConnection::new(state.server_config().load_full())? };
        while pair.client.is_handshaking() || pair.server.is_handshaking() {
            pair.pump()?;
        }
        // Tickets come after the client believes to be done.
        pair.pump()?;
        Ok(pair)
    }

    fn pump(&mut self) -> Result<(), rustls::Error> {
        let mut wire = Vec::new();
        while self.client.wants_write() {
            self.client.write_tls(&mut wire).expect("memory");
        }
        let mut wire = io::Cursor::new(wire);
        while self.server.read_tls(&mut wire).expect("memory") > 0 {
            self.server.process_new_packets()?;
        }
        let mut wire = Vec::new();
        while self.server.wants_write() {
            self.server.write_tls(&mut wire).expect("memory");
        }
        let mut wire = io::Cursor::new(wire);
        while self.client.read_tls(&mut wire).expect("memory") > 0 {
            self.client.process_new_packets()?;
        }
        Ok(())
    }
}
