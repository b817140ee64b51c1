//! An order survives the operator that began it.

use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};
use jiff::Timestamp;
use k8s_openapi::api::coordination::v1::{Lease, LeaseSpec};
use kube::{Api, ResourceExt as _};
use serde_json::Value;
use tokio::time::sleep;
use vibectl_operator::api::llm_proxy::LlmProxy;
use vibectl_tests::install;
use vibectl_tests::world::{PATIENCE, World};

use crate::acme::{own_secrets, pebble, proxy, tls};
use crate::pebble::Options;

#[tokio::test]
async fn h02_an_operator_that_is_stopped_during_the_order_is_succeeded_by_one_that_ends_it() -> Result<()> {
    let world = World::alone("acme-stopped").await?;
    let Some(pebble) = pebble(&world, Options::default())? else { return Ok(()) };
    let former = lease(&world).await?.holder_identity;
    world.apply(&proxy(&world, 1, &tls(&pebble, "http-01", "")))?;
    let proxy = world.until("team", |proxy: &LlmProxy| proxy.uid().is_some()).await?;

    let begun = |order: Value| order["url"].is_string();
    let started = Instant::now();
    while !record(&world, &proxy, "order").await?.is_some_and(begun) {
        ensure!(started.elapsed() < PATIENCE, "no order was begun");
        sleep(Duration::from_millis(20)).await;
    }
    let label = format!("app.kubernetes.io/name={}", install::RELEASE);
    let stop = ["-n", install::NAMESPACE, "delete", "pod", "-l", &label, "--force", "--grace-period=0"];
    vibectl_tests::tools::kubectl_output(&world.kubeconfig, &stop)?;

    world.proxy_ready("team").await?;
    let (leader, certificate) = (lease(&world).await?, record(&world, &proxy, "certificate").await?);
    let certificate = certificate.context("no certificate")?;
    let obtained: Timestamp = certificate["obtained_at"].as_str().context("no time")?.parse()?;
    let led_since = leader.acquire_time.context("nobody leads")?.0;
    ensure!(
        leader.holder_identity != former && obtained > led_since,
        "the former operator ended it: {obtained}, {led_since}"
    );
    ensure!((pebble.orders(), pebble.accounts()) == (1, 1), "{}", pebble.process.output());
    Ok(())
}

async fn lease(world: &World) -> Result<LeaseSpec> {
    let leases: Api<Lease> = Api::namespaced(world.client.clone(), install::NAMESPACE);
    leases.get(install::RELEASE).await?.spec.context("a Lease without a spec")
}

/// A record of the order of this proxy.
async fn record(world: &World, proxy: &LlmProxy, name: &str) -> Result<Option<Value>> {
    let kept = own_secrets(world, proxy).await?;
    let bytes = kept.iter().find_map(|secret| secret.data.as_ref()?.get(name));
    Ok(bytes.map(|bytes| serde_json::from_slice(&bytes.0)).transpose()?)
}
