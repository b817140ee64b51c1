//! Callers of a former server, the Python original, with the tokens that it gave them.

use std::process::Command;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail, ensure};
use jiff::{SignedDuration, Timestamp};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition;
use reqwest::StatusCode;
use serde_json::json;
use tokio::time::sleep;
use vibectl_operator::api::conditions::{ConditionType, find};
use vibectl_operator::api::{LlmProxy, ProxyToken};
use vibectl_tests::world::{Credential, PATIENCE, World};
use vibectl_tests::{command, python};

use crate::objects::{callers_of_pods, token};

const SECRET: &str = "a-secret-of-more-than-32-characters-for-tests";

/// What the released server's own command makes with the secret.
fn original_token(subject: &str) -> Result<String> {
    let home = tempfile::tempdir()?;
    let file = home.path().join("token.jwt");
    let program = python::environment("venv-vibectl-client", &["vibectl==0.11.6"])?.join("vibectl-server");
    let mut original = Command::new(program);
    original
        .env_clear()
        .env("HOME", home.path())
        .env("PATH", "/usr/bin:/bin")
        .env("VIBECTL_JWT_SECRET", SECRET);
    command::run(original.args(["generate-token", subject, "--expires-in", "30d", "--output"]).arg(&file))?;
    Ok(std::fs::read_to_string(file)?.trim().to_owned())
}

fn keep_secret(world: &World, content: &str) -> Result<()> {
    let secret = json!({
        "apiVersion": "v1", "kind": "Secret", "metadata": {"name": "former-server"},
        "stringData": {"jwt-secret": content},
    });
    world.apply(&secret.to_string())
}

fn proxy(until: Timestamp) -> String {
    let migration = json!({
        "secret": {"name": "former-server", "key": "jwt-secret"},
        "subjects": [{"subject": "dev-user", "token": "alice"}, {"subject": "old-bot", "token": "nobody"}],
        "until": until.to_string(),
    });
    json!({
        "apiVersion": "vibectl.dev/v1alpha1", "kind": "LlmProxy", "metadata": {"name": "team"},
        "spec": {"replicas": 2, "access": {"migration": migration}},
    })
    .to_string()
}

/// Waits until the condition has this reason, and gives its message.
async fn migrating(world: &World, reason: &str) -> Result<String> {
    let condition = |proxy: &LlmProxy| -> Option<Condition> {
        find(&proxy.status.as_ref()?.conditions, ConditionType::Migrating).cloned()
    };
    let holds = |proxy: &LlmProxy| condition(proxy).is_some_and(|condition| condition.reason == reason);
    let proxy = world.until("team", holds).await?;
    Ok(condition(&proxy).context("no condition")?.message)
}

/// Waits until each replica answers a call with this status.
async fn answers(world: &World, credential: &Credential, token: &str, status: StatusCode) -> Result<()> {
    let credential = Credential { token: token.to_owned(), ..credential.clone() };
    for caller in callers_of_pods(world, "team", &credential).await? {
        let started = Instant::now();
        loop {
            let answer = caller.chat("echo", "hello").await?.status;
            if answer == status {
                break;
            }
            if started.elapsed() > PATIENCE {
                bail!("{answer} instead of {status}");
            }
            sleep(Duration::from_millis(50)).await;
        }
    }
    Ok(())
}

#[tokio::test]
async fn a06_a08_a_token_of_the_originals_own_generate_token_is_accepted_for_its_proxy_token_until_the_day_that_is_said()
-> Result<()> {
    let world = World::new("migration").await?;
    let [known, unmapped, unlisted] = ["dev-user", "old-bot", "stranger"].map(original_token);
    let (known, unmapped, unlisted) = (known?, unmapped?, unlisted?);
    keep_secret(&world, SECRET)?;
    world.apply(&token("alice", "team"))?;
    let until = Timestamp::now() + SignedDuration::from_hours(1);
    world.apply(&proxy(until))?;
    world.proxy_ready("team").await?;
    let credential = world.token_ready("alice").await?;

    let message = migrating(&world, "MigrationEnding").await?;
    ensure!(message.contains("old-bot (nobody)") && !message.contains("dev-user"), "{message}");
    answers(&world, &credential, &known, StatusCode::OK).await?;
    answers(&world, &credential, &credential.token, StatusCode::OK).await?;
    answers(&world, &credential, &unmapped, StatusCode::UNAUTHORIZED).await?;
    answers(&world, &credential, &unlisted, StatusCode::UNAUTHORIZED).await?;
    let counted = |token: &ProxyToken| {
        let usage = token.status.as_ref().and_then(|status| status.usage.as_ref());
        usage.is_some_and(|usage| usage.requests == 4)
    };
    world.until("alice", counted).await?;

    keep_secret(&world, "short")?;
    let message = migrating(&world, "SecretInvalid").await?;
    ensure!(message.contains("less than 32 bytes"), "{message}");
    answers(&world, &credential, &known, StatusCode::UNAUTHORIZED).await?;
    keep_secret(&world, SECRET)?;
    answers(&world, &credential, &known, StatusCode::OK).await?;

    world.apply(&proxy(Timestamp::now() + SignedDuration::from_secs(3)))?;
    let message = migrating(&world, "MigrationEnded").await?;
    ensure!(message.contains("remove spec.access.migration"), "{message}");
    answers(&world, &credential, &known, StatusCode::UNAUTHORIZED).await?;
    answers(&world, &credential, &credential.token, StatusCode::OK).await?;
    let reasons = world.kubectl(&["get", "events", "-o", "jsonpath={.items[*].reason}"])?;
    ensure!(reasons.contains("MigrationEnding") && reasons.contains("MigrationEnded"), "{reasons}");
    Ok(())
}
