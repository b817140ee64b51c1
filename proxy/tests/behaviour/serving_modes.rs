//! `serve` says which mode it picked and why; what contradicts is refused; the original's documented config is secure.

use std::fs;
use std::path::Path;
use std::time::Duration;

use tokio::runtime::Runtime;
use tonic::transport::{Certificate, Channel, ClientTlsConfig, Endpoint};
use tonic::{Code, Request};
use vibectl_proto::llm_proxy::GetServerInfoRequest;
use vibectl_proto::llm_proxy::vibectl_llm_proxy_client::VibectlLlmProxyClient as Client;

use crate::support::{PATIENCE, Server, run};

/// The file of the section "Production overview" of the original's guide, with the paths left to fill in.
const PRODUCTION: &str = "\
server:
  host: 0.0.0.0
  port: 443
  require_auth: true
  use_tls: true
  cert_file: /etc/ssl/certs/vibectl-server.crt
  key_file: /etc/ssl/private/vibectl-server.key
jwt:
  secret_key_file: /etc/vibectl/jwt-secret
  issuer: company-llm-proxy
  expiration_days: 90
";

fn start(folder: tempfile::TempDir, arguments: &[&str], config: &str) -> Server {
    let server = Server::start_in(folder, arguments, config);
    server.wait_for("ready", |server| server.admin_get("/readyz").is_some_and(|answer| answer.0 == 200));
    server
}

fn info(server: &Server, ca: &Path, token: Option<&str>) -> Result<String, Code> {
    let ca = Certificate::from_pem(fs::read(ca).expect("a certificate"));
    let tls = ClientTlsConfig::new().ca_certificate(ca).domain_name("localhost");
    let endpoint = Endpoint::from_shared(format!("https://127.0.0.1:{}", server.port)).expect("an address");
    let endpoint = endpoint.timeout(PATIENCE).tls_config(tls).expect("TLS");
    Runtime::new().expect("a runtime").block_on(async {
        let channel: Channel = endpoint.connect().await.expect("a connection");
        let mut request = Request::new(GetServerInfoRequest {});
        if let Some(token) = token {
            let value = format!("Bearer {token}").parse().expect("a header");
            request.metadata_mut().insert("authorization", value);
        }
        let answer = Client::new(channel).get_server_info(request).await;
        answer.map(|answer| answer.into_inner().server_name).map_err(|status| status.code())
    })
}

#[test]
fn the_documented_production_config_starts_a_tls_server_that_requires_tokens() {
    let folder = tempfile::tempdir().expect("a folder");
    let at = |name: &str| folder.path().join(name);
    let made =
        run(folder.path(), &["generate-certs", "--cert-file", "server.crt", "--key-file", "server.key"]);
    assert_eq!(made.code, Some(0), "{}", made.err);
    let secret = at("jwt-secret").display().to_string();
    let made = run(folder.path(), &["config", "generate-secret", "--output-file", &secret]);
    assert_eq!(made.code, Some(0), "{}", made.err);
    let config = PRODUCTION
        .replace("/etc/ssl/certs/vibectl-server.crt", &at("server.crt").display().to_string())
        .replace("/etc/ssl/private/vibectl-server.key", &at("server.key").display().to_string())
        .replace("/etc/vibectl/jwt-secret", &secret);
    let server = start(folder, &["serve"], &config);
    let made = run(server.folder.path(), &["generate-token", "dev", "--config", "config.yaml"]);
    let token = made.out.trim();

    let certificate = server.folder.path().join("server.crt");
    assert_eq!(info(&server, &certificate, None), Err(Code::Unauthenticated));
    assert_eq!(info(&server, &certificate, Some("eyJhbGciOiJub25lIn0.e30.")), Err(Code::Unauthenticated));
    assert_eq!(info(&server, &certificate, Some(token)).as_deref(), Ok("vibectl-llm-proxy"));
    let log = server.log();
    assert!(log.contains("\"mode\":\"custom\"") && log.contains("tls.cert_file, tls.key_file"), "{log}");
    assert!(log.contains("server.use_tls: deprecated: use tls.enabled"), "{log}");
}

#[test]
fn serve_tls_makes_a_pair_once_and_keeps_it() {
    let config = "server: {host: 127.0.0.1}";
    let mut server =
        start(tempfile::tempdir().expect("a folder"), &["serve", "--tls", "--no-require-auth"], config);
    let certificate = server.folder.path().join(".config/vibectl/server/certs/server.crt");
    let first = fs::read(&certificate).expect("a certificate");
    assert_eq!(info(&server, &certificate, None).as_deref(), Ok("vibectl-llm-proxy"));
    server.logs("\"mode\":\"self-signed\",\"because\":\"--tls\"");
    server.terminate();
    server.wait(Duration::from_secs(20));

    let folder = std::mem::replace(&mut server.folder, tempfile::tempdir().expect("a folder"));
    let again = start(folder, &["serve", "--generate-certs", "--no-require-auth"], config);

    let certificate = again.folder.path().join(".config/vibectl/server/certs/server.crt");
    assert_eq!(fs::read(certificate).expect("a certificate"), first);
}

#[test]
fn flags_of_serve_that_have_a_command_of_their_own_work_and_name_it() {
    let folder = tempfile::tempdir().expect("a folder");
    run(folder.path(), &["generate-certs", "--cert-file", "s.crt", "--key-file", "s.key"]);
    let arguments = ["serve", "--cert-file", "s.crt", "--key-file", "s.key", "--no-require-auth"];

    let server = start(folder, &arguments, "server: {host: 127.0.0.1}");

    assert_eq!(info(&server, &server.folder.path().join("s.crt"), None).as_deref(), Ok("vibectl-llm-proxy"));
    server.logs("vibectl-server serve-custom --cert-file");
}

#[test]
fn what_contradicts_is_refused_and_both_sides_are_named() {
    let folder = tempfile::tempdir().expect("a folder");
    fs::write(folder.path().join("c.yaml"), "tls: {enabled: false}").expect("a config");
    let refused = |arguments: &[&str]| {
        let ended = run(folder.path(), arguments);
        assert_eq!(ended.code, Some(64), "{arguments:?}");
        ended.err
    };

    for (arguments, sides) in [
        (&["serve", "--tls", "--no-tls"][..], ["--tls", "--no-tls"]),
        (&["serve", "--no-tls", "--generate-certs"], ["--no-tls", "--generate-certs"]),
        (
            &["serve", "--cert-file", "a", "--key-file", "b", "--generate-certs"],
            ["--cert-file", "--generate-certs"],
        ),
        (&["serve", "--acme", "--cert-file", "a", "--key-file", "b"], ["--acme", "--cert-file"]),
        (&["serve", "--cert-file", "a"], ["--cert-file", "--key-file"]),
        (&["serve", "--tls", "--config", "c.yaml"], ["--tls", "tls.enabled: false"]),
    ] {
        let said = refused(arguments);
        assert!(sides.iter().all(|side| said.contains(side)), "{arguments:?}: {said}");
    }
}

#[test]
fn acme_by_flag_needs_what_the_file_would_need() {
    let folder = tempfile::tempdir().expect("a folder");

    let ended = run(folder.path(), &["serve", "--acme", "--no-require-auth"]);

    assert_eq!(ended.code, Some(64));
    for key in ["acme.email", "acme.domains", "acme.agree_tos"] {
        assert!(ended.err.contains(key), "{key}: {}", ended.err);
    }
}

#[test]
fn b12_plaintext_is_asked_for_by_name_said_aloud_and_kept_to_this_machine_unless_told_otherwise() {
    let server = Server::insecure("server: {host: 0.0.0.0, log_level: error}");

    server.logs("warning: serving on 127.0.0.1 without TLS");
    server.connect();
    let other = std::net::TcpStream::connect(("127.0.0.2", server.port));
    assert!(other.is_err(), "listens on more than 127.0.0.1");
}
