//! What clients trust is replaced under load: a CA of the user's own again and again, and a self-signed certificate.

use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};
use k8s_openapi::api::core::v1::{ConfigMap, Pod};
use rcgen::{
    BasicConstraints, CertificateParams, DnType, IsCa, KeyPair, KeyUsagePurpose, PKCS_ECDSA_P256_SHA256,
};
use tokio::time::sleep;
use vibectl_operator::{api::llm_proxy::LlmProxy, fleet::pods};
use vibectl_tests::command::{command, run};
use vibectl_tests::world::{Caller, Credential, Follower, PATIENCE, World};

use crate::cert_manager::{reason, service};
use crate::objects::{POD_PORT, echo_proxy, pod_address, token};

const ROLLOVERS: usize = 20;

pub(crate) struct OwnCa {
    pub(crate) certificate: String,
    key: String,
}

/// As `openssl req -x509` makes one.
pub(crate) fn own_ca(number: usize, lifetime: Duration) -> Result<OwnCa> {
    let mut params = CertificateParams::default();
    params.distinguished_name.push(DnType::CommonName, format!("company CA {number}"));
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
    let now = std::time::SystemTime::now();
    params.not_before = (now - Duration::from_secs(60)).into();
    params.not_after = (now + lifetime).into();
    let key = KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256)?;
    Ok(OwnCa { certificate: params.self_signed(&key)?.pem(), key: key.serialize_pem() })
}

pub(crate) fn put(world: &World, ca: &OwnCa) -> Result<()> {
    let manifest = serde_json::json!({
        "apiVersion": "v1", "kind": "Secret", "type": "kubernetes.io/tls", "metadata": {"name": "company-ca"},
        "stringData": {"tls.crt": ca.certificate, "tls.key": ca.key},
    });
    world.apply(&manifest.to_string())
}

/// What is published.
pub(crate) async fn bundle(world: &World) -> Result<String> {
    let map = world.api::<ConfigMap>().get("team-ca").await?;
    map.data.and_then(|mut data| data.remove("ca.crt")).context("no ca.crt")
}

/// `openssl verify` of what each pod serves against what is published.
async fn verified(world: &World, credential: &Credential) -> Result<()> {
    let published = bundle(world).await?;
    for pod in world.pods("team").await? {
        let served = Caller::afresh(credential, pod_address(&pod)?, POD_PORT)?.certificate().await?;
        let folder = tempfile::tempdir()?;
        let (trusted, leaf) = (folder.path().join("ca.crt"), folder.path().join("leaf.der"));
        std::fs::write(&trusted, &published)?;
        std::fs::write(&leaf, &served)?;
        let pem = folder.path().join("leaf.crt");
        run(command("openssl").args(["x509", "-inform", "DER", "-in"]).arg(&leaf).arg("-out").arg(&pem))?;
        run(command("openssl").args(["verify", "-CAfile"]).arg(&trusted).arg(&pem))?;
    }
    Ok(())
}

/// Until this is the only certificate that is published; what is served is verified at every step on the way.
async fn until_published_alone(world: &World, follower: &Follower, certificate: &str) -> Result<()> {
    let started = Instant::now();
    loop {
        verified(world, &follower.credential()).await?;
        let published = bundle(world).await?;
        if published.matches("BEGIN").count() == 1 && same(&published, certificate) {
            return Ok(());
        }
        ensure!(started.elapsed() < PATIENCE, "the roll-over does not come to its end");
        sleep(Duration::from_millis(200)).await;
    }
}

/// The same PEM, whatever the line ends.
pub(crate) fn same(one: &str, other: &str) -> bool {
    let words = |text: &str| text.split_whitespace().map(str::to_owned).collect::<String>();
    words(one) == words(other)
}

#[tokio::test]
async fn l04_twenty_rollovers_of_a_ca_fail_no_call_of_a_client_that_follows_the_bundle() -> Result<()> {
    let world = World::new("rollovers").await?;
    let first = own_ca(0, Duration::from_secs(3600))?;
    put(&world, &first)?;
    let tls = "{privateCa: {secret: {name: company-ca}, clientRefresh: 1s}}";
    world.apply(&echo_proxy("team", 2, tls))?;
    world.apply(&token("alice", "team"))?;
    world.proxy_ready("team").await?;
    world.token_ready("alice").await?;
    let follower = Follower::of(&world, "alice").await?;
    let (address, port) = service(&world, "team").await?;
    let calls = follower.call(address, port);

    let started = Instant::now();
    for number in 1..=ROLLOVERS {
        let next = own_ca(number, Duration::from_secs(3600))?;
        put(&world, &next)?;
        until_published_alone(&world, &follower, &next.certificate).await?;
    }

    println!(
        "{ROLLOVERS} roll-overs of a CA in {:?}; {} calls meanwhile, none failed",
        started.elapsed(),
        calls.finish().await?
    );
    Ok(())
}

#[tokio::test]
async fn a_self_signed_certificate_is_replaced_without_a_failed_call() -> Result<()> {
    let world = World::new("self-signed").await?;
    let tls = "{selfSigned: {clientRefresh: 2s}}";
    world.apply(&echo_proxy("team", 2, tls))?;
    world.apply(&token("alice", "team"))?;
    world.proxy_ready("team").await?;
    world.token_ready("alice").await?;
    let follower = Follower::of(&world, "alice").await?;
    verified(&world, &follower.credential()).await?;
    let before = bundle(&world).await?;
    let (address, port) = service(&world, "team").await?;
    let calls = follower.call(address, port);

    world.kubectl(&[
        "patch",
        "llmproxy",
        "team",
        "--type=merge",
        "--patch",
        "{\"spec\":{\"hosts\":[\"llm.example.org\"]}}",
    ])?;
    let started = Instant::now();
    loop {
        verified(&world, &follower.credential()).await?;
        let published = bundle(&world).await?;
        if published.matches("BEGIN").count() == 1 && published != before {
            break;
        }
        ensure!(started.elapsed() < PATIENCE, "the certificate is not replaced");
        sleep(Duration::from_millis(200)).await;
    }
    println!("a self-signed certificate replaced; {} calls meanwhile, none failed", calls.finish().await?);
    Ok(())
}

#[tokio::test]
async fn l06_a_ca_that_has_ended_is_told_and_another_recovers() -> Result<()> {
    let world = World::new("ended").await?;
    put(&world, &own_ca(1, Duration::from_secs(25))?)?;
    let tls = "{privateCa: {secret: {name: company-ca}, clientRefresh: 1h}}";
    world.apply(&echo_proxy("team", 1, tls))?;
    world.apply(&token("alice", "team"))?;
    world.proxy_ready("team").await?;
    world.token_ready("alice").await?;
    let follower = Follower::of(&world, "alice").await?;
    let pods = world.pods("team").await?;
    let pod = pods.first().and_then(|pod| pod.metadata.name.as_deref()).context("no pod")?;
    let told = |proxy: &LlmProxy| reason(proxy) == "Expired";
    world.until("team", told).await?;
    // By then no Service leads to the pod. It is refreshed all the same, not when the kubelet next happens to look.
    world.until(pod, |pod: &Pod| !pods::serves(pod)).await?;

    let next = own_ca(2, Duration::from_secs(3600))?;
    put(&world, &next)?;

    // Without waiting for clients: all of them fail already.
    let recovered = Instant::now();
    let (address, port) = service(&world, "team").await?;
    loop {
        let caller = Caller::afresh(&follower.credential(), address, port)?;
        if caller.chat("echo", "hello").await.is_ok_and(|answer| answer.status.is_success()) {
            break;
        }
        ensure!(recovered.elapsed() < PATIENCE, "it does not recover");
        sleep(Duration::from_millis(100)).await;
    }
    println!("recovered from an ended CA after {:?}", recovered.elapsed());
    Ok(())
}
