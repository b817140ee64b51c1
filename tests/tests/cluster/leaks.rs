//! No log, event, status or error shows a secret.

use anyhow::{Context as _, Result, ensure};
use k8s_openapi::api::core::v1::Secret;
use vibectl_tests::world::World;
use vibectl_tests::{cluster, install, tools};

use crate::objects::{caller_of_service, model_server, token};

const PLANTED: &str = "sk-planted-5f3c9a71e2";

#[tokio::test]
async fn nothing_that_is_printed_holds_a_token_or_a_key() -> Result<()> {
    let world = World::new("leaks").await?;
    world.apply(&model_server(&cluster::box_image()?))?;
    world.kubectl(&["create", "secret", "generic", "key", &format!("--from-literal=api-key={PLANTED}")])?;
    world.apply(&format!(
        "apiVersion: vibectl.dev/v1alpha1\nkind: LlmProxy\nmetadata: {{name: team}}\nspec:\n  providers:\n  \
         - {{name: p, openai: {{baseUrl: 'http://models.{}.svc:8000/v1', apiKey: {{name: key, key: api-key}}}}}}\n  \
         - {{name: nowhere, openai: {{baseUrl: 'http://models.{}.svc:1/v1', apiKey: {{name: key, key: api-key}}}}}}\n  models:\n  \
         - {{name: good, routes: [{{provider: p, model: m}}]}}\n  - {{name: failing, routes: [{{provider: nowhere, model: m}}]}}\n",
        world.namespace, world.namespace
    ))?;
    world.apply(&token("alice", "team"))?;
    world.proxy_ready("team").await?;
    let credential = world.token_ready("alice").await?;
    let caller = caller_of_service(&world, "team", &credential).await?;
    let failing = caller.chat("failing", "hello").await?;
    caller.chat("good", "hello").await?;
    caller.chat("absent", "hello").await?;

    let mut printed = vec![failing.body.to_string()];
    printed.push(world.kubectl(&[
        "logs",
        "-l",
        "app.kubernetes.io/instance=team",
        "--all-containers",
        "--tail=-1",
    ])?);
    printed.push(world.kubectl(&["get", "events", "-o", "yaml"])?);
    printed.push(world.kubectl(&[
        "get",
        "llmproxies,proxytokens,pods,deployments,configmaps",
        "-o",
        "yaml",
    ])?);
    let operator =
        ["-n", install::NAMESPACE, "logs", "-l", "app.kubernetes.io/name=vibectl-operator", "--tail=-1"];
    printed.push(tools::kubectl_output(&world.kubeconfig, &operator)?);

    let signature = credential.token.rsplit('.').next().context("not a token")?.to_owned();
    let mut secrets = vec![PLANTED.to_owned(), signature];
    let ca = world.api::<Secret>().get("team-ca-key").await?;
    let key = ca.data.and_then(|mut data| data.remove("tls.key")).context("no CA key")?;
    let key = String::from_utf8(key.0)?;
    secrets.push(key.lines().nth(1).context("not PEM")?.to_owned());
    for (place, text) in printed.iter().enumerate() {
        ensure!(!text.is_empty(), "place {place} printed nothing");
        for secret in &secrets {
            ensure!(
                !text.contains(secret.as_str()),
                "place {place} shows a secret of {} characters",
                secret.len()
            );
        }
    }
    Ok(())
}
