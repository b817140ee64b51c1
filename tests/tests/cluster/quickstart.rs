//! What a team does first: a proxy, a token, a call, and a look at what was used.

use anyhow::{Result, ensure};
use serde_json::json;
use vibectl_operator::api::proxy_token::ProxyToken;
use vibectl_tests::world::World;

use crate::objects::{caller_of_service, echo_proxy, token};

#[tokio::test]
async fn a_proxy_and_a_token_make_an_endpoint_that_answers_and_counts() -> Result<()> {
    let world = World::new("quickstart").await?;
    world.apply(&echo_proxy("team", 1, "{privateCa: {}}"))?;
    world.apply(&token("alice", "team"))?;
    world.proxy_ready("team").await?;
    let credential = world.token_ready("alice").await?;
    let caller = caller_of_service(&world, "team", &credential).await?;

    let answer = caller.chat("default", "hello").await?;

    ensure!(answer.text()?.contains("hello"), "{answer:?}");
    let models = caller.get("/v1/models").await?;
    ensure!(models.body["data"][0]["id"] == json!("echo"), "{models:?}");
    let used = |token: &ProxyToken| {
        let usage = token.status.as_ref().and_then(|status| status.usage.as_ref());
        usage.is_some_and(|usage| usage.requests == 1 && usage.tokens > 0 && usage.last_used.is_some())
    };
    world.until("alice", used).await?;
    Ok(())
}

#[tokio::test]
async fn the_example_of_the_readme_is_accepted_as_it_stands() -> Result<()> {
    let world = World::new("examples").await?;
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/../docs/examples");

    let printed = vibectl_tests::tools::kubectl_output(
        &world.kubeconfig,
        &["create", "--dry-run=server", "--validate=strict", "-f", folder, "-o", "name"],
    );

    // The namespace of the example does not exist in a dry run: the objects in it are refused for that reason only.
    let text = match printed {
        Ok(text) => text,
        Err(error) => format!("{error:#}"),
    };
    ensure!(!text.contains("unknown field") && !text.contains("Invalid value"), "{text}");
    Ok(())
}

#[tokio::test]
async fn a_plaintext_proxy_gives_a_credential_without_a_ca() -> Result<()> {
    let world = World::new("plaintext").await?;
    world.apply(&echo_proxy("open", 1, "{plaintext: {}}"))?;
    world.apply(&token("bob", "open"))?;
    world.proxy_ready("open").await?;

    let credential = world.token_ready("bob").await?;

    ensure!(
        credential.ca.is_none() && credential.url.starts_with("vibectl-server-insecure://"),
        "{}",
        credential.url
    );
    let answer = caller_of_service(&world, "open", &credential).await?.chat("echo", "hello").await?;
    ensure!(answer.text()?.contains("hello"), "{answer:?}");
    Ok(())
}
