//! What a proxy pod holds, and what it does not.

use anyhow::{Context as _, Result, ensure};
use k8s_openapi::api::core::v1::Pod;
use vibectl_tests::world::World;

use crate::objects::echo_proxy;

async fn pod(world: &World) -> Result<Pod> {
    world.apply(&echo_proxy("team", 1, "{privateCa: {}}"))?;
    world.proxy_ready("team").await?;
    world.pods("team").await?.pop().context("no pod")
}

#[tokio::test]
async fn a_pod_has_no_kubernetes_credential_and_the_ca_key_is_mounted_in_one_container() -> Result<()> {
    let world = World::new("spec").await?;

    let spec = pod(&world).await?.spec.context("no spec")?;

    ensure!(spec.automount_service_account_token == Some(false), "a service account token is mounted");
    let volumes = spec.volumes.unwrap_or_default();
    let tokens = volumes
        .iter()
        .filter_map(|volume| volume.projected.as_ref())
        .flat_map(|all| all.sources.iter().flatten());
    ensure!(tokens.into_iter().all(|source| source.service_account_token.is_none()), "a projected token");
    let secret_volumes = |wanted: &str| {
        let of_secret = |volume: &&k8s_openapi::api::core::v1::Volume| {
            volume.secret.as_ref().and_then(|secret| secret.secret_name.as_deref()) == Some(wanted)
        };
        volumes.iter().filter(of_secret).map(|volume| volume.name.clone()).collect::<Vec<_>>()
    };
    let ca = secret_volumes("team-ca-key");
    ensure!(ca.len() == 1, "the CA key is in {ca:?}");
    let server_mounts = spec.containers.iter().flat_map(|container| container.volume_mounts.iter().flatten());
    ensure!(server_mounts.into_iter().all(|mount| !ca.contains(&mount.name)), "the server mounts the CA key");
    Ok(())
}

/// The pod's own processes' view, read through `/proc/PID/root` of each process whose cgroup belongs to the pod.
#[tokio::test]
async fn the_server_process_sees_neither_the_ca_key_nor_a_kubernetes_credential() -> Result<()> {
    let world = World::new("view").await?;
    let pod = pod(&world).await?;
    let host = pod.metadata.name.context("a pod without a name")?;

    let mut servers = 0;
    for process in std::fs::read_dir("/proc")?.flatten() {
        let path = process.path();
        let command = std::fs::read_to_string(path.join("cmdline")).unwrap_or_default();
        let environment = std::fs::read_to_string(path.join("environ")).unwrap_or_default();
        let of_pod = environment.split('\0').any(|variable| variable == format!("HOSTNAME={host}"));
        if !of_pod || !command.starts_with("/vibectl-server\0serve") {
            continue;
        }
        servers += 1;
        let root = path.join("root");
        ensure!(root.join("etc/vibectl/tls/tls.crt").exists(), "this is not the server's view: {command:?}");
        ensure!(!root.join("etc/vibectl/ca").exists(), "the CA is in the server's view");
        ensure!(!root.join("var/run/secrets").exists(), "a Kubernetes credential is in the server's view");
    }

    ensure!(
        servers == 1 || std::env::var_os("KUBECONFIG").is_some(),
        "{servers} server processes on this machine"
    );
    Ok(())
}

#[tokio::test]
async fn all_pods_run_where_restricted_is_enforced() -> Result<()> {
    let world = World::new("restricted").await?;
    pod(&world).await?;

    for namespace in [world.namespace.as_str(), vibectl_tests::install::NAMESPACE] {
        let label = "jsonpath={.metadata.labels.pod-security\\.kubernetes\\.io/enforce}";
        let level = world.kubectl(&["get", "namespace", namespace, "-o", label])?;
        ensure!(level == "restricted", "{namespace} enforces {level:?}");
    }
    Ok(())
}
