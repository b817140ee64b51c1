//! Installs the chart with the images of this tree into a cluster.

use std::path::Path;
use std::process::Command;

use anyhow::{Context as _, Result, bail};

use crate::images::Built;
use crate::tools;

/// The release that the demo and the tests install.
pub const RELEASE: &str = "vibectl-operator";
/// The operator's namespace.
pub const NAMESPACE: &str = "vibectl-system";

/// Installs or upgrades the release; `values` are further `--set` arguments.
///
/// # Errors
/// When helm fails; its own words are in the text.
pub fn chart(kubeconfig: &Path, images: &[Built], values: &[&str]) -> Result<()> {
    restricted_namespace(kubeconfig, NAMESPACE)?;
    let mut helm = Command::new(tools::helm()?);
    helm.env("KUBECONFIG", kubeconfig);
    helm.args(["upgrade", "--install", RELEASE, "charts/vibectl-operator", "--namespace", NAMESPACE]);
    helm.current_dir(Path::new(env!("CARGO_MANIFEST_DIR")).join(".."));
    for (prefix, image) in [("image", "vibectl-operator"), ("serverImage", "vibectl-server")] {
        let (repository, tag) = repository_and_tag(images, image)?;
        helm.args([
            "--set",
            &format!("{prefix}.repository={repository}"),
            "--set",
            &format!("{prefix}.tag={tag}"),
        ]);
    }
    for value in values {
        helm.args(["--set", value]);
    }
    let output = helm.output().context("failed to start helm")?;
    if !output.status.success() {
        bail!("helm upgrade --install failed:\n{}", String::from_utf8_lossy(&output.stderr));
    }
    Ok(())
}

/// Makes a namespace whose pods must pass the `restricted` Pod Security standard, unless it is there.
///
/// # Errors
/// When the API server refuses it.
pub fn restricted_namespace(kubeconfig: &Path, name: &str) -> Result<()> {
    let manifest = format!(
        "{{apiVersion: v1, kind: Namespace, metadata: {{name: {name}, \
         labels: {{pod-security.kubernetes.io/enforce: restricted}}}}}}"
    );
    apply(kubeconfig, &manifest)
}

/// `kubectl apply -f -` of the text.
///
/// # Errors
/// When the API server refuses it; its own words are in the text.
pub fn apply(kubeconfig: &Path, manifest: &str) -> Result<()> {
    apply_into(kubeconfig, None, manifest)
}

/// The same, for objects that name no namespace.
///
/// # Errors
/// When the API server refuses it; its own words are in the text.
pub fn apply_into(kubeconfig: &Path, namespace: Option<&str>, manifest: &str) -> Result<()> {
    let namespace: Vec<_> = namespace.into_iter().flat_map(|namespace| ["--namespace", namespace]).collect();
    apply_with(kubeconfig, &namespace, manifest)
}

/// The same by server-side apply.
///
/// # Errors
/// When the API server refuses it; its own words are in the text.
pub fn apply_server_side(kubeconfig: &Path, manifest: &str) -> Result<()> {
    apply_with(kubeconfig, &["--server-side"], manifest)
}

fn apply_with(kubeconfig: &Path, arguments: &[&str], manifest: &str) -> Result<()> {
    use std::io::Write as _;
    let mut child = Command::new(tools::kubectl()?)
        .env("KUBECONFIG", kubeconfig)
        .args(["apply", "-f", "-"])
        .args(arguments)
        .stdin(std::process::Stdio::piped())
        .stdout(std::process::Stdio::null())
        .stderr(std::process::Stdio::piped())
        .spawn()
        .context("failed to start kubectl")?;
    child.stdin.take().context("no standard input")?.write_all(manifest.as_bytes())?;
    let output = child.wait_with_output()?;
    if !output.status.success() {
        bail!("kubectl apply failed: {}", String::from_utf8_lossy(&output.stderr).trim());
    }
    Ok(())
}

fn repository_and_tag<'a>(images: &'a [Built], name: &str) -> Result<(&'a str, &'a str)> {
    let image = images.iter().find(|image| image.name == name);
    let reference = &image.with_context(|| format!("no image {name} was built"))?.reference;
    reference.rsplit_once(':').with_context(|| format!("{reference} has no tag"))
}
