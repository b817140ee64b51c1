//! Without cert-manager. Others rely on the definitions that are taken away here.

use std::time::Instant;

use anyhow::{Result, ensure};
use vibectl_operator::api::llm_proxy::LlmProxy;
use vibectl_tests::cert_manager::{CertManager, remove_definitions};
use vibectl_tests::world::World;

use crate::cert_manager::{CA_ISSUER, reason};
use crate::objects::{caller_of_service, echo_proxy, token};

#[tokio::test]
async fn a_missing_cert_manager_is_told_and_heals_when_it_appears() -> Result<()> {
    let world = World::alone("no-cert-manager").await?;
    remove_definitions(&world.kubeconfig)?;
    world.apply(&echo_proxy("team", 1, "{certManager: {issuerRef: {name: internal-ca}}}"))?;
    world.apply(&token("alice", "team"))?;
    let told = world.until("team", |proxy: &LlmProxy| reason(proxy) == "CertManagerNotFound").await?;
    ensure!(
        told.status.is_some_and(|status| status.ready_replicas == 0),
        "a pod is ready without a certificate"
    );

    let cert_manager = CertManager::start(&world.kubeconfig, &world.namespace)?;
    world.apply(CA_ISSUER)?;
    let installed = Instant::now();
    world.proxy_ready("team").await?;
    println!("ready {:?} after cert-manager was installed", installed.elapsed());

    let credential = world.token_ready("alice").await?;
    let answer = caller_of_service(&world, "team", &credential).await?.chat("echo", "hello").await?;
    ensure!(answer.text()?.contains("hello"), "{answer:?}");
    drop(cert_manager);
    Ok(())
}
