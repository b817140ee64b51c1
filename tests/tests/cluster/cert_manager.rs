//! `tls.certManager` with a real cert-manager: from its absence to the renewal that running pods take up.

use std::net::{IpAddr, SocketAddr};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};
use k8s_openapi::api::core::v1::{Secret, Service};
use kube::Api;
use kube::runtime::wait::await_condition;
use rustls_pki_types::CertificateDer;
use rustls_pki_types::pem::PemObject as _;
use tokio::time::{sleep, timeout};
use vibectl_operator::api::conditions::{ConditionType, find};
use vibectl_operator::api::llm_proxy::LlmProxy;
use vibectl_operator::cert_manager::Certificate;
use vibectl_tests::cert_manager::CertManager;
use vibectl_tests::world::{Caller, Follower, PATIENCE, World};

use crate::objects::{POD_PORT, echo_proxy, pod_address, token, until_reachable};

/// A CA that cert-manager makes for itself, as in docs/examples/cert-manager-ca.yaml.
pub(crate) const CA_ISSUER: &str = "
apiVersion: cert-manager.io/v1
kind: Issuer
metadata: {name: bootstrap}
spec: {selfSigned: {}}
---
apiVersion: cert-manager.io/v1
kind: Certificate
metadata: {name: internal-ca}
spec:
  isCA: true
  commonName: internal-ca
  secretName: internal-ca
  privateKey: {algorithm: ECDSA}
  issuerRef: {name: bootstrap}
---
apiVersion: cert-manager.io/v1
kind: Issuer
metadata: {name: internal-ca}
spec: {ca: {secretName: internal-ca}}
";

/// Renewed twenty seconds after each issuance.
const SHORT: &str = "{certManager: {issuerRef: {name: internal-ca}, duration: 1h, renewBefore: 59m40s}}";

pub(crate) fn reason(proxy: &LlmProxy) -> String {
    let conditions = proxy.status.as_ref().map(|status| status.conditions.as_slice()).unwrap_or_default();
    find(conditions, ConditionType::CertificateReady).map(|it| it.reason.clone()).unwrap_or_default()
}

/// Address and port of the proxy's Service, once it leads to a pod.
pub(crate) async fn service(world: &World, name: &str) -> Result<(IpAddr, u16)> {
    let spec = world.api::<Service>().get(name).await?.spec.context("a Service without a spec")?;
    let port = spec.ports.as_deref().and_then(<[_]>::first).context("a Service without a port")?.port;
    let address = spec.cluster_ip.context("a Service without an address")?.parse()?;
    let port = u16::try_from(port)?;
    until_reachable(SocketAddr::new(address, port)).await?;
    Ok((address, port))
}

#[tokio::test]
async fn l03_a_renewal_by_cert_manager_reaches_running_pods_and_no_call_fails() -> Result<()> {
    let world = World::new("renewed").await?;
    let _cert_manager = CertManager::start(&world.kubeconfig, &world.namespace)?;
    world.apply(CA_ISSUER)?;
    world.apply(&echo_proxy("team", 2, SHORT))?;
    world.apply(&token("alice", "team"))?;
    world.proxy_ready("team").await?;
    world.token_ready("alice").await?;
    let pods = world.pods("team").await?;
    let follower = Follower::of(&world, "alice").await?;
    let (address, port) = service(&world, "team").await?;
    let calls = follower.call(address, port);

    let mut slowest = Duration::ZERO;
    for _ in 0..2 {
        let callers: Vec<_> = pods
            .iter()
            .map(|pod| Caller::afresh(&follower.credential(), pod_address(pod)?, POD_PORT))
            .collect::<Result<_>>()?;
        let mut former = Vec::new();
        for caller in &callers {
            former.push(caller.certificate().await?);
        }
        next_certificate(&world).await?;
        let before = Instant::now();
        for (caller, former) in callers.iter().zip(&former) {
            // This renewal or, where everything is slow, already the one after it.
            while caller.certificate().await? == *former {
                ensure!(before.elapsed() < PATIENCE, "a pod does not serve the renewed certificate");
                sleep(Duration::from_millis(20)).await;
            }
        }
        slowest = slowest.max(before.elapsed());
    }

    println!(
        "a renewal by cert-manager is served by 2 pods after {slowest:?} at most; {} calls meanwhile, none failed",
        calls.finish().await?
    );
    let names = |pods: &[k8s_openapi::api::core::v1::Pod]| {
        pods.iter().filter_map(|pod| pod.metadata.name.clone()).collect::<Vec<_>>()
    };
    ensure!(names(&world.pods("team").await?) == names(&pods), "a pod was replaced");
    gone_with_the_mode(&world).await
}

/// Waits for the next change of the serving Secret; gives the new leaf, DER.
async fn next_certificate(world: &World) -> Result<Vec<u8>> {
    let secrets: Api<Secret> = world.api();
    let leaf = |secret: &Secret| {
        let pem = secret.data.as_ref().and_then(|data| data.get("tls.crt")).map(|value| value.0.clone());
        pem.unwrap_or_default()
    };
    let before = leaf(&secrets.get("team-serving").await?);
    let changed = |secret: Option<&Secret>| secret.is_some_and(|secret| leaf(secret) != before);
    let secret = timeout(PATIENCE, await_condition(secrets, "team-serving", changed)).await??;
    let pem = secret.map(|secret| leaf(&secret)).context("the Secret has gone")?;
    let mut certificates = CertificateDer::pem_slice_iter(&pem);
    Ok(certificates.next().context("an empty tls.crt")??.to_vec())
}

/// Another mode leaves neither the Certificate nor its Secret behind.
async fn gone_with_the_mode(world: &World) -> Result<()> {
    world.apply(&echo_proxy("team", 2, "{privateCa: {}}"))?;
    let (certificates, secrets) = (world.api::<Certificate>(), world.api::<Secret>());
    let started = Instant::now();
    while certificates.get_opt("team-serving").await?.is_some()
        || secrets.get_opt("team-serving").await?.is_some()
    {
        ensure!(started.elapsed() < PATIENCE, "what cert-manager made is still there");
        sleep(Duration::from_millis(100)).await;
    }
    world.proxy_ready("team").await?;
    Ok(())
}
