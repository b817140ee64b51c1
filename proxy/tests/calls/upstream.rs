//! The way to the provider: whose certificates are trusted, and which addresses are not gone to.

use std::{fs, path::Path, time::Duration};

use jiff::Timestamp;
use vibectl_pki::{Ca, IssueRequest, Leaf, Names, Usage};

use crate::{
    fake_provider::{Fake, Script},
    proxy::{Proxy, ask},
};

const DAY: Duration = Duration::from_hours(24);

fn ca_and_leaf(host: &str) -> (Ca, Leaf) {
    ca_and_leaf_of(host, Timestamp::now())
}

/// Issued then, for a day.
fn ca_and_leaf_of(host: &str, now: Timestamp) -> (Ca, Leaf) {
    let names = Names::parse([host]).expect("a name");
    let ca = Ca::constrained("test", &names, DAY * 30, now).expect("a CA");
    let request = IssueRequest { names: &names, usage: Usage::Server, validity: DAY, now };
    let leaf = ca.issue(&request).expect("a leaf");
    (ca, leaf)
}

fn config(base_url: &str, more: &str, cluster: bool) -> String {
    let access = if cluster { "access: {issuer: i, audience: a}\n" } else { "" };
    format!(
        "{access}server: {{default_model: small}}\n\
         providers: [{{name: local, openai: {{base_url: '{base_url}'{more}}}}}]\n\
         models: [{{name: small, routes: [{{provider: local, model: m}}]}}]"
    )
}

fn with_ca(file: &Path) -> String {
    format!(", ca_file: '{}'", file.display())
}

#[tokio::test]
async fn b11_a_private_ca_is_trusted_where_it_is_named_and_nowhere_else() {
    let folder = tempfile::tempdir().expect("a folder");
    let ca_file = folder.path().join("ca.crt");
    let (ca, leaf) = ca_and_leaf("localhost");
    fs::write(&ca_file, ca.chain_pem()).expect("written");
    let fake = Fake::start_tls(Script::answer("over TLS"), &leaf).await;
    let url = format!("https://localhost:{}/v1", fake.address.port());

    let trusted = Proxy::start(&config(&url, &with_ca(&ca_file), false)).await;
    let unknown = Proxy::start(&config(&url, "", false)).await;

    assert_eq!(trusted.execute(ask("hello")).await.as_deref(), Ok("over TLS"));
    let (_, message) = unknown.execute(ask("hello")).await.expect_err("an unknown issuer");
    assert_eq!(message, "provider local: the provider cannot be reached");
}

#[tokio::test]
async fn b10_a_certificate_for_another_name_is_refused() {
    let folder = tempfile::tempdir().expect("a folder");
    let ca_file = folder.path().join("ca.crt");
    let (ca, leaf) = ca_and_leaf("model.example.org");
    fs::write(&ca_file, ca.chain_pem()).expect("written");
    let fake = Fake::start_tls(Script::answer("never"), &leaf).await;
    let url = format!("https://localhost:{}/v1", fake.address.port());

    let refused = Proxy::start(&config(&url, &with_ca(&ca_file), false)).await.execute(ask("hello")).await;

    assert_eq!(refused.expect_err("another name").1, "provider local: the provider cannot be reached");
    assert!(fake.requests().is_empty());
}

#[tokio::test]
async fn e01_in_a_cluster_the_pod_itself_is_not_gone_to_by_address_or_by_name() {
    let fake = Fake::start(Script::answer("never")).await;
    let port = fake.address.port();

    for (host, told) in [
        ("127.0.0.1", "the provider is off: its base_url is a loopback address"),
        ("[::ffff:127.0.0.1]", "the provider is off: its base_url is a loopback address"),
        ("169.254.169.254", "the provider is off: its base_url is a link-local address"),
        ("localhost", "the provider cannot be reached"),
    ] {
        let proxy = Proxy::start(&config(&format!("http://{host}:{port}/v1"), "", true)).await;
        let (_, message) = proxy.execute(ask("hello")).await.expect_err(host);
        assert_eq!(message, format!("provider local: {told}"));
    }
    assert!(fake.requests().is_empty());
}

#[tokio::test]
async fn e12_a_provider_behind_a_connection_that_went_stale_is_reached_again() {
    let fake = Fake::start(Script::answer("hi")).await;
    let proxy = Proxy::before(&[fake.base_url()]).await;

    for _ in 0..3 {
        assert_eq!(proxy.execute(ask("hello")).await.as_deref(), Ok("hi"));
        fake.close_connections();
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

#[tokio::test]
async fn e12_a_provider_that_ends_its_http_2_connection_is_reached_over_another_one() {
    let folder = tempfile::tempdir().expect("a folder");
    let ca_file = folder.path().join("ca.crt");
    let (ca, leaf) = ca_and_leaf("localhost");
    fs::write(&ca_file, ca.chain_pem()).expect("written");
    let fake = Fake::start_tls(Script::answer("hi"), &leaf).await;
    let url = format!("https://localhost:{}/v1", fake.address.port());
    let proxy = Proxy::start(&config(&url, &with_ca(&ca_file), false)).await;

    for _ in 0..3 {
        assert_eq!(proxy.execute(ask("hello")).await.as_deref(), Ok("hi"));
        fake.close_connections();
        tokio::time::sleep(Duration::from_millis(50)).await;
    }

    assert_eq!(fake.requests().len(), 3, "nothing was sent twice");
}

#[tokio::test]
async fn e13_an_expired_certificate_is_refused_and_the_caller_told_no_more_than_that_nobody_is_there() {
    let folder = tempfile::tempdir().expect("a folder");
    let ca_file = folder.path().join("ca.crt");
    let (ca, leaf) = ca_and_leaf_of("localhost", Timestamp::now() - DAY * 3);
    fs::write(&ca_file, ca.chain_pem()).expect("written");
    let fake = Fake::start_tls(Script::answer("never"), &leaf).await;
    let url = format!("https://localhost:{}/v1", fake.address.port());

    let refused = Proxy::start(&config(&url, &with_ca(&ca_file), false)).await.execute(ask("hello")).await;

    let (code, message) = refused.expect_err("expired");
    assert_eq!(code, "EXECUTION_FAILED");
    assert_eq!(message, "provider local: the provider cannot be reached");
    assert!(fake.requests().is_empty());
}
