//! A real cert-manager: its definitions in the cluster, its controller as a process of the test that looks at one namespace.
//!
//! Without its webhook, which only checks and converts what people write. A controller for each namespace lets tests run side by
//! side, and end theirs without an effect on others.

use std::{
    fs::{self, File},
    path::Path,
    process::{Child, Command, Stdio},
};

use anyhow::{Context as _, Result};

use crate::{cache, install, tools};

/// The definitions that cert-manager needs to start.
const DEFINITIONS: &str = "crd/certificates.cert-manager.io";

/// A running controller; it ends when this is dropped.
pub struct CertManager {
    process: Child,
}

impl CertManager {
    /// Installs the definitions where they are missing, and starts a controller for the namespace.
    ///
    /// # Errors
    /// When it cannot be built or started.
    pub fn start(kubeconfig: &Path, namespace: &str) -> Result<Self> {
        install_definitions(kubeconfig)?;
        let logs = cache::folder()?.join("logs");
        fs::create_dir_all(&logs).with_context(|| format!("failed to make {}", logs.display()))?;
        let log = File::create(logs.join(format!("cert-manager-{namespace}.log")))?;
        let process = Command::new(tools::cert_manager()?)
            .arg(format!("--kubeconfig={}", kubeconfig.display()))
            .arg(format!("--namespace={namespace}"))
            .args(["--leader-elect=false", "--metrics-listen-address=127.0.0.1:0"])
            .stdin(Stdio::null())
            .stdout(log.try_clone()?)
            .stderr(log)
            .spawn()
            .context("failed to start cert-manager")?;
        Ok(Self { process })
    }
}

impl Drop for CertManager {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// Makes the API server serve `cert-manager.io`.
///
/// # Errors
/// When a definition is refused.
pub fn install_definitions(kubeconfig: &Path) -> Result<()> {
    let folder = tools::cert_manager_definitions()?;
    for entry in fs::read_dir(&folder).with_context(|| format!("failed to list {}", folder.display()))? {
        let path = entry?.path();
        if path.extension().is_some_and(|extension| extension == "yaml") {
            let text = fs::read_to_string(&path)?;
            // Templates of its chart, in labels only.
            let plain: Vec<_> = text.lines().filter(|line| !line.contains("{{")).collect();
            // Too large for the annotation of a client-side apply.
            install::apply_server_side(kubeconfig, &plain.join("\n"))?;
        }
    }
    let wait = ["wait", "--for=condition=Established", "--timeout=30s", DEFINITIONS];
    tools::kubectl_output(kubeconfig, &wait).map(drop)
}

/// Takes them away, and every object of these kinds with them.
///
/// # Errors
/// When the API server refuses it.
pub fn remove_definitions(kubeconfig: &Path) -> Result<()> {
    let folder = tools::cert_manager_definitions()?;
    for entry in fs::read_dir(&folder)? {
        let name = entry?.file_name().to_string_lossy().into_owned();
        let Some(plural) = name.strip_prefix("crd-").and_then(|name| name.strip_suffix(".yaml")) else {
            continue;
        };
        let group = if matches!(plural, "orders" | "challenges") {
            "acme.cert-manager.io"
        } else {
            "cert-manager.io"
        };
        let definition = format!("crd/{plural}.{group}");
        tools::kubectl_output(kubeconfig, &["delete", "--ignore-not-found", &definition])?;
    }
    Ok(())
}
