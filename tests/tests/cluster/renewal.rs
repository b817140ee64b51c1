//! A credential renews itself before it ends, and the old one works until then.

use anyhow::{Context as _, Result, ensure};
use k8s_openapi::api::core::v1::Secret;
use reqwest::StatusCode;
use vibectl_tests::world::{Credential, World};

use crate::objects::{callers_of_pods, echo_proxy, token};

#[tokio::test]
async fn a_token_of_one_minute_is_replaced_in_time_and_both_work() -> Result<()> {
    let world = World::new("renewal").await?;
    world.apply(&echo_proxy("team", 1, "{privateCa: {}}"))?;
    world.apply(&token("alice", "team").replace("proxyRef", "ttl: 1m, proxyRef"))?;
    world.proxy_ready("team").await?;
    let first = world.token_ready("alice").await?;

    let renewed = |secret: &Secret| {
        let token = secret.data.as_ref().and_then(|data| data.get("token"));
        token.is_some_and(|token| token.0 != first.token.as_bytes())
    };
    let second = Credential::from_secret(&world.until("alice", renewed).await?)?;

    for credential in [&first, &second] {
        let caller = callers_of_pods(&world, "team", credential).await?.pop().context("no pod")?;
        let answer = caller.chat("echo", "hello").await?;
        ensure!(answer.status == StatusCode::OK, "{answer:?}");
    }
    Ok(())
}
