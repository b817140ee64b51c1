//! A credential stops working when its ProxyToken goes.

use std::time::{Duration, Instant};

use anyhow::{Result, bail, ensure};
use kube::api::DeleteParams;
use reqwest::StatusCode;
use tokio::time::sleep;
use vibectl_operator::api::proxy_token::ProxyToken;
use vibectl_tests::world::{Caller, PATIENCE, World};

use crate::objects::{callers_of_pods, echo_proxy, token};

const DELETIONS: usize = 50;

/// Prints the figures: how long each of two replicas went on accepting a token whose ProxyToken was deleted.
#[tokio::test]
async fn a_deleted_token_is_refused_by_each_replica() -> Result<()> {
    let world = World::new("revocation").await?;
    world.apply(&echo_proxy("team", 2, "{privateCa: {}}"))?;
    let names: Vec<String> = (0..DELETIONS).map(|number| format!("token-{number}")).collect();
    world.apply(&names.iter().map(|name| token(name, "team")).collect::<Vec<_>>().join("\n---\n"))?;
    world.proxy_ready("team").await?;

    let mut took = Vec::new();
    for name in &names {
        let credential = world.token_ready(name).await?;
        let callers = callers_of_pods(&world, "team", &credential).await?;
        ensure!(callers.len() == 2, "{} replicas", callers.len());
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
        "{DELETIONS} deletions, 2 replicas: refused after p50 {:?}, maximum {:?}",
        took[took.len() / 2],
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
