//! A certificate of the user's own, replaced while calls run.

use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};
use k8s_openapi::api::core::v1::Pod;
use kube::ResourceExt;
use kube::api::ListParams;
use rcgen::{CertificateParams, CertifiedKey, KeyPair, generate_simple_self_signed};
use tokio::net::TcpStream;
use tokio::time::sleep;
use vibectl_operator::api::conditions::{ConditionType, find};
use vibectl_operator::api::llm_proxy::LlmProxy;
use vibectl_tests::world::{Caller, Credential, PATIENCE, World};

use crate::cert_manager::reason;
use crate::objects::{Loop, POD_PORT, caller_of_service, callers_of_pods, echo_proxy, pod_address, token};

struct Pair {
    certificate: String,
    key: String,
}

fn pair(host: &str) -> Result<Pair> {
    let CertifiedKey { cert, signing_key } = generate_simple_self_signed([host.to_owned()])?;
    Ok(Pair { certificate: cert.pem(), key: signing_key.serialize_pem() })
}

/// As a renewal writes it: both keys of the Secret in one change.
fn put(world: &World, pair: &Pair) -> Result<()> {
    let manifest = serde_json::json!({
        "apiVersion": "v1", "kind": "Secret", "type": "kubernetes.io/tls", "metadata": {"name": "own"},
        "stringData": {"tls.crt": pair.certificate, "tls.key": pair.key},
    });
    world.apply(&manifest.to_string())
}

async fn trusts(caller: &Caller) -> bool {
    caller.chat("echo", "hello").await.is_ok()
}

#[tokio::test]
async fn a_renewed_certificate_is_served_by_each_replica_without_a_restart() -> Result<()> {
    let world = World::new("certificate").await?;
    let host = format!("team.{}.svc", world.namespace);
    let (first, second) = (pair(&host)?, pair(&host)?);
    put(&world, &first)?;
    world.apply(&echo_proxy("team", 2, "{secret: {name: own}}"))?;
    world.apply(&token("alice", "team"))?;
    world.proxy_ready("team").await?;
    let issued = world.token_ready("alice").await?;
    let trusting = |pems: String| Credential { ca: Some(pems), ..issued.clone() };
    let only_second = callers_of_pods(&world, "team", &trusting(second.certificate.clone())).await?;
    ensure!(
        only_second.len() == 2 && !trusts(&only_second[0]).await,
        "the first certificate is not in force"
    );
    let both = trusting(format!("{}{}", first.certificate, second.certificate));
    let calls = Loop::start(caller_of_service(&world, "team", &both).await?, "echo");

    put(&world, &second)?;

    let changed = Instant::now();
    for caller in &only_second {
        while !trusts(caller).await {
            ensure!(changed.elapsed() < PATIENCE, "the second certificate is not in force");
            sleep(Duration::from_millis(20)).await;
        }
    }
    println!(
        "a renewed certificate: {:?}; {} calls meanwhile, none failed",
        changed.elapsed(),
        calls.finish().await?
    );
    Ok(())
}

const MISMATCHED: &str = "mismatched";

/// What may happen to a Secret, as a patch of it; and what the condition says then.
fn accidents(
    good: &Pair,
    other: &Pair,
    ended: &Pair,
) -> Vec<(&'static str, serde_json::Value, &'static str)> {
    let pair = |certificate: &str, key: &str| serde_json::json!({"tls.crt": certificate, "tls.key": key});
    vec![
        (
            MISMATCHED,
            pair(&good.certificate, &other.key),
            "the private key does not belong to the certificate",
        ),
        ("garbage", pair("garbage", "garbage"), "tls.crt of Secret \"own\""),
        (
            "torn",
            pair(&other.certificate[..other.certificate.len() / 2], &other.key),
            "tls.crt of Secret \"own\"",
        ),
        ("ended", pair(&ended.certificate, &ended.key), "ended at"),
        ("empty", pair("", ""), "is empty"),
    ]
}

fn ended_pair(host: &str) -> Result<Pair> {
    let mut params = CertificateParams::new(vec![host.to_owned()])?;
    let now = std::time::SystemTime::now();
    params.not_before = (now - Duration::from_secs(7200)).into();
    params.not_after = (now - Duration::from_secs(3600)).into();
    let key = KeyPair::generate()?;
    Ok(Pair { certificate: params.self_signed(&key)?.pem(), key: key.serialize_pem() })
}

fn told(proxy: &LlmProxy, what: &str) -> bool {
    let conditions = proxy.status.as_ref().map(|status| status.conditions.as_slice()).unwrap_or_default();
    find(conditions, ConditionType::CertificateReady)
        .is_some_and(|condition| condition.status == "False" && condition.message.contains(what))
}

#[tokio::test]
async fn proof_7_whatever_happens_to_the_secret_the_good_pair_stays_and_the_reason_is_told() -> Result<()> {
    let world = World::new("accidents").await?;
    let host = format!("team.{}.svc", world.namespace);
    let (good, other, ended) = (pair(&host)?, pair(&host)?, ended_pair(&host)?);
    put(&world, &good)?;
    world.apply(&echo_proxy("team", 1, "{secret: {name: own}}"))?;
    world.apply(&token("alice", "team"))?;
    world.proxy_ready("team").await?;
    let issued = world.token_ready("alice").await?;
    let credential = Credential { ca: Some(good.certificate.clone()), ..issued };
    let pod = world.pods("team").await?.pop().context("no pod")?;
    let caller = || Caller::afresh(&credential, pod_address(&pod)?, POD_PORT);

    for (accident, data, what) in accidents(&good, &other, &ended) {
        world.kubectl(&[
            "patch",
            "secret",
            "own",
            "--patch",
            &serde_json::json!({"stringData": data}).to_string(),
        ])?;
        world.until("team", |proxy: &LlmProxy| told(proxy, what)).await?;
        if accident == MISMATCHED {
            logged(&world, what).await?;
        }
        ensure!(trusts(&caller()?).await, "{accident}: the good pair must stay in force");
    }
    world.kubectl(&["delete", "secret", "own"])?;
    world.until("team", |proxy: &LlmProxy| told(proxy, "does not exist")).await?;
    ensure!(trusts(&caller()?).await, "deleted: the good pair must stay in force");
    put(&world, &good)?;
    world.until("team", |proxy: &LlmProxy| reason(proxy) == "Issued").await?;

    let metrics = reqwest::get(format!("http://{}:9095/metrics", pod_address(&pod)?)).await?.text().await?;
    let rejected = metrics.lines().find(|line| {
        line.starts_with("vibectl_reloads_total") && line.contains("\"tls\"") && line.contains("\"rejected\"")
    });
    ensure!(rejected.is_some_and(|line| !line.ends_with(" 0")), "no refusal was counted:\n{metrics}");
    Ok(())
}

/// Waits until the pod has seen it and says so. Nobody makes the kubelet hurry for what cannot be used.
async fn logged(world: &World, what: &str) -> Result<()> {
    let started = Instant::now();
    loop {
        let log =
            world.kubectl(&["logs", "-l", "app.kubernetes.io/instance=team", "-c", "server", "--tail=-1"])?;
        if log.contains(what) {
            return Ok(());
        }
        ensure!(started.elapsed() < PATIENCE, "the log does not name the reason:\n{log}");
        sleep(Duration::from_millis(500)).await;
    }
}

#[tokio::test]
async fn proof_7_without_a_usable_pair_the_port_never_opens() -> Result<()> {
    let world = World::new("shut").await?;
    let host = format!("team.{}.svc", world.namespace);
    put(&world, &Pair { certificate: pair(&host)?.certificate, key: pair(&host)?.key })?;
    world.apply(&echo_proxy("team", 1, "{secret: {name: own}}"))?;
    world.until("team", |proxy: &LlmProxy| told(proxy, "does not belong")).await?;

    // The server runs, and its admin port answers: it is the service port that stays shut.
    let running =
        |pod: &Pod| pod.status.as_ref().is_some_and(|status| status.phase.as_deref() == Some("Running"));
    let pods = world.api::<Pod>().list(&ListParams::default()).await?;
    let name = pods.items.first().map(ResourceExt::name_any).context("no pod")?;
    let pod = world.until(&name, running).await?;
    let address = pod_address(&pod)?;
    let started = Instant::now();
    while reqwest::get(format!("http://{address}:9095/healthz")).await.is_err() {
        ensure!(started.elapsed() < PATIENCE, "the server does not run");
        sleep(Duration::from_millis(100)).await;
    }
    ensure!(TcpStream::connect((address, POD_PORT)).await.is_err(), "the port is open without a certificate");

    put(&world, &pair(&host)?)?;
    world.proxy_ready("team").await?;
    Ok(())
}
