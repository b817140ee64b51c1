//! Every mode of TLS changes to every other on a live proxy.

use std::time::Instant;

use anyhow::{Result, ensure};
use k8s_openapi::api::apps::v1::Deployment;
use k8s_openapi::api::core::v1::Secret;
use kube::ResourceExt as _;
use kube::api::ListParams;
use rcgen::{BasicConstraints, CertificateParams, DnType, IsCa, Issuer, KeyPair};
use tokio::time::sleep;
use vibectl_operator::cert_manager::Certificate;
use vibectl_tests::cert_manager::CertManager;
use vibectl_tests::install;
use vibectl_tests::world::{Follower, PATIENCE, World};

use crate::cert_manager::{CA_ISSUER, service};
use crate::objects::{caller_of_service, echo_proxy, token};

/// What the spec says, and what the Deployment says once it is in force.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Mode {
    PrivateCa,
    SelfSigned,
    CertManager,
    Secret,
}

use Mode::{PrivateCa, SelfSigned};

/// From the first on, each of the twelve ways once.
const WAY: [Mode; 13] = [
    PrivateCa,
    SelfSigned,
    PrivateCa,
    Mode::CertManager,
    PrivateCa,
    Mode::Secret,
    SelfSigned,
    Mode::CertManager,
    SelfSigned,
    Mode::Secret,
    Mode::CertManager,
    Mode::Secret,
    PrivateCa,
];

impl Mode {
    fn spec(self) -> &'static str {
        match self {
            PrivateCa => "{privateCa: {}}",
            SelfSigned => "{selfSigned: {}}",
            Self::CertManager => "{certManager: {issuerRef: {name: internal-ca}, privateKey: {}}}",
            Self::Secret => "{secret: {name: own}}",
        }
    }

    fn in_force(self) -> &'static str {
        match self {
            PrivateCa => "privateCa",
            SelfSigned => "selfSigned in team-self-signed",
            Self::CertManager => "certManager in team-serving",
            Self::Secret => "secret own",
        }
    }

    /// The Secret that the operator or cert-manager makes for it.
    fn secret(self) -> Option<&'static str> {
        match self {
            PrivateCa => Some("team-ca-key"),
            SelfSigned => Some("team-self-signed"),
            Self::CertManager => Some("team-serving"),
            Self::Secret => None,
        }
    }
}

/// By server-side apply, which would leave behind what a schema had filled in.
fn choose(world: &World, mode: Mode) -> Result<()> {
    let manifest = echo_proxy("team", 1, mode.spec());
    let manifest =
        manifest.replace("{name: team}", &format!("{{name: team, namespace: {}}}", world.namespace));
    install::apply_server_side(&world.kubeconfig, &manifest)
}

/// A CA and a leaf of the user's own.
fn put_own_pair(world: &World) -> Result<()> {
    let (ca_key, key) = (KeyPair::generate()?, KeyPair::generate()?);
    let mut ca = CertificateParams::default();
    ca.distinguished_name.push(DnType::CommonName, "own");
    ca.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let root = ca.self_signed(&ca_key)?;
    let mut leaf = CertificateParams::new(vec![format!("team.{}.svc", world.namespace)])?;
    leaf.use_authority_key_identifier_extension = true;
    let leaf = leaf.signed_by(&key, &Issuer::new(ca, ca_key))?;
    let secret = serde_json::json!({
        "apiVersion": "v1", "kind": "Secret", "type": "kubernetes.io/tls", "metadata": {"name": "own"},
        "stringData": {"tls.crt": leaf.pem(), "tls.key": key.serialize_pem(), "ca.crt": root.pem()},
    });
    world.apply(&secret.to_string())
}

/// Until the pods are those of this mode, and nothing is left of the others.
async fn in_force(world: &World, mode: Mode) -> Result<()> {
    let secured = |deployment: &Deployment| {
        let status = deployment.status.clone().unwrap_or_default();
        deployment.annotations().get("vibectl.dev/tls").is_some_and(|by| by == mode.in_force())
            && status.observed_generation == deployment.metadata.generation
            && (status.updated_replicas, status.replicas, status.ready_replicas)
                == (Some(1), Some(1), Some(1))
    };
    world.until("team", secured).await?;
    let started = Instant::now();
    loop {
        let secrets = world.api::<Secret>().list(&ListParams::default()).await?;
        let others = [PrivateCa, SelfSigned, Mode::CertManager].into_iter().filter(|other| *other != mode);
        let left: Vec<_> = others
            .filter_map(Mode::secret)
            .filter(|name| secrets.items.iter().any(|secret| secret.name_any() == *name))
            .collect();
        let ordered = world.api::<Certificate>().get_opt("team-serving").await?.is_some();
        if left.is_empty() && ordered == (mode == Mode::CertManager) {
            return Ok(());
        }
        ensure!(started.elapsed() < PATIENCE, "in mode {mode:?} {left:?} are left, a Certificate: {ordered}");
        sleep(std::time::Duration::from_millis(100)).await;
    }
}

#[tokio::test]
async fn every_mode_changes_to_every_other_and_no_call_of_a_client_that_follows_its_secret_fails()
-> Result<()> {
    let world = World::new("modes").await?;
    let _cert_manager = CertManager::start(&world.kubeconfig, &world.namespace)?;
    world.apply(CA_ISSUER)?;
    put_own_pair(&world)?;
    choose(&world, PrivateCa)?;
    world.apply(&token("alice", "team"))?;
    world.proxy_ready("team").await?;
    world.token_ready("alice").await?;
    let follower = Follower::of(&world, "alice").await?;
    let (address, port) = service(&world, "team").await?;
    let calls = follower.call(address, port);

    let started = Instant::now();
    for mode in WAY.into_iter().skip(1) {
        choose(&world, mode)?;
        in_force(&world, mode).await?;
    }

    println!(
        "{} changes of the mode in {:?}; {} calls meanwhile, none failed",
        WAY.len() - 1,
        started.elapsed(),
        calls.finish().await?
    );
    plaintext_and_back(&world).await
}

/// Clients have to change how they call; what they need is in the Secret.
async fn plaintext_and_back(world: &World) -> Result<()> {
    for tls in ["{plaintext: {}}", "{privateCa: {}}"] {
        let manifest = echo_proxy("team", 1, tls)
            .replace("{name: team}", &format!("{{name: team, namespace: {}}}", world.namespace));
        install::apply_server_side(&world.kubeconfig, &manifest)?;
        let by = if tls.contains("plaintext") { "plaintext" } else { "privateCa" };
        let started = Instant::now();
        world
            .until("team", |deployment: &Deployment| {
                deployment.annotations().get("vibectl.dev/tls").is_some_and(|found| found == by)
            })
            .await?;
        loop {
            let credential = world.token_ready("alice").await?;
            let caller = caller_of_service(world, "team", &credential).await?;
            if caller.chat("echo", "hello").await.is_ok_and(|answer| answer.status.is_success())
                && credential.ca.is_none() == tls.contains("plaintext")
            {
                break;
            }
            ensure!(started.elapsed() < PATIENCE, "no answer with {tls}");
            sleep(std::time::Duration::from_millis(200)).await;
        }
    }
    Ok(())
}
