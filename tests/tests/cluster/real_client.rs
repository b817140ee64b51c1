//! The released Python client through the Service, with nothing but the contents of a ProxyToken's Secret.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::Command;

use anyhow::{Context as _, Result, ensure};
use k8s_openapi::api::core::v1::Service;
use vibectl_operator::api::proxy_token::ProxyToken;
use vibectl_tests::world::{Credential, World};
use vibectl_tests::{python, tools};

use crate::objects::{echo_proxy, token, until_reachable};

/// Somebody with a home of their own, a kubeconfig and the real `kubectl`.
pub(crate) struct Person {
    home: tempfile::TempDir,
    program: PathBuf,
    kubeconfig: PathBuf,
}

impl Person {
    pub(crate) fn new(world: &World) -> Result<Self> {
        Ok(Self {
            home: tempfile::tempdir()?,
            program: python::environment("venv-vibectl-client", &["vibectl==0.11.6"])?.join("vibectl"),
            kubeconfig: world.kubeconfig.clone(),
        })
    }

    /// Output and errors together, as at a terminal.
    pub(crate) fn vibectl(&self, arguments: &[&str]) -> Result<String> {
        let kubectl = tools::kubectl()?;
        let path = format!("{}:/usr/bin:/bin", kubectl.parent().unwrap_or(&kubectl).display());
        let mut vibectl = Command::new(&self.program);
        vibectl.env_clear().env("HOME", self.home.path()).env("PATH", path).env("COLUMNS", "200");
        let output = vibectl.env("KUBECONFIG", &self.kubeconfig).args(arguments).output()?;
        let text =
            [output.stdout, output.stderr].map(|part| String::from_utf8_lossy(&part).into_owned()).concat();
        ensure!(output.status.success(), "vibectl {arguments:?} failed: {text}");
        Ok(text)
    }

    /// Paths of the files with token and CA.
    pub(crate) fn keep_credential(&self, credential: &Credential) -> Result<(String, String)> {
        let ca = credential.ca.as_deref().context("no CA")?;
        Ok((self.keep("token.jwt", &credential.token)?, self.keep("ca.crt", ca)?))
    }

    pub(crate) fn keep(&self, name: &str, content: &str) -> Result<String> {
        let path = self.home.path().join(name);
        std::fs::write(&path, content)?;
        Ok(path.display().to_string())
    }
}

/// Tests that run side by side write the same table.
static TABLE: std::sync::Mutex<()> = std::sync::Mutex::new(());

/// The name in the certificate leads to the Service's address only inside the cluster; this host needs it in its own table.
pub(crate) struct HostName {
    line: String,
}

impl HostName {
    const TABLE: &str = "/etc/hosts";

    pub(crate) fn add(address: &str, name: &str) -> Result<Self> {
        let line = format!("{address} {name}\n");
        let _alone = TABLE.lock();
        let table = std::fs::read_to_string(Self::TABLE)?;
        std::fs::write(Self::TABLE, table + &line)?;
        Ok(Self { line })
    }
}

impl Drop for HostName {
    fn drop(&mut self) {
        let _alone = TABLE.lock();
        if let Ok(table) = std::fs::read_to_string(Self::TABLE) {
            let _ = std::fs::write(Self::TABLE, table.replace(&self.line, ""));
        }
    }
}

async fn host_name(world: &World, credential: &Credential) -> Result<HostName> {
    let service = world.api::<Service>().get("team").await?;
    let address = service.spec.and_then(|spec| spec.cluster_ip).context("the Service has no address")?;
    until_reachable(SocketAddr::new(address.parse()?, credential.port)).await?;
    HostName::add(&address, &credential.host)
}

#[tokio::test]
async fn the_released_client_works_with_the_contents_of_the_secret() -> Result<()> {
    let world = World::new("client").await?;
    world.apply(&echo_proxy("team", 1, "{privateCa: {}}"))?;
    world.apply(&token("alice", "team"))?;
    world.proxy_ready("team").await?;
    let credential = world.token_ready("alice").await?;
    let _name = host_name(&world, &credential).await?;
    let person = Person::new(&world)?;
    let (jwt, ca) = person.keep_credential(&credential)?;

    let files = ["--jwt-path", &jwt, "--ca-bundle", &ca];
    let configured =
        person.vibectl(&[&["setup-proxy", "configure", "team", &credential.url], &files[..]].concat())?;
    ensure!(configured.contains("Connection test successful"), "{configured}");
    let tested = person.vibectl(&["setup-proxy", "test"])?;
    ensure!(tested.contains("vibectl-llm-proxy") && tested.contains("echo"), "{tested}");
    let streamed =
        person.vibectl(&["--model", "echo", "get", "pods", "-n", &world.namespace, "--show-vibe"])?;
    ensure!(streamed.contains("team-"), "the summary does not speak of the pod: {streamed}");
    person.vibectl(&["--mode", "auto", "--model", "echo", "vibe", "list the pods"])?;

    // The streamed and the structured call are counted.
    let counted = |token: &ProxyToken| {
        let usage = token.status.as_ref().and_then(|status| status.usage.as_ref());
        usage.is_some_and(|usage| usage.requests >= 2)
    };
    world.until("alice", counted).await?;
    Ok(())
}
