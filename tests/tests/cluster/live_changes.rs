//! Changes that reach running pods without a restart and without a failed call.

use std::time::{Duration, Instant};

use anyhow::{Result, bail, ensure};
use reqwest::StatusCode;
use tokio::time::sleep;
use vibectl_tests::cluster;
use vibectl_tests::world::{Caller, Credential, PATIENCE, World};

use crate::objects::{Loop, caller_of_service, callers_of_pods, model_server, token};

const PROXY: &str = "
apiVersion: vibectl.dev/v1alpha1
kind: LlmProxy
metadata: {name: team}
spec:
  replicas: 2
  tls: {privateCa: {}}
  providers:
  - {name: local, openai: {baseUrl: 'http://models.NAMESPACE.svc:8000/v1', apiKey: {name: key, key: api-key}}}
  models:
  - {name: small, routes: [{provider: local, model: FIRST}]}
";

struct Scene {
    world: World,
    credential: Credential,
}

async fn scene(purpose: &str) -> Result<Scene> {
    let world = World::new(purpose).await?;
    world.apply(&model_server(&cluster::box_image()?))?;
    world.kubectl(&["create", "secret", "generic", "key", "--from-literal=api-key=first-key"])?;
    world.apply(&proxy(&world, "llama"))?;
    world.apply(&token("alice", "team"))?;
    world.kubectl(&["rollout", "status", "deployment/models", "--timeout=60s"])?;
    world.proxy_ready("team").await?;
    let credential = world.token_ready("alice").await?;
    Ok(Scene { world, credential })
}

fn proxy(world: &World, model: &str) -> String {
    PROXY.replace("NAMESPACE", &world.namespace).replace("FIRST", model)
}

impl Scene {
    /// How long until each pod answers with this text.
    async fn everywhere(&self, text: &str) -> Result<Duration> {
        let changed = Instant::now();
        for caller in callers_of_pods(&self.world, "team", &self.credential).await? {
            until_text(&caller, text, changed).await?;
        }
        Ok(changed.elapsed())
    }

    fn pod_names(&self) -> Result<String> {
        self.world.kubectl(&["get", "pods", "-l", "app.kubernetes.io/instance=team", "-o", "name"])
    }
}

async fn until_text(caller: &Caller, text: &str, since: Instant) -> Result<()> {
    loop {
        let answer = caller.chat("small", "hello").await?;
        if answer.text()? == text {
            return Ok(());
        }
        if since.elapsed() > PATIENCE {
            bail!("still {answer:?}, not {text}");
        }
        sleep(Duration::from_millis(20)).await;
    }
}

#[tokio::test]
async fn a_new_provider_key_and_a_new_route_are_in_force_without_a_restart() -> Result<()> {
    let scene = scene("live").await?;
    scene.everywhere("llama with first-key").await?;
    let pods = scene.pod_names()?;
    let calls = Loop::start(caller_of_service(&scene.world, "team", &scene.credential).await?, "small");

    scene.world.kubectl(&[
        "patch",
        "secret",
        "key",
        "--patch",
        "{\"stringData\":{\"api-key\":\"second-key\"}}",
    ])?;
    println!("a new provider key: {:?}", scene.everywhere("llama with second-key").await?);
    scene.world.apply(&proxy(&scene.world, "mistral"))?;
    println!("a new route: {:?}", scene.everywhere("mistral with second-key").await?);

    println!("{} calls meanwhile, none failed", calls.finish().await?);
    ensure!(scene.pod_names()? == pods, "pods were replaced");
    Ok(())
}

#[tokio::test]
async fn a_changed_limit_is_in_force_without_a_restart() -> Result<()> {
    let scene = scene("limit").await?;
    let callers = callers_of_pods(&scene.world, "team", &scene.credential).await?;
    ensure!(callers[0].chat("small", "hello").await?.status == StatusCode::OK);

    let patch = "{\"spec\":{\"limits\":{\"maxInputLength\":3}}}";
    scene.world.kubectl(&["patch", "llmproxy", "team", "--type", "merge", "--patch", patch])?;

    let changed = Instant::now();
    for caller in &callers {
        while caller.chat("small", "hello").await?.status == StatusCode::OK {
            ensure!(changed.elapsed() < PATIENCE, "the limit is not in force");
            sleep(Duration::from_millis(20)).await;
        }
    }
    println!("a new limit: {:?}", changed.elapsed());
    Ok(())
}

#[tokio::test]
async fn a_change_of_the_pod_template_rolls_two_replicas_without_a_failed_call() -> Result<()> {
    let scene = scene("roll").await?;
    scene.everywhere("llama with first-key").await?;
    let pods = scene.pod_names()?;
    let calls = Loop::start(caller_of_service(&scene.world, "team", &scene.credential).await?, "small");

    scene.world.kubectl(&["create", "secret", "generic", "other", "--from-literal=api-key=other-key"])?;
    scene.world.apply(
        &proxy(&scene.world, "llama").replace("{name: key, key: api-key}", "{name: other, key: api-key}"),
    )?;
    scene.world.proxy_ready("team").await?;
    let started = Instant::now();
    while scene.everywhere("llama with other-key").await.is_err() {
        ensure!(started.elapsed() < PATIENCE, "the new key is not in force");
    }

    println!("{} calls meanwhile, none failed", calls.finish().await?);
    ensure!(scene.pod_names()? != pods, "no pod was replaced: did the template change?");
    Ok(())
}
