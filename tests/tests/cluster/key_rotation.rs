//! Signing keys are replaced under load; a key that is revoked is refused by every replica.

use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail, ensure};
use reqwest::StatusCode;
use tokio::time::sleep;
use vibectl_operator::api::proxy_token::ProxyToken;
use vibectl_tests::world::{Credential, PATIENCE, World};

use crate::objects::{Loop, callers_of_pods, echo_proxy, token};

const REPLICAS: u32 = 3;
/// Callers of each replica with each credential.
const CALLERS: usize = 2;

async fn key_id(world: &World) -> Result<String> {
    let token = world.api::<ProxyToken>().get("alice").await?;
    token.status.and_then(|status| status.key_id).context("no key")
}

/// Another algorithm makes another key; waits until a credential of it is handed out, and gives that.
async fn rotate(world: &World, algorithm: &str) -> Result<Credential> {
    let before = key_id(world).await?;
    let patch = format!("{{\"spec\":{{\"access\":{{\"keys\":{{\"algorithm\":\"{algorithm}\"}}}}}}}}");
    world.kubectl(&["patch", "llmproxy", "team", "--type", "merge", "--patch", &patch])?;
    let started = Instant::now();
    loop {
        // A Secret that is gone is written anew, with the key that signs by then.
        world.kubectl(&["delete", "secret", "alice", "--ignore-not-found"])?;
        let renewed =
            |token: &ProxyToken| token.status.as_ref().is_some_and(|status| status.key_id.is_some());
        world.until("alice", renewed).await?;
        sleep(Duration::from_secs(1)).await;
        if key_id(world).await? != before {
            return written(world, &before).await;
        }
        ensure!(started.elapsed() < PATIENCE, "the key still signs");
    }
}

/// The credential in the Secret, once it is of another key than this.
async fn written(world: &World, former: &str) -> Result<Credential> {
    let started = Instant::now();
    loop {
        if let Ok(credential) = world.token_ready("alice").await
            && kid_of(&credential)? != former
        {
            return Ok(credential);
        }
        if started.elapsed() > PATIENCE {
            bail!("the Secret holds no credential of the new key");
        }
        sleep(Duration::from_millis(200)).await;
    }
}

fn kid_of(credential: &Credential) -> Result<String> {
    let header = jsonwebtoken::decode_header(&credential.token)?;
    header.kid.context("no kid")
}

async fn load(world: &World, credential: &Credential) -> Result<Vec<Loop>> {
    let callers = callers_of_pods(world, "team", credential).await?;
    Ok(callers
        .iter()
        .flat_map(|caller| vec![caller.clone(); CALLERS])
        .map(|caller| Loop::start(caller, "echo"))
        .collect())
}

#[tokio::test]
async fn l01_l02_keys_are_replaced_under_load_without_a_refusal_and_a_revoked_one_is_refused_by_every_replica()
-> Result<()> {
    let world = World::new("rotation").await?;
    world.apply(&echo_proxy("team", REPLICAS, "{privateCa: {}}"))?;
    world.apply(&token("alice", "team"))?;
    world.proxy_ready("team").await?;
    let first = world.token_ready("alice").await?;
    let started = Instant::now();

    let mut loops = load(&world, &first).await?;
    let mut newest = first.clone();
    for algorithm in ["EdDSA", "RS256", "ES256"] {
        newest = rotate(&world, algorithm).await?;
        loops.extend(load(&world, &newest).await?);
    }
    let (mut calls, running) = (0, loops.len());
    for one in loops {
        calls += one.finish().await?;
    }
    let seconds = started.elapsed().as_secs();
    println!("3 rotations, {running} callers, {calls} calls in {seconds} s, none refused");

    let lost = kid_of(&first)?;
    world.kubectl(&["annotate", "llmproxy", "team", &format!("vibectl.dev/revoke-key={lost}")])?;
    let revoked = Instant::now();
    for caller in callers_of_pods(&world, "team", &first).await? {
        while caller.chat("echo", "hello").await?.status != StatusCode::UNAUTHORIZED {
            ensure!(revoked.elapsed() < PATIENCE, "a token of the revoked key is still accepted");
            sleep(Duration::from_millis(20)).await;
        }
    }
    println!("a revoked key is refused by {REPLICAS} replicas after {:?}", revoked.elapsed());
    for caller in callers_of_pods(&world, "team", &newest).await? {
        ensure!(caller.chat("echo", "hello").await?.status == StatusCode::OK, "another key's token");
    }
    Ok(())
}
