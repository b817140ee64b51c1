//! Callers with certificates, from the commands that make them to the calls that they are let in for.

use std::fs;
use std::path::Path;
use std::sync::Arc;

use rustls::ClientConfig;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};

use crate::support::{Server, run};

/// A server's folder with a CA, certificates of two callers and a token that is bound to one of them.
struct Home {
    folder: tempfile::TempDir,
}

impl Home {
    fn new() -> Self {
        let home = Self { folder: tempfile::tempdir().expect("a folder") };
        fs::write(home.folder.path().join("config.yaml"), CONFIG).expect("a config");
        home.command(&["ca", "init", "--ca-dir", "ca"]);
        for name in ["alice", "bob"] {
            home.command(&["ca", "create-client-cert", name, "--ca-dir", "ca"]);
        }
        home.command(&["config", "generate-secret", "--output-file", "secret"]);
        home
    }

    fn command(&self, arguments: &[&str]) -> String {
        command(self.folder.path(), arguments)
    }

    fn token(&self, subject: &str, more: &[&str]) -> String {
        self.command(&[&["generate-token", subject, "--config", "config.yaml"], more].concat())
    }

    fn serve(self) -> Server {
        let server = Server::start_in(self.folder, &["serve-ca", "--ca-dir", "ca"], CONFIG);
        server.wait_for("ready", |server| server.admin_get("/readyz").is_some_and(|answer| answer.0 == 200));
        server
    }
}

const CONFIG: &str = "server: {host: 127.0.0.1}\n\
                      jwt: {secret_key_file: secret}\n\
                      tls: {ca_bundle_file: ca/ca-bundle.crt, client_crl_file: ca/crl.pem}\n";

fn command(folder: &Path, arguments: &[&str]) -> String {
    let done = run(folder, arguments);
    assert_eq!(done.code, Some(0), "{arguments:?}: {}", done.err);
    done.out.trim().to_owned()
}

/// A client with the files that the commands made.
fn caller(folder: &Path, name: Option<&str>) -> Arc<ClientConfig> {
    let mut roots = rustls::RootCertStore::empty();
    for anchor in CertificateDer::pem_file_iter(folder.join("ca/ca-bundle.crt")).expect("a bundle") {
        roots.add(anchor.expect("a certificate")).expect("an anchor");
    }
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let builder = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .expect("versions")
        .with_root_certificates(roots);
    let mut config = match name {
        None => builder.with_no_client_auth(),
        Some(name) => {
            let file = |end: &str| folder.join(format!("ca/client_certs/{name}/{name}.{end}"));
            let chain = CertificateDer::pem_file_iter(file("crt")).expect("a file");
            let key = PrivateKeyDer::from_pem_file(file("key")).expect("a key");
            let chain = chain.collect::<Result<_, _>>().expect("certificates");
            builder.with_client_auth_cert(chain, key).expect("an identity")
        }
    };
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    Arc::new(config)
}

#[test]
fn a21_a_token_that_is_bound_to_a_certificate_is_of_no_use_to_another_caller() {
    let home = Home::new();
    let bound = home.token("alice", &["--client-cert", "ca/client_certs/alice/alice.crt"]);
    let free = home.token("anyone", &[]);
    let server = home.serve();
    let status = |name, token: &str| {
        server.get_over_tls(&caller(server.folder.path(), Some(name)), Some(token)).expect("an answer")
    };

    assert_eq!(status("alice", &bound), 200);
    assert_eq!(status("bob", &bound), 401);
    assert_eq!((status("alice", &free), status("bob", &free)), (200, 200));
    assert_eq!(server.metric("vibectl_auth_total{result=\"not_bound\"}"), 1);
    assert!(
        server.get_over_tls(&caller(server.folder.path(), None), Some(&free)).is_err(),
        "without a certificate"
    );
}

#[test]
fn a21_a_bound_token_is_refused_where_callers_show_no_certificates() {
    let home = Home::new();
    let bound = home.token("alice", &["--client-cert", "ca/client_certs/alice/alice.crt"]);
    let config = "jwt: {enabled: true, secret_key_file: secret}";
    let server = Server::start_in(home.folder, &["serve-insecure"], config);
    server.wait_for("ready", |server| server.admin_get("/readyz").is_some_and(|answer| answer.0 == 200));

    let mut stream = server.connect();
    let head = format!(
        "GET /v1/models HTTP/1.1\r\nHost: a\r\nAuthorization: Bearer {bound}\r\nConnection: close\r\n\r\n"
    );
    std::io::Write::write_all(&mut stream, head.as_bytes()).expect("sent");
    let mut answer = String::new();
    std::io::Read::read_to_string(&mut stream, &mut answer).expect("an answer");

    assert!(answer.starts_with("HTTP/1.1 401 "), "{answer}");
}

#[test]
fn a21_a_certificate_that_is_revoked_while_the_server_runs_does_not_get_in_any_longer() {
    let home = Home::new();
    let token = home.token("anyone", &[]);
    let server = home.serve();
    let gets_in = |server: &Server, name| {
        server.get_over_tls(&caller(server.folder.path(), Some(name)), Some(&token)).is_ok()
    };
    assert!(gets_in(&server, "alice") && gets_in(&server, "bob"));

    command(server.folder.path(), &["ca", "revoke", "alice", "--ca-dir", "ca"]);

    server.wait_for("the new list", |server| !gets_in(server, "alice"));
    assert!(gets_in(&server, "bob"));
    let list = fs::read_to_string(server.folder.path().join("ca/crl.pem")).expect("lists");
    let next_update = vibectl_pki::Crls::from_pem(&list).expect("lists").next_update().expect("a time");
    assert_eq!(server.metric("vibectl_client_crl_expiry_timestamp_seconds"), next_update.as_second());

    fs::write(server.folder.path().join("ca/crl.pem"), "garbage").expect("written");
    server.wait_for("the refusal", |server| server.metric("vibectl_part_rejected{part=\"client-ca\"}") == 1);
    assert!(gets_in(&server, "bob") && !gets_in(&server, "alice"), "the last good one stays");
    server.logs("client CRL: no revocation list found");
}
