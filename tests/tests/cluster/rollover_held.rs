//! A CA that a pod still needs stays in the bundle, unless somebody says by name that it must go.

use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};
use tokio::time::sleep;
use vibectl_operator::api::llm_proxy::LlmProxy;
use vibectl_tests::command::{command, run};
use vibectl_tests::world::{Caller, Follower, PATIENCE, World};

use crate::cert_manager::{reason, service};
use crate::objects::{echo_proxy, token};
use crate::rollover::{bundle, own_ca, put, same};

/// The container of this pod that issues its certificate; `None` where the node is another machine.
fn certificate_agent(pod: &str) -> Result<Option<String>> {
    for process in std::fs::read_dir("/proc")?.flatten() {
        let text = |file| std::fs::read_to_string(process.path().join(file)).unwrap_or_default();
        let of_pod = || text("environ").split('\0').any(|variable| variable == format!("HOSTNAME={pod}"));
        if text("cmdline").starts_with("/vibectl-server\0certificate-agent") && of_pod() {
            return Ok(Some(process.file_name().to_string_lossy().into_owned()));
        }
    }
    ensure!(std::env::var_os("KUBECONFIG").is_some(), "no process of {pod} issues certificates");
    Ok(None)
}

fn signal(name: &str, process: &str) -> Result<()> {
    run(command("sh").args(["-c", &format!("kill -s {name} {process}")])).map(drop)
}

#[tokio::test]
async fn l04_l05_a_ca_that_a_pod_needs_stays_with_the_leaf_named_until_it_is_distrusted_by_name() -> Result<()>
{
    let world = World::new("held").await?;
    let (old, new) = (own_ca(1, Duration::from_secs(3600))?, own_ca(2, Duration::from_secs(3600))?);
    put(&world, &old)?;
    let tls = "{privateCa: {secret: {name: company-ca}, clientRefresh: 1s}}";
    world.apply(&echo_proxy("team", 1, tls))?;
    world.apply(&token("alice", "team"))?;
    let before = world.proxy_ready("team").await?.status.context("no status")?;
    world.token_ready("alice").await?;
    let follower = Follower::of(&world, "alice").await?;
    let pods = world.pods("team").await?;
    let pod = pods.first().and_then(|pod| pod.metadata.name.as_deref()).context("no pod")?;
    let Some(agent) = certificate_agent(pod)? else { return Ok(()) };

    // It sleeps through the roll-over, as on a node that is overloaded.
    signal("STOP", &agent)?;
    put(&world, &new)?;
    let held = world.until("team", |proxy: &LlmProxy| reason(proxy) == "RolloverHeld").await?;

    let conditions = held.status.map(|status| status.conditions).unwrap_or_default();
    let said = conditions.iter().find(|it| it.type_ == "CertificateReady").context("no condition")?;
    let leaf = before.certificate.context("no certificate")?.fingerprint;
    ensure!(said.message.contains(pod) && said.message.contains(&leaf), "{}", said.message);
    ensure!(bundle(&world).await?.matches("BEGIN").count() == 2, "the old CA is gone");
    let (address, port) = service(&world, "team").await?;
    let served = Caller::afresh(&follower.credential(), address, port)?.certificate().await;
    ensure!(served.is_ok(), "a client that follows the bundle fails: {served:?}");

    let fingerprint = before.ca_fingerprint.context("no CA")?;
    let annotation = format!("vibectl.dev/distrust-ca={fingerprint}");
    world.kubectl(&["annotate", "llmproxy", "team", &annotation])?;
    let distrusted = Instant::now();
    while !same(&bundle(&world).await?, &new.certificate) {
        ensure!(distrusted.elapsed() < PATIENCE, "the old CA is still in the bundle");
        sleep(Duration::from_millis(50)).await;
    }
    println!("a distrusted CA is out of the bundle after {:?}", distrusted.elapsed());

    signal("CONT", &agent)?;
    loop {
        let caller = Caller::afresh(&follower.credential(), address, port)?;
        if caller.chat("echo", "hello").await.is_ok_and(|answer| answer.status.is_success()) {
            return Ok(());
        }
        ensure!(distrusted.elapsed() < PATIENCE, "it does not recover");
        sleep(Duration::from_millis(100)).await;
    }
}
