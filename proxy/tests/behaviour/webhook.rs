//! Who is told by `tls.webhook` what becomes of certificates, and how a receiver knows that it was us.

use std::fs;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::mpsc::{Receiver, channel};
use std::thread;

use aws_lc_rs::hmac;
use serde_json::Value;
use vibectl_pki::Usage;

use crate::support::tls::{DAY, ca, client, leaf, put_pair};
use crate::support::{PATIENCE, Server, run};

const SECRET: &str = "a-secret-that-signs-the-news";

/// One delivery.
struct Delivery {
    name: String,
    timestamp: String,
    signature: String,
    body: String,
}

impl Delivery {
    fn json(&self) -> Value {
        serde_json::from_str(&self.body).expect("JSON")
    }

    /// As a receiver checks it.
    fn is_genuine(&self) -> bool {
        let key = hmac::Key::new(hmac::HMAC_SHA256, SECRET.as_bytes());
        let hex = self.signature.strip_prefix("v1=").expect("a version");
        let pairs =
            (0..hex.len()).step_by(2).map(|at| u8::from_str_radix(&hex[at..at + 2], 16).expect("hex"));
        let tag: Vec<u8> = pairs.collect();
        hmac::verify(&key, format!("{}.{}", self.timestamp, self.body).as_bytes(), &tag).is_ok()
    }
}

/// A receiver that refuses the first so many deliveries.
fn receiver(refused: usize) -> (u16, Receiver<Delivery>) {
    let listener = TcpListener::bind(("127.0.0.1", 0)).expect("a port");
    let port = listener.local_addr().expect("an address").port();
    let (sender, deliveries) = channel();
    thread::spawn(move || {
        for (number, stream) in listener.incoming().map_while(Result::ok).enumerate() {
            let status = if number < refused { "500 Internal Server Error" } else { "204 No Content" };
            if sender.send(receive(stream, status)).is_err() {
                return;
            }
        }
    });
    (port, deliveries)
}

fn receive(stream: TcpStream, status: &str) -> Delivery {
    let mut reader = BufReader::new(stream);
    let mut headers = Vec::new();
    let mut line = String::new();
    while reader.read_line(&mut line).expect("a line") > 2 {
        let (name, value) = line.split_once(' ').expect("two parts");
        headers.push((name.trim_end_matches(':').to_lowercase(), value.trim().to_owned()));
        line.clear();
    }
    let header = |wanted: &str| headers.iter().find(|(name, _)| name == wanted).expect(wanted).1.clone();
    let mut body = vec![0; header("content-length").parse().expect("a number")];
    reader.read_exact(&mut body).expect("a body");
    let answer = format!("HTTP/1.1 {status}\r\nContent-Length: 0\r\nConnection: close\r\n\r\n");
    reader.get_mut().write_all(answer.as_bytes()).expect("answered");
    Delivery {
        name: header("vibectl-event"),
        timestamp: header("vibectl-timestamp"),
        signature: header("vibectl-signature"),
        body: String::from_utf8(body).expect("text"),
    }
}

/// A folder with a pair, a CA of callers and the secret; and the config.
fn home(port: u16) -> (tempfile::TempDir, String) {
    let folder = tempfile::tempdir().expect("a folder");
    fs::write(folder.path().join("webhook.secret"), SECRET).expect("written");
    for arguments in
        [&["ca", "init", "--ca-dir", "ca"][..], &["ca", "create-client-cert", "alice", "--ca-dir", "ca"]]
    {
        assert_eq!(run(folder.path(), arguments).code, Some(0), "{arguments:?}");
    }
    let config = format!(
        "server: {{host: 127.0.0.1}}\n\
         tls:\n  ca_bundle_file: ca/ca-bundle.crt\n  client_crl_file: ca/crl.pem\n  \
         webhook: {{url: 'http://127.0.0.1:{port}/hook', secret_file: webhook.secret}}\n"
    );
    (folder, config)
}

fn ready(server: &Server) {
    server.wait_for("ready", |server| server.admin_get("/readyz").is_some_and(|answer| answer.0 == 200));
}

#[test]
fn a_renewal_a_failure_and_a_revocation_are_told_with_a_signature() {
    let (port, deliveries) = receiver(0);
    let (folder, config) = home(port);
    let own = ca();
    put_pair(folder.path(), &leaf(&own, Usage::Server, DAY));
    let arguments = ["serve-custom", "--cert-file", "tls.crt", "--key-file", "tls.key", "--no-require-auth"];
    let server = Server::start_in(folder, &arguments, &config);
    ready(&server);
    let next = || {
        let delivery = deliveries.recv_timeout(PATIENCE).expect("news");
        assert!(delivery.is_genuine(), "{}", delivery.body);
        assert_eq!(delivery.json()["event"], delivery.name);
        delivery
    };

    let renewed = leaf(&own, Usage::Server, DAY);
    put_pair(server.folder.path(), &renewed);
    let told = next();
    assert_eq!(told.name, "renewed");
    assert_eq!(told.json()["certificate"]["fingerprint_sha256"], renewed.facts().fingerprint_sha256.as_str());
    assert_eq!(told.json()["certificate"]["public_key_pin"], renewed.facts().public_key_pin.as_str());

    fs::write(server.folder.path().join("tls.crt"), "garbage").expect("written");
    let told = next();
    assert_eq!(
        (told.name.as_str(), &told.json()["reason"]),
        ("failed", &"no certificate found (expected PEM blocks CERTIFICATE)".into())
    );

    let revoked = run(server.folder.path(), &["ca", "revoke", "alice", "--ca-dir", "ca"]);
    assert_eq!(revoked.code, Some(0), "{}", revoked.err);
    let told = next();
    assert_eq!(told.name, "revoked");
    let serial = told.json()["serials"][0].as_str().expect("a serial").to_owned();
    assert!(revoked.out.contains(&serial), "{serial}: {}", revoked.out);
    server.wait_for("the count", |server| {
        server.metric("vibectl_webhook_deliveries_total{outcome=\"delivered\"}") == 3
    });
}

#[test]
fn what_a_receiver_does_not_take_is_tried_again_with_the_same_id() {
    let (port, deliveries) = receiver(1);
    let (folder, config) = home(port);
    let server = Server::start_in(folder, &["serve-ca", "--ca-dir", "ca", "--no-require-auth"], &config);
    ready(&server);

    let [first, second] = [(); 2].map(|()| deliveries.recv_timeout(PATIENCE).expect("news"));

    assert_eq!((first.name.as_str(), second.name.as_str()), ("issued", "issued"));
    assert_eq!(first.json()["id"], second.json()["id"]);
    assert!(first.is_genuine() && second.is_genuine());
    server.wait_for("the count", |server| {
        server.metric("vibectl_webhook_deliveries_total{outcome=\"delivered\"}") == 1
    });
    server.logs("answered 500");
    assert!(!server.log().contains(SECRET) && !server.log().contains("/hook"), "{}", server.log());
}

#[test]
fn a_receiver_that_never_answers_holds_nobody_up() {
    let silent = TcpListener::bind(("127.0.0.1", 0)).expect("a port");
    let (folder, config) = home(silent.local_addr().expect("an address").port());
    let config = config.replace("  ca_bundle_file: ca/ca-bundle.crt\n  client_crl_file: ca/crl.pem\n", "");
    let own = ca();
    put_pair(folder.path(), &leaf(&own, Usage::Server, DAY));
    let arguments = ["serve-custom", "--cert-file", "tls.crt", "--key-file", "tls.key", "--no-require-auth"];
    let mut server = Server::start_in(folder, &arguments, &config);
    ready(&server);
    let renewed = leaf(&own, Usage::Server, DAY);
    put_pair(server.folder.path(), &renewed);
    let (_waiting, _) = silent.accept().expect("a delivery begins");

    let config = client(&own, &[b"http/1.1"], None);
    assert_eq!(server.get_over_tls(&config, None).expect("an answer"), 200);
    assert_eq!(server.served(&config), *renewed.chain().leaf());

    server.terminate();
    let (status, _) = server.wait(PATIENCE);
    assert!(status.success());
}

#[test]
fn a_short_secret_keeps_the_port_shut() {
    let (folder, config) = home(1);
    fs::write(folder.path().join("webhook.secret"), "short").expect("written");
    fs::write(folder.path().join("config.yaml"), config).expect("written");

    let ended =
        run(folder.path(), &["serve-ca", "--ca-dir", "ca", "--config", "config.yaml", "--no-require-auth"]);

    assert_eq!(ended.code, Some(64));
    assert!(ended.err.contains("tls.webhook.secret_file: less than 16 characters"), "{}", ended.err);
}
