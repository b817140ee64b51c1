//! What the operator owns is right again after somebody deleted or edited it.

use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail, ensure};
use reqwest::StatusCode;
use tokio::time::sleep;
use vibectl_tests::world::{PATIENCE, World};

use crate::objects::{caller_of_service, echo_proxy, token};

const KINDS: &str = "serviceaccount,configmap,secret,deployment,service,poddisruptionbudget,networkpolicy";

/// `kind/name` and UID of every object of the proxy.
fn children(world: &World) -> Result<Vec<(String, String)>> {
    let template = "{range .items[*]}{.kind}/{.metadata.name} {.metadata.uid}{\"\\n\"}{end}";
    let query = ["get", KINDS, "-l", "app.kubernetes.io/managed-by=vibectl-operator", "-o"];
    let listed = world.kubectl(&[&query[..], &[&format!("jsonpath={template}")]].concat())?;
    let pair = |line: &str| line.split_once(' ').map(|(name, uid)| (name.to_owned(), uid.to_owned()));
    Ok(listed.lines().filter_map(pair).collect())
}

#[tokio::test]
async fn every_child_that_is_deleted_comes_back_and_the_token_works_on() -> Result<()> {
    let world = World::new("deleted").await?;
    world.apply(&echo_proxy("team", 2, "{privateCa: {}}"))?;
    world.apply(&token("alice", "team"))?;
    world.proxy_ready("team").await?;
    world.token_ready("alice").await?;
    let before = children(&world)?;
    ensure!(before.len() >= 12, "too few children: {before:?}");

    for (child, uid) in &before {
        world.kubectl(&["delete", child, "--wait=false"])?;
        let took = returned(&world, child, uid).await?;
        println!("{child} came back after {took:?}");
    }

    world.proxy_ready("team").await?;
    let credential = world.token_ready("alice").await?;
    until_answered(&world, &credential).await
}

async fn returned(world: &World, child: &str, uid: &str) -> Result<Duration> {
    let deleted = Instant::now();
    loop {
        let now = world.kubectl(&["get", child, "-o", "jsonpath={.metadata.uid}"]).unwrap_or_default();
        if !now.is_empty() && now != uid {
            return Ok(deleted.elapsed());
        }
        if deleted.elapsed() > PATIENCE {
            bail!("{child} did not come back");
        }
        sleep(Duration::from_millis(50)).await;
    }
}

/// After a lost CA the Secret of the token is written again; a client that reads it afresh gets an answer.
async fn until_answered(world: &World, first: &vibectl_tests::world::Credential) -> Result<()> {
    let started = Instant::now();
    let mut credential = first.clone();
    loop {
        let caller = caller_of_service(world, "team", &credential).await?;
        let answered = caller.chat("echo", "hello").await;
        if answered.as_ref().is_ok_and(|answer| answer.status == StatusCode::OK) {
            return Ok(());
        }
        if started.elapsed() > PATIENCE {
            bail!("no answer: {answered:?}");
        }
        sleep(Duration::from_millis(500)).await;
        credential = world.token_ready("alice").await?;
    }
}

#[tokio::test]
async fn an_edited_child_is_set_right_and_foreign_fields_stay() -> Result<()> {
    let world = World::new("edited").await?;
    world.apply(&echo_proxy("team", 2, "{privateCa: {}}"))?;
    world.proxy_ready("team").await?;

    world.kubectl(&["scale", "deployment", "team", "--replicas", "1"])?;
    world.kubectl(&["annotate", "service", "team", "example.org/owner=somebody"])?;
    let wrong_port = "[{\"op\":\"replace\",\"path\":\"/spec/ports/0/port\",\"value\":1234}]";
    world.kubectl(&["patch", "service", "team", "--type", "json", "--patch", wrong_port])?;

    let started = Instant::now();
    loop {
        let replicas = world.kubectl(&["get", "deployment", "team", "-o", "jsonpath={.spec.replicas}"])?;
        let port = world.kubectl(&["get", "service", "team", "-o", "jsonpath={.spec.ports[0].port}"])?;
        if replicas == "2" && port == "50051" {
            break;
        }
        ensure!(started.elapsed() < PATIENCE, "replicas {replicas}, port {port}");
        sleep(Duration::from_millis(50)).await;
    }
    println!("set right after {:?}", started.elapsed());
    let owner = world.kubectl(&[
        "get",
        "service",
        "team",
        "-o",
        "jsonpath={.metadata.annotations.example\\.org/owner}",
    ])?;
    ensure!(owner == "somebody", "a foreign annotation was taken away: {owner:?}");
    Ok(())
}

#[tokio::test]
async fn a_secret_of_the_same_name_that_is_not_ours_is_left_alone() -> Result<()> {
    let world = World::new("foreign").await?;
    world.kubectl(&["create", "secret", "generic", "alice", "--from-literal=mine=kept"])?;
    world.apply(&echo_proxy("team", 1, "{plaintext: {}}"))?;
    world.apply(&token("alice", "team"))?;

    let token = world
        .until("alice", |token: &vibectl_operator::api::proxy_token::ProxyToken| {
            let conditions = token.status.as_ref().map(|status| &status.conditions);
            conditions.is_some_and(|all| all.iter().any(|condition| condition.reason == "ObjectConflict"))
        })
        .await?;

    let conditions = token.status.context("no status")?.conditions;
    ensure!(conditions.iter().any(|condition| condition.message.contains("alice")), "{conditions:?}");
    let kept = world.kubectl(&["get", "secret", "alice", "-o", "jsonpath={.data.mine}"])?;
    ensure!(kept == "a2VwdA==", "the foreign Secret was changed: {kept:?}");
    Ok(())
}
