//! What each end-to-end test starts from: a restricted namespace of its own in a cluster where the operator of this tree runs.

mod caller;
mod credential;
mod follower;

pub use caller::{Answer, Caller};
pub use credential::Credential;
pub use follower::{Follower, Following};

use std::fmt::Debug;
use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context as _, Result, bail};
use k8s_openapi::NamespaceResourceScope;
use k8s_openapi::api::core::v1::{Pod, Secret};
use kube::api::ListParams;
use kube::runtime::wait::await_condition;
use kube::{Api, Client, Resource};
use serde::de::DeserializeOwned;
use tokio::sync::{OnceCell, RwLock, RwLockReadGuard, RwLockWriteGuard};
use vibectl_operator::api::conditions::{ConditionType, is_true};
use vibectl_operator::api::llm_proxy::LlmProxy;
use vibectl_operator::api::proxy_token::ProxyToken;

use crate::cluster::{self, Layout, Name};
use crate::images::{self, Profile};
use crate::{install, tools};

/// How long anything that the operator promises may take on a busy machine.
pub const PATIENCE: Duration = Duration::from_secs(90);

/// Between two calls of one loop. Without it the loops of tests that run side by side take the processors from what they look at.
pub const PACE: Duration = Duration::from_millis(10);

static INSTALLED: OnceCell<PathBuf> = OnceCell::const_new();

/// Tests share the operator; one that stops it has it alone.
static OPERATOR: RwLock<()> = RwLock::const_new(());

#[expect(dead_code, reason = "held, not read")]
enum Share {
    WithOthers(RwLockReadGuard<'static, ()>),
    Alone(RwLockWriteGuard<'static, ()>),
}

/// A namespace, deleted at the end.
pub struct World {
    /// For commands.
    pub kubeconfig: PathBuf,
    /// For everything else.
    pub client: Client,
    /// Enforces the `restricted` Pod Security standard.
    pub namespace: String,
    _share: Share,
}

impl World {
    /// Makes sure that the cluster runs and the operator is installed, once in a process, and makes a namespace.
    ///
    /// # Errors
    /// When any of it fails.
    pub async fn new(purpose: &str) -> Result<Self> {
        Self::make(purpose, Share::WithOthers(OPERATOR.read().await)).await
    }

    /// The same for a test that stops the operator: no other test of this process runs meanwhile.
    ///
    /// # Errors
    /// When any of it fails.
    pub async fn alone(purpose: &str) -> Result<Self> {
        Self::make(purpose, Share::Alone(OPERATOR.write().await)).await
    }

    async fn make(purpose: &str, share: Share) -> Result<Self> {
        let kubeconfig = INSTALLED.get_or_try_init(installed).await?.clone();
        let client = cluster::client_for_tests().await?;
        let namespace = format!("{purpose}-{}", std::process::id());
        install::restricted_namespace(&kubeconfig, &namespace)?;
        Ok(Self { kubeconfig, client, namespace, _share: share })
    }

    /// Objects of one kind in the namespace.
    pub fn api<K>(&self) -> Api<K>
    where
        K: Resource<Scope = NamespaceResourceScope>,
        K::DynamicType: Default,
    {
        Api::namespaced(self.client.clone(), &self.namespace)
    }

    /// `kubectl --namespace … ARGUMENTS`, and what it prints.
    ///
    /// # Errors
    /// When it fails; its own words are in the text.
    pub fn kubectl(&self, arguments: &[&str]) -> Result<String> {
        let all = [&["--namespace", self.namespace.as_str()], arguments].concat();
        tools::kubectl_output(&self.kubeconfig, &all)
    }

    /// `kubectl apply` into the namespace.
    ///
    /// # Errors
    /// When the API server refuses it; its own words are in the text.
    pub fn apply(&self, manifest: &str) -> Result<()> {
        install::apply_into(&self.kubeconfig, Some(&self.namespace), manifest)
    }

    /// Waits until the object fulfils the condition.
    ///
    /// # Errors
    /// After [`PATIENCE`], with what the object was then.
    pub async fn until<K>(&self, name: &str, holds: impl Fn(&K) -> bool + Send) -> Result<K>
    where
        K: Resource<Scope = NamespaceResourceScope> + Clone + Debug + DeserializeOwned + Send + 'static,
        K::DynamicType: Default,
    {
        let api = self.api::<K>();
        let condition = |object: Option<&K>| object.is_some_and(&holds);
        match tokio::time::timeout(PATIENCE, await_condition(api.clone(), name, condition)).await {
            Ok(found) => found?.with_context(|| format!("{name} was deleted meanwhile")),
            Err(_) => bail!("{name} did not get there; it is {:#?}", api.get_opt(name).await?),
        }
    }

    /// Waits until the `LlmProxy` is ready with all its replicas at its newest generation.
    ///
    /// # Errors
    /// After [`PATIENCE`].
    pub async fn proxy_ready(&self, name: &str) -> Result<LlmProxy> {
        self.until(name, |proxy: &LlmProxy| {
            proxy.status.as_ref().is_some_and(|status| {
                status.observed_generation == proxy.metadata.generation
                    && status.ready_replicas == proxy.spec.replicas
                    && is_true(&status.conditions, ConditionType::Ready)
            })
        })
        .await
    }

    /// Waits until the `ProxyToken` is ready, and reads its Secret.
    ///
    /// # Errors
    /// After [`PATIENCE`], or when the Secret lacks a key.
    pub async fn token_ready(&self, name: &str) -> Result<Credential> {
        let token = self
            .until(name, |token: &ProxyToken| {
                token.status.as_ref().is_some_and(|status| {
                    status.observed_generation == token.metadata.generation
                        && is_true(&status.conditions, ConditionType::Ready)
                })
            })
            .await?;
        let secret = token.status.and_then(|status| status.secret_name).context("ready without a Secret")?;
        Credential::from_secret(&self.api::<Secret>().get(&secret).await?)
    }

    /// The pods of a proxy that are ready and not on their way out.
    ///
    /// # Errors
    /// When the API server does not answer.
    pub async fn pods(&self, proxy: &str) -> Result<Vec<Pod>> {
        let of_proxy = ListParams::default().labels(&format!("app.kubernetes.io/instance={proxy}"));
        let pods = self.api::<Pod>().list(&of_proxy).await?;
        Ok(pods.items.into_iter().filter(is_serving).collect())
    }

    /// Waits until at least one pod of the proxy serves.
    ///
    /// # Errors
    /// After [`PATIENCE`].
    pub async fn pods_serving(&self, proxy: &str) -> Result<Vec<Pod>> {
        let started = std::time::Instant::now();
        loop {
            let pods = self.pods(proxy).await?;
            if !pods.is_empty() {
                return Ok(pods);
            }
            if started.elapsed() > PATIENCE {
                bail!("no pod of {proxy} serves");
            }
            tokio::time::sleep(Duration::from_millis(200)).await;
        }
    }
}

impl Drop for World {
    fn drop(&mut self) {
        // What is left behind by a failed deletion is in the cluster of this test run only.
        let _ = tools::kubectl_output(
            &self.kubeconfig,
            &["delete", "namespace", &self.namespace, "--wait=false", "--ignore-not-found"],
        );
    }
}

fn is_serving(pod: &Pod) -> bool {
    let conditions = pod.status.as_ref().and_then(|status| status.conditions.as_ref());
    let ready = conditions.is_some_and(|all| {
        all.iter().any(|condition| condition.type_ == "Ready" && condition.status == "True")
    });
    ready && pod.metadata.deletion_timestamp.is_none()
}

async fn installed() -> Result<PathBuf> {
    tokio::task::spawn_blocking(install_operator).await.context("failed to install the operator")?
}

fn install_operator() -> Result<PathBuf> {
    let kubeconfig = cluster::kubeconfig_for_tests()?;
    let images = images::build(profile())?;
    if kubeconfig == Layout::new(Name::Test)?.kubeconfig() {
        let archives: Vec<_> = images.iter().map(|image| image.archive.clone()).collect();
        cluster::load(Name::Test, &archives)?;
    }
    install::chart(&kubeconfig, &images, &["crds.keep=false", "tlsSwitchWait=3s"])?;
    let deployment = format!("deployment/{}", install::RELEASE);
    let arguments = ["-n", install::NAMESPACE, "rollout", "status", &deployment, "--timeout=120s"];
    tools::kubectl_output(&kubeconfig, &arguments)?;
    Ok(kubeconfig)
}

/// What is shipped, unless somebody is in a hurry: `VIBECTL_IMAGE_PROFILE=dev`.
fn profile() -> Profile {
    match std::env::var("VIBECTL_IMAGE_PROFILE").as_deref() {
        Ok("dev") => Profile::Dev,
        _ => Profile::Release,
    }
}
