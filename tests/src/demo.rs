//! `make demo`: the whole idea, watched by a newcomer. Each step prints the command that a person would type.

mod call;
mod wait;

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, Result, bail};

use crate::cluster::{self, Layout, Name};
use crate::images::{self, Built, Profile};
use crate::install;
use crate::progress::say;
use crate::tools;

const EXAMPLE: &str = "docs/examples/quickstart.yaml";
const NAMESPACE: &str = "ai";
const PROXY: &str = "team";
const TOKEN: &str = "alice";

/// Brings everything up and calls it.
///
/// # Errors
/// When a step fails; the text says which and what to do next.
pub async fn run() -> Result<()> {
    // The slow things first, so that their progress is on the screen and nothing later has to wait.
    let images = images::build(Profile::Release)?;
    let kubeconfig = cluster::up(Name::Demo)?;
    load(&kubeconfig, &images)?;
    say("installing the chart charts/vibectl-operator into namespace vibectl-system");
    install::chart(&kubeconfig, &images, &[])?;
    wait::rollout(&kubeconfig, install::NAMESPACE, install::RELEASE)?;
    say(format_args!("$ kubectl apply -f {EXAMPLE}"));
    kubectl(&kubeconfig, &["apply", "-f", EXAMPLE])?;
    wait::ready(&kubeconfig, "llmproxy", PROXY)?;
    wait::ready(&kubeconfig, "proxytoken", TOKEN)?;
    let secret = call::Credential::read(&kubeconfig, TOKEN)?;
    let forward = call::Forward::start(&kubeconfig, PROXY, secret.port)?;
    call::grpc(&secret, &forward).await?;
    call::http(&secret, &forward).await?;
    wait::used(&kubeconfig, TOKEN)?;
    say("$ kubectl -n ai get llmproxies,proxytokens");
    print(&kubectl(&kubeconfig, &["-n", NAMESPACE, "get", "llmproxies,proxytokens"])?)?;
    print(&next_steps(&kubeconfig)?)
}

/// Takes down what [`run`] left running.
///
/// # Errors
/// When the embedded cluster cannot be removed, or the example cannot be deleted from the user's own.
pub fn down() -> Result<()> {
    if std::env::var_os("KUBECONFIG").is_none() {
        return cluster::down(Name::Demo);
    }
    let kubeconfig = cluster::up(Name::Demo)?;
    kubectl(&kubeconfig, &["delete", "--ignore-not-found", "-f", EXAMPLE])?;
    let mut helm = Command::new(tools::helm()?);
    helm.env("KUBECONFIG", &kubeconfig).args([
        "uninstall",
        install::RELEASE,
        "--namespace",
        install::NAMESPACE,
    ]);
    if !helm.status().context("failed to start helm")?.success() {
        bail!("helm could not uninstall {}; its words are above", install::RELEASE);
    }
    say(
        "the CustomResourceDefinitions stay; delete them with: kubectl delete crd llmproxies.vibectl.dev proxytokens.vibectl.dev",
    );
    Ok(())
}

fn load(kubeconfig: &Path, images: &[Built]) -> Result<()> {
    if kubeconfig == Layout::new(Name::Demo)?.kubeconfig() {
        let archives: Vec<PathBuf> = images.iter().map(|image| image.archive.clone()).collect();
        return cluster::load(Name::Demo, &archives);
    }
    let context = kubectl(kubeconfig, &["config", "current-context"])?;
    let Some(name) = context.trim().strip_prefix("kind-") else {
        say(
            "your own cluster must know the images first: docs/images.md tells how to load dist/images/*.tar",
        );
        return Ok(());
    };
    for image in images {
        let mut kind = Command::new("kind");
        kind.args(["load", "image-archive", "--name", name]).arg(&image.archive);
        if !kind.status().context("failed to start kind")?.success() {
            bail!("kind could not load {}; its words are above", image.archive.display());
        }
    }
    Ok(())
}

fn kubectl(kubeconfig: &Path, arguments: &[&str]) -> Result<String> {
    tools::kubectl_output(kubeconfig, arguments)
}

fn print(text: &str) -> Result<()> {
    use std::io::Write as _;
    Ok(writeln!(std::io::stdout(), "\n{}", text.trim_end())?)
}

fn next_steps(kubeconfig: &Path) -> Result<String> {
    let folder = tools::kubectl()?.parent().map(Path::to_path_buf).unwrap_or_default();
    Ok(format!(
        "It goes on running. Look around:\n\n  \
         export KUBECONFIG={} PATH={}:$PATH\n  \
         kubectl -n ai get llmproxies,proxytokens,pods,secrets\n  \
         kubectl -n ai describe llmproxy team\n  \
         kubectl -n ai patch proxytoken alice --type merge -p '{{\"spec\":{{\"limits\":{{\"requestsPerMinute\":2}}}}}}'\n  \
         kubectl -n ai delete proxytoken alice       # its token is refused within two seconds\n\n\
         Take it away again with: make demo-down",
        kubeconfig.display(),
        folder.display()
    ))
}
