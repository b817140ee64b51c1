//! A certificate of the user's own, replaced while calls run.

use std::time::{Duration, Instant};

use anyhow::{Result, ensure};
use rcgen::{CertifiedKey, generate_simple_self_signed};
use tokio::time::sleep;
use vibectl_tests::world::{Caller, Credential, PATIENCE, World};

use crate::objects::{Loop, caller_of_service, callers_of_pods, echo_proxy, token};

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

#[tokio::test]
async fn a_certificate_without_its_key_is_told_and_the_good_pair_stays() -> Result<()> {
    let world = World::new("torn").await?;
    let host = format!("team.{}.svc", world.namespace);
    let (good, other) = (pair(&host)?, pair(&host)?);
    put(&world, &good)?;
    world.apply(&echo_proxy("team", 1, "{secret: {name: own}}"))?;
    world.apply(&token("alice", "team"))?;
    world.proxy_ready("team").await?;
    let issued = world.token_ready("alice").await?;
    let credential = Credential { ca: Some(good.certificate.clone()), ..issued };

    put(&world, &Pair { certificate: good.certificate.clone(), key: other.key })?;

    let told = |proxy: &vibectl_operator::api::llm_proxy::LlmProxy| {
        let conditions = proxy.status.as_ref().map(|status| &status.conditions);
        conditions.is_some_and(|all| all.iter().any(|condition| condition.reason == "SecretInvalid"))
    };
    world.until("team", told).await?;
    ensure!(
        trusts(&callers_of_pods(&world, "team", &credential).await?[0]).await,
        "the good pair must stay in force"
    );
    Ok(())
}
