//! A credential stops working when its ProxyToken goes.

use std::time::{Duration, Instant};

use anyhow::{Result, bail, ensure};
use kube::api::DeleteParams;
use reqwest::StatusCode;
use tokio::time::sleep;
use vibectl_operator::api::proxy_token::ProxyToken;
use vibectl_tests::world::{Caller, PATIENCE, World};

use crate::objects::{callers_of_pods, echo_proxy, token};

/// What is measured with 200 when somebody wants a figure (`VIBECTL_DELETIONS=200`).
const DELETIONS: usize = 50;
const REPLICAS: usize = 3;

/// Prints the figures: how long each replica went on accepting a token whose ProxyToken was deleted.
#[tokio::test]
async fn a16_a_deleted_token_is_refused_by_each_replica() -> Result<()> {
    let world = World::new("revocation").await?;
    world.apply(&echo_proxy("team", 3, "{privateCa: {}}"))?;
    let deletions = std::env::var("VIBECTL_DELETIONS").ok().and_then(|text| text.parse().ok());
    let deletions: usize = deletions.unwrap_or(DELETIONS);
    let names: Vec<String> = (0..deletions).map(|number| format!("token-{number}")).collect();
    world.apply(&names.iter().map(|name| token(name, "team")).collect::<Vec<_>>().join("\n---\n"))?;
    world.proxy_ready("team").await?;

    let mut took = Vec::new();
    for name in &names {
        let credential = world.token_ready(name).await?;
        let callers = callers_of_pods(&world, "team", &credential).await?;
        ensure!(callers.len() == REPLICAS, "{} replicas", callers.len());
        for caller in &callers {
            ensure!(caller.chat("echo", "hello").await?.status == StatusCode::OK);
        }
        world.api::<ProxyToken>().delete(name, &DeleteParams::default()).await?;
        let deleted = Instant::now();
        for caller in &callers {
            took.push(refused_after(caller, deleted).await?);
        }
    }

    took.sort_unstable();
    println!(
        "{deletions} deletions, {REPLICAS} replicas: refused after p50 {:?}, p99 {:?}, maximum {:?}",
        took[took.len() / 2],
        took[took.len() * 99 / 100],
        took[took.len() - 1]
    );
    Ok(())
}

async fn refused_after(caller: &Caller, deleted: Instant) -> Result<Duration> {
    loop {
        let answer = caller.chat("echo", "hello").await?;
        if answer.status == StatusCode::UNAUTHORIZED {
            return Ok(deleted.elapsed());
        }
        ensure!(answer.status == StatusCode::OK, "{answer:?}");
        if deleted.elapsed() > PATIENCE {
            bail!("the token still works");
        }
        sleep(Duration::from_millis(10)).await;
    }
}

#[tokio::test]
async fn a_suspended_token_is_refused_and_works_again_afterwards() -> Result<()> {
    let world = World::new("suspended").await?;
    world.apply(&echo_proxy("team", 1, "{privateCa: {}}"))?;
    world.apply(&token("alice", "team"))?;
    world.proxy_ready("team").await?;
    let credential = world.token_ready("alice").await?;
    let callers = callers_of_pods(&world, "team", &credential).await?;
    let suspend = |value: bool| {
        let patch = format!("{{\"spec\":{{\"suspended\":{value}}}}}");
        world.kubectl(&["patch", "proxytoken", "alice", "--type", "merge", "--patch", &patch])
    };

    suspend(true)?;
    refused_after(&callers[0], Instant::now()).await?;

    suspend(false)?;
    let credential = world.token_ready("alice").await?;
    let callers = callers_of_pods(&world, "team", &credential).await?;
    let answer = callers[0].chat("echo", "hello").await?;
    ensure!(answer.status == StatusCode::OK, "{answer:?}");
    Ok(())
}

#[tokio::test]
async fn a18_a_token_made_again_under_the_same_name_does_not_bring_the_old_credential_back() -> Result<()> {
    let world = World::new("again").await?;
    world.apply(&echo_proxy("team", 1, "{privateCa: {}}"))?;
    world.apply(&token("alice", "team"))?;
    world.proxy_ready("team").await?;
    let old = world.token_ready("alice").await?;
    let caller = callers_of_pods(&world, "team", &old).await?.remove(0);
    ensure!(caller.chat("echo", "hello").await?.status == StatusCode::OK);

    world.kubectl(&["delete", "proxytoken", "alice"])?;
    world.apply(&token("alice", "team"))?;
    refused_after(&caller, Instant::now()).await?;
    let new = world.token_ready("alice").await?;

    ensure!(new.token != old.token);
    let renewed = callers_of_pods(&world, "team", &new).await?.remove(0);
    ensure!(renewed.chat("echo", "hello").await?.status == StatusCode::OK);
    ensure!(caller.chat("echo", "hello").await?.status == StatusCode::UNAUTHORIZED);
    Ok(())
}
