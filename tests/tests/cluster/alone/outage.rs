//! While the operator is away, proxies serve; when it is back, what was missed takes effect.

use std::time::{Duration, Instant};

use anyhow::{Result, ensure};
use kube::api::DeleteParams;
use reqwest::StatusCode;
use tokio::time::sleep;
use vibectl_operator::api::proxy_token::ProxyToken;
use vibectl_tests::world::{Caller, PATIENCE, World};
use vibectl_tests::{command, install, tools};

use crate::objects::{callers_of_pods, echo_proxy, token};

fn operator(world: &World, arguments: &[&str]) -> Result<String> {
    tools::kubectl_output(&world.kubeconfig, &[&["-n", install::NAMESPACE], arguments].concat())
}

fn scale(world: &World, replicas: u32) -> Result<()> {
    let deployment = format!("deployment/{}", install::RELEASE);
    operator(world, &["scale", &deployment, "--replicas", &replicas.to_string()])?;
    if replicas == 0 {
        let pods =
            ["wait", "--for=delete", "pod", "-l", "app.kubernetes.io/name=vibectl-operator", "--timeout=60s"];
        operator(world, &pods)?;
    } else {
        operator(world, &["rollout", "status", &deployment, "--timeout=60s"])?;
    }
    Ok(())
}

async fn refused(callers: &[Caller]) -> Result<Duration> {
    let started = Instant::now();
    for caller in callers {
        while caller.chat("echo", "hello").await?.status != StatusCode::UNAUTHORIZED {
            ensure!(started.elapsed() < PATIENCE, "the token still works");
            sleep(Duration::from_millis(20)).await;
        }
    }
    Ok(started.elapsed())
}

#[tokio::test]
async fn a_token_deleted_while_the_operator_is_stopped_is_refused_when_it_is_back() -> Result<()> {
    let world = World::alone("stopped").await?;
    world.apply(&echo_proxy("team", 2, "{privateCa: {}}"))?;
    world.apply(&[token("alice", "team"), token("bob", "team"), token("carol", "team")].join("\n---\n"))?;
    world.proxy_ready("team").await?;
    let deleted = callers_of_pods(&world, "team", &world.token_ready("alice").await?).await?;
    let kept = callers_of_pods(&world, "team", &world.token_ready("bob").await?).await?;

    scale(&world, 0)?;
    world.api::<ProxyToken>().delete("alice", &DeleteParams::default()).await?;
    for caller in deleted.iter().chain(&kept) {
        ensure!(
            caller.chat("echo", "hello").await?.status == StatusCode::OK,
            "proxies must serve without the operator"
        );
    }
    let returned = Instant::now();
    scale(&world, 2)?;
    let ready = returned.elapsed();
    let after = refused(&deleted).await?;

    println!(
        "deleted while stopped: refused {after:?} after the operator was ready again (ready after {ready:?})"
    );
    ensure!(kept[0].chat("echo", "hello").await?.status == StatusCode::OK, "another token must work on");
    Ok(())
}

#[tokio::test]
async fn the_standby_takes_over_when_the_leader_goes() -> Result<()> {
    let world = World::alone("standby").await?;
    scale(&world, 2)?;
    let leader = leader(&world)?;
    let gone = Instant::now();
    operator(&world, &["delete", "pod", &leader, "--wait=false"])?;
    while self::leader(&world).is_ok_and(|now| now == leader || now.is_empty()) {
        ensure!(gone.elapsed() < PATIENCE, "nobody took over");
        sleep(Duration::from_millis(50)).await;
    }
    println!("the standby led {:?} after the leader was told to stop", gone.elapsed());

    world.apply(&echo_proxy("team", 1, "{plaintext: {}}"))?;
    world.proxy_ready("team").await?;
    Ok(())
}

#[tokio::test]
async fn a_token_deleted_while_the_leader_is_dead_is_refused_after_the_end_of_its_lease() -> Result<()> {
    let world = World::alone("crash").await?;
    world.apply(&echo_proxy("team", 2, "{privateCa: {}}"))?;
    world.apply(&token("alice", "team"))?;
    world.proxy_ready("team").await?;
    let callers = callers_of_pods(&world, "team", &world.token_ready("alice").await?).await?;
    let Some(process) = process_of(&leader(&world)?)? else {
        // Somebody else's cluster: its processes are not on this machine.
        return Ok(());
    };

    command::run(std::process::Command::new("kill").args(["-KILL", &process]))?;
    world.api::<ProxyToken>().delete("alice", &DeleteParams::default()).await?;

    println!(
        "deleted after kill -9 of the leader (lease of 15 s): refused after {:?}",
        refused(&callers).await?
    );
    Ok(())
}

/// The process of the operator in this pod.
fn process_of(pod: &str) -> Result<Option<String>> {
    for process in std::fs::read_dir("/proc")?.flatten() {
        let read = |file: &str| std::fs::read_to_string(process.path().join(file)).unwrap_or_default();
        let in_pod = read("environ").split('\0').any(|variable| variable == format!("HOSTNAME={pod}"));
        if in_pod && read("cmdline").starts_with("/vibectl-operator\0") {
            return Ok(Some(process.file_name().to_string_lossy().into_owned()));
        }
    }
    Ok(None)
}

/// The pod that holds the Lease; the holder's identity begins with its name.
fn leader(world: &World) -> Result<String> {
    let lease = ["get", "lease", "vibectl-operator", "-o", "jsonpath={.spec.holderIdentity}"];
    let holder = operator(world, &lease)?;
    Ok(holder.split('_').next().unwrap_or_default().to_owned())
}
