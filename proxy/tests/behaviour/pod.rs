//! A server as the operator runs it: certificate, access table and fleet identity come as files, some of them late, and
//! the operator asks on the fleet port what is in force.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::time::Duration;

use jiff::Timestamp;
use tokio::runtime::Runtime;
use tonic::transport::{Certificate, Channel, ClientTlsConfig, Endpoint, Identity};
use vibectl_config::mount::{Part, RevisionKey, revision, shard_file};
use vibectl_pki::{Ca, IssueRequest, Leaf, Names, Usage};
use vibectl_proto::fleet::v1::fleet_client::FleetClient;
use vibectl_proto::fleet::v1::{PartInForce, ReportRequest, ReportResponse};
use vibectl_token::table::encode_shards;
use vibectl_token::{Algorithm, KeySet, SigningKey};

use crate::support::{PATIENCE, Server, free_port};

const SERVER_NAME: &str = "0a5e9b7c.fleet.vibectl.dev";
const KEY: [u8; 32] = [7; 32];

/// The operator's side: the CA of the fleet and an identity.
struct Fleet {
    ca: Ca,
    client: Leaf,
    server: Leaf,
    port: u16,
}

impl Fleet {
    fn new() -> Self {
        let day = Duration::from_hours(24);
        let names = Names::parse(["fleet.vibectl.dev"]).expect("names");
        let ca = Ca::constrained("fleet", &names, day * 30, Timestamp::now()).expect("a CA");
        let issue = |name: &str, usage| {
            let names = Names::parse([name]).expect("names");
            let request = IssueRequest { names: &names, usage, validity: day, now: Timestamp::now() };
            ca.issue(&request).expect("a leaf")
        };
        let client = issue("operator.fleet.vibectl.dev", Usage::Client);
        let server = issue(SERVER_NAME, Usage::Server);
        Self { client, server, ca, port: free_port() }
    }

    fn report_as(&self, identity: Option<&Leaf>) -> Result<ReportResponse, String> {
        let tls = ClientTlsConfig::new()
            .ca_certificate(Certificate::from_pem(self.ca.chain_pem()))
            .domain_name(SERVER_NAME);
        let tls = match identity {
            Some(leaf) => tls.identity(Identity::from_pem(leaf.chain_pem(), leaf.key_pem().as_bytes())),
            None => tls,
        };
        let address = format!("https://127.0.0.1:{}", self.port);
        let endpoint = Endpoint::from_shared(address).expect("an address").timeout(PATIENCE);
        let endpoint = endpoint.tls_config(tls).expect("TLS");
        Runtime::new().expect("a runtime").block_on(async {
            let channel: Channel = endpoint.connect().await.map_err(|error| format!("{error:?}"))?;
            let answer = FleetClient::new(channel).report(ReportRequest {}).await;
            answer.map(tonic::Response::into_inner).map_err(|status| format!("{status:?}"))
        })
    }

    fn report(&self) -> ReportResponse {
        self.report_as(Some(&self.client)).expect("a report")
    }
}

fn put(folder: &Path, files: &BTreeMap<String, Vec<u8>>) {
    fs::create_dir_all(folder).expect("a folder");
    for (name, content) in files {
        fs::write(folder.join(name), content).expect("a file");
    }
}

fn pair(leaf: &Leaf) -> BTreeMap<String, Vec<u8>> {
    BTreeMap::from([
        ("tls.crt".to_owned(), leaf.chain_pem().into_bytes()),
        ("tls.key".to_owned(), leaf.key_pem().as_bytes().to_vec()),
    ])
}

fn access() -> BTreeMap<String, Vec<u8>> {
    let key = SigningKey::generate(Algorithm::Es256).expect("a key");
    let shards = encode_shards(&[]).expect("a table");
    let mut files: BTreeMap<_, _> =
        shards.into_iter().enumerate().map(|(index, shard)| (shard_file(index), shard)).collect();
    let keys = KeySet::from_keys([key.public_jwk().clone()]).expect("a key set");
    files.insert("jwks.json".to_owned(), keys.render().into_bytes());
    files
}

/// Starts a pod's server that has everything but its certificate.
fn pod(fleet: &Fleet) -> Server {
    let folder = tempfile::tempdir().expect("a folder");
    let at = |name: &str| folder.path().join(name);
    let mut identity = pair(&fleet.server);
    identity.insert("ca.crt".to_owned(), fleet.ca.chain_pem().into_bytes());
    identity.insert("revision.key".to_owned(), KEY.to_vec());
    put(&at("fleet"), &identity);
    put(&at("access"), &access());
    put(&at("tls"), &BTreeMap::new());
    let config = format!(
        "server: {{host: 127.0.0.1, shutdown_grace_seconds: 2}}\n\
         tls: {{cert_file: {tls}/tls.crt, key_file: {tls}/tls.key}}\n\
         access: {{issuer: i, audience: a, dir: {access}}}\n\
         fleet: {{host: 127.0.0.1, port: {port}, dir: {fleet}}}\n",
        tls = at("tls").display(),
        access = at("access").display(),
        fleet = at("fleet").display(),
        port = fleet.port,
    );
    let server = Server::start_in(folder, &["serve"], &config);
    // The port for the operator opens a moment after the one for probes.
    server.wait_for("the fleet port", |_| fleet.report_as(Some(&fleet.client)).is_ok());
    server
}

fn part(report: &ReportResponse, part: Part) -> PartInForce {
    report.parts.iter().find(|found| found.part == part.as_str()).expect("a part").clone()
}

#[test]
fn a_pod_waits_for_its_certificate_and_tells_the_operator_what_is_in_force() {
    let fleet = Fleet::new();
    let server = pod(&fleet);

    let waiting = fleet.report();
    assert!(part(&waiting, Part::Tls).rejected.ends_with("tls.crt: no such file"));
    assert_eq!(server.admin_get("/readyz").expect("an answer").0, 503);
    assert!(std::net::TcpStream::connect(("127.0.0.1", server.port)).is_err(), "the port is shut");

    let certificate = pair(&fleet.server);
    put(&server.folder.path().join("tls"), &certificate);
    server.wait_for("ready", |server| server.admin_get("/readyz").is_some_and(|answer| answer.0 == 200));

    let report = fleet.report();
    let expected = revision(&RevisionKey::new(KEY), Part::Tls, &certificate);
    assert_eq!(
        part(&report, Part::Tls),
        PartInForce { part: "tls".to_owned(), revision: expected, rejected: String::new() }
    );
    let served = report.certificate.clone().expect("a certificate");
    assert_eq!(served.fingerprint_sha256, fleet.server.facts().fingerprint_sha256);
    let config =
        BTreeMap::from([("config.yaml".to_owned(), fs::read(server.config_file()).expect("the config"))]);
    let expected = revision(&RevisionKey::new(KEY), Part::Config, &config);
    assert_eq!(part(&report, Part::Config).revision, expected);
    assert_eq!(report.instance_id, waiting.instance_id);
}

#[test]
fn a_renewed_certificate_is_served_and_a_bad_one_never_is() {
    let fleet = Fleet::new();
    let server = pod(&fleet);
    let folder = server.folder.path().join("tls");
    put(&folder, &pair(&fleet.server));
    server.wait_for("ready", |server| server.admin_get("/readyz").is_some_and(|answer| answer.0 == 200));
    let served =
        |report: &ReportResponse| report.certificate.clone().expect("a certificate").fingerprint_sha256;

    let other = Fleet::new().server;
    put(&folder, &BTreeMap::from([("tls.key".to_owned(), other.key_pem().as_bytes().to_vec())]));
    server.wait_for("the refusal", |_| !part(&fleet.report(), Part::Tls).rejected.is_empty());
    assert_eq!(served(&fleet.report()), fleet.server.facts().fingerprint_sha256, "the last good one");

    put(&folder, &pair(&other));
    server.wait_for("the new one", |_| served(&fleet.report()) == other.facts().fingerprint_sha256);
    assert_eq!(part(&fleet.report(), Part::Tls).rejected, "");
}

#[test]
fn changed_access_files_are_acknowledged() {
    let fleet = Fleet::new();
    let server = pod(&fleet);
    let files = access();
    let expected = revision(&RevisionKey::new(KEY), Part::Access, &files);
    assert_ne!(part(&fleet.report(), Part::Access).revision, expected);

    put(&server.folder.path().join("access"), &files);

    server.wait_for("the revision", |_| part(&fleet.report(), Part::Access).revision == expected);
}

#[test]
fn only_the_operator_is_answered() {
    let fleet = Fleet::new();
    let _server = pod(&fleet);

    assert!(fleet.report_as(None).is_err(), "without a certificate");
    assert!(fleet.report_as(Some(&fleet.server)).is_err(), "with the identity of a pod");
    assert!(fleet.report_as(Some(&Fleet::new().client)).is_err(), "of another fleet");
    assert!(fleet.report_as(Some(&fleet.client)).is_ok());
}

#[test]
fn a_pod_that_ends_waits_a_little_for_the_operator_to_ask_once_more() {
    let fleet = Fleet::new();
    let mut server = pod(&fleet);
    put(&server.folder.path().join("tls"), &pair(&fleet.server));
    server.wait_for("ready", |server| server.admin_get("/readyz").is_some_and(|answer| answer.0 == 200));

    server.terminate();
    server.wait_for("draining", |server| server.log().contains("draining"));
    let report = fleet.report();
    let (status, took) = server.wait(Duration::from_secs(3));

    assert!(report.draining);
    assert!(status.success());
    assert!(took < Duration::from_secs(2), "nothing is waited for after that: {took:?}");
}
