//! At rest the operator writes nothing.

use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use serde_json::Value;
use tokio::time::sleep;
use vibectl_tests::cluster::{Layout, Name, kubeconfig_for_tests};
use vibectl_tests::install;
use vibectl_tests::world::World;

use crate::objects::{caller_of_service, echo_proxy, token};

/// Long enough for several polls of the fleet and a few resyncs; `VIBECTL_QUIET_SECONDS=600` for the long run.
const QUIET_SECONDS: u64 = 120;

#[tokio::test]
async fn a_quiet_proxy_with_tokens_causes_no_writes() -> Result<()> {
    let layout = Layout::new(Name::Test)?;
    if kubeconfig_for_tests()? != layout.kubeconfig() {
        // The audit log of somebody else's cluster is out of reach.
        return Ok(());
    }
    let world = World::new("quiet").await?;
    world.apply(&echo_proxy("team", 2, "{privateCa: {}}"))?;
    world.apply(&[token("alice", "team"), token("bob", "team")].join("\n---\n"))?;
    let proxy = world.proxy_ready("team").await?;
    let credential = world.token_ready("alice").await?;
    world.token_ready("bob").await?;
    caller_of_service(&world, "team", &credential).await?.chat("echo", "hello").await?;
    // Two polls: the usage of the call above reaches the status.
    sleep(Duration::from_secs(35)).await;
    let uid = proxy.metadata.uid.context("no uid")?;
    let seconds = std::env::var("VIBECTL_QUIET_SECONDS").ok().and_then(|text| text.parse().ok());
    let seen = writes(&layout, &world.namespace, &uid)?.len();

    sleep(Duration::from_secs(seconds.unwrap_or(QUIET_SECONDS))).await;

    let all = writes(&layout, &world.namespace, &uid)?;
    ensure!(seen > 10, "the audit log shows only {seen} writes of the operator: is it read rightly?");
    ensure!(all.len() == seen, "writes at rest: {:#?}", &all[seen..]);
    Ok(())
}

/// Writes of the operator to one namespace, or to what it keeps for one proxy in its own.
fn writes(layout: &Layout, namespace: &str, uid: &str) -> Result<Vec<String>> {
    let user = format!("system:serviceaccount:{}:{}", install::NAMESPACE, install::RELEASE);
    let log = std::fs::read_to_string(layout.audit_log())?;
    let mut writes = Vec::new();
    // The last line may be half written.
    for event in log.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok()) {
        let object = &event["objectRef"];
        let name = object["name"].as_str().unwrap_or_default();
        let concerns_us = object["namespace"] == namespace || name.contains(uid);
        let of_operator = event["user"]["username"] == user.as_str() && event["stage"] == "ResponseComplete";
        let reads = ["get", "list", "watch"].iter().any(|verb| event["verb"] == *verb);
        if of_operator && concerns_us && !reads {
            writes.push(format!("{} {}/{name} {}", event["verb"], object["resource"], object["subresource"]));
        }
    }
    Ok(writes)
}
