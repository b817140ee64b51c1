//! The serving certificate: what is agreed, what is swapped in under open connections, what is refused.

#![expect(clippy::expect_used, reason = "a test ends where its preparation fails")]

use std::{collections::BTreeMap, io, sync::Arc, time::Duration};

use jiff::{SignedDuration, Timestamp};
use rustls::{
    ClientConfig, ClientConnection, HandshakeKind, ProtocolVersion, RootCertStore, ServerConnection,
    SupportedProtocolVersion,
    crypto::aws_lc_rs,
    pki_types::ServerName,
    version::{TLS12, TLS13},
};
use vibectl_config::MinVersion;
use vibectl_pki::{Ca, IssueRequest, Leaf, Names, TrustBundle, Usage};
use vibectl_server::tls::TlsState;

const DAY: Duration = Duration::from_hours(24);
const NAME: &str = "team.ai.svc";

fn names() -> Names {
    Names::parse([NAME]).expect("names")
}

fn ca() -> Ca {
    Ca::constrained("test", &names(), DAY * 30, Timestamp::now()).expect("a CA")
}

fn leaf(ca: &Ca, usage: Usage) -> Leaf {
    let names = names();
    ca.issue(&IssueRequest { names: &names, usage, validity: DAY, now: Timestamp::now() }).expect("a leaf")
}

fn state(leaf: &Leaf, client_ca: Option<&TrustBundle>, min_version: MinVersion) -> TlsState {
    TlsState::new(leaf, client_ca, min_version).expect("TLS")
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
        let name = ServerName::try_from(NAME).expect("a name");
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

#[test]
fn tls_1_3_and_h2_are_agreed_and_1_2_only_where_it_is_allowed() {
    let ca = ca();
    let strict = state(&leaf(&ca, Usage::Server), None, MinVersion::V1_3);
    let lenient = state(&leaf(&ca, Usage::Server), None, MinVersion::V1_2);

    let pair = Pair::connect(&strict, client(&ca, &TLS13, None)).expect("connected");
    let old = Pair::connect(&lenient, client(&ca, &TLS12, None)).expect("connected");

    assert_eq!(pair.client.protocol_version(), Some(ProtocolVersion::TLSv1_3));
    assert_eq!(pair.client.alpn_protocol(), Some(&b"h2"[..]));
    assert_eq!(old.client.protocol_version(), Some(ProtocolVersion::TLSv1_2));
    assert!(Pair::connect(&strict, client(&ca, &TLS12, None)).is_err());
}

#[test]
fn a_new_certificate_serves_new_connections_and_leaves_open_ones_alone() {
    let ca = ca();
    let (first, second) = (leaf(&ca, Usage::Server), leaf(&ca, Usage::Server));
    let state = state(&first, None, MinVersion::V1_3);
    let mut open = Pair::connect(&state, client(&ca, &TLS13, None)).expect("connected");

    state.reload(&files(&second), Timestamp::now()).expect("in force");
    let new = Pair::connect(&state, client(&ca, &TLS13, None)).expect("connected");

    let seen = |pair: &Pair| pair.client.peer_certificates().expect("a certificate")[0].clone();
    assert_eq!(seen(&open), *first.chain().leaf());
    assert_eq!(seen(&new), *second.chain().leaf());
    assert_eq!(state.facts().serial, second.facts().serial);
    open.pump().expect("still good");
}

#[test]
fn what_cannot_be_served_is_refused_with_a_reason_and_the_last_good_pair_stays() {
    let ca = ca();
    let (good, other) = (leaf(&ca, Usage::Server), leaf(&ca, Usage::Server));
    let state = state(&good, None, MinVersion::V1_3);
    let now = Timestamp::now();
    let mut mixed = files(&good);
    mixed.insert("tls.key".to_owned(), other.key_pem().as_bytes().to_vec());
    let mut half = files(&other);
    half.remove("tls.key");
    let mut garbage = files(&other);
    garbage.insert("tls.crt".to_owned(), vec![0xff; 20]);
    let after_its_end = now + SignedDuration::from_hours(25);

    let reason = |files, now| state.reload(files, now).expect_err("refused");
    assert_eq!(reason(&mixed, now), "the private key does not belong to the certificate");
    assert_eq!(reason(&half, now), "tls.key is missing");
    assert_eq!(reason(&garbage, now), "tls.crt is not PEM");
    assert!(reason(&files(&other), after_its_end).contains("expired"));

    assert_eq!(state.facts().serial, good.facts().serial);
    assert!(Pair::connect(&state, client(&ca, &TLS13, None)).is_ok());
}

#[test]
fn with_a_client_ca_only_its_clients_get_in_and_nothing_is_resumed() {
    let (ca, clients, strangers) = (ca(), ca(), ca());
    let bundle = TrustBundle::from_pem(&clients.chain_pem()).expect("a bundle");
    let state = state(&leaf(&ca, Usage::Server), Some(&bundle), MinVersion::V1_3);
    let (known, stranger) = (leaf(&clients, Usage::Client), leaf(&strangers, Usage::Client));

    assert!(Pair::connect(&state, client(&ca, &TLS13, None)).is_err());
    assert!(Pair::connect(&state, client(&ca, &TLS13, Some(&stranger))).is_err());
    let pair = Pair::connect(&state, client(&ca, &TLS13, Some(&known))).expect("connected");
    assert_eq!(pair.client.tls13_tickets_received(), 0);
}

#[test]
fn a_changed_client_ca_holds_for_new_connections_and_is_never_turned_off() {
    let (ca, clients, newcomers) = (ca(), ca(), ca());
    let bundle = TrustBundle::from_pem(&clients.chain_pem()).expect("a bundle");
    let state = state(&leaf(&ca, Usage::Server), Some(&bundle), MinVersion::V1_3);
    let (known, newcomer) = (leaf(&clients, Usage::Client), leaf(&newcomers, Usage::Client));

    let changed = BTreeMap::from([("ca.crt".to_owned(), newcomers.chain_pem().into_bytes())]);
    state.reload_client_ca(&changed).expect("in force");

    assert!(Pair::connect(&state, client(&ca, &TLS13, Some(&known))).is_err());
    assert!(Pair::connect(&state, client(&ca, &TLS13, Some(&newcomer))).is_ok());
    assert_eq!(state.reload_client_ca(&BTreeMap::new()), Err("ca.crt is missing".to_owned()));
    assert!(Pair::connect(&state, client(&ca, &TLS13, None)).is_err());
}

#[test]
fn a_session_is_resumed_under_the_same_certificate_and_not_under_another() {
    let ca = ca();
    let state = state(&leaf(&ca, Usage::Server), None, MinVersion::V1_3);
    let client = client(&ca, &TLS13, None);
    let connect = || Pair::connect(&state, client.clone()).expect("connected").server.handshake_kind();

    let kinds = [connect(), connect()];
    state.replace(&leaf(&ca, Usage::Server)).expect("in force");
    let after = connect();

    assert_eq!(kinds, [Some(HandshakeKind::Full), Some(HandshakeKind::Resumed)]);
    assert_eq!(after, Some(HandshakeKind::Full));
}
