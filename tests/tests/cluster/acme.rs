//! `tls.acme` with a real Pebble: the operator orders once for all replicas, and the pods answer.

use std::net::IpAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};
use k8s_openapi::api::core::v1::{ConfigMap, Secret, Service};
use kube::api::ListParams;
use kube::{Api, ResourceExt as _};
use tokio::task::JoinHandle;
use tokio::time::sleep;
use vibectl_operator::api::conditions::{ConditionType, find};
use vibectl_operator::api::llm_proxy::LlmProxy;
use vibectl_tests::cluster::{Layout, Name};
use vibectl_tests::install;
use vibectl_tests::world::{Caller, Credential, PACE, PATIENCE, World};

use crate::cert_manager::{reason, service};
use crate::objects::{echo_proxy, token};
use crate::pebble::{Options, Pebble};

/// What Let's Encrypt looks at.
const PUBLIC_PORTS: [u16; 2] = [80, 443];

/// An ACME server on this machine's end of the link into the cluster, which asks the cluster's DNS; none in somebody else's
/// cluster, which does not lead here.
pub(crate) fn pebble(world: &World, options: Options) -> Result<Option<Pebble>> {
    let layout = Layout::new(Name::Test)?;
    if world.kubeconfig != layout.kubeconfig() {
        return Ok(None);
    }
    let options = Options {
        address: layout.outer_address().to_string(),
        dns: Some(format!("{}:53", layout.node_address())),
        challenge_ports: Some(PUBLIC_PORTS),
        ..options
    };
    let pebble = Pebble::with(&options);
    trust(world, &pebble)?;
    Ok(Some(pebble))
}

/// The Secret `pebble-ca` with the CA of the ACME server's own address.
fn trust(world: &World, pebble: &Pebble) -> Result<()> {
    let file = format!("--from-file=ca.crt={}", pebble.ca_file());
    world.kubectl(&["create", "secret", "generic", "pebble-ca", &file]).map(drop)
}

/// The name of the challenge's Service of the proxy `team`: the one name that leads from Pebble to the pods.
pub(crate) fn host(world: &World) -> String {
    format!("team-acme.{}.svc.cluster.local", world.namespace)
}

pub(crate) fn tls(pebble: &Pebble, challenge: &str, more: &str) -> String {
    let directory = pebble.directory();
    format!(
        "{{acme: {{email: a@b.example, termsOfServiceAgreed: true, directoryUrl: \"{directory}\", \
         caBundle: {{name: pebble-ca, key: ca.crt}}, challenge: {challenge}{more}}}}}"
    )
}

/// The proxy `team` with the host.
pub(crate) fn proxy(world: &World, replicas: u32, tls: &str) -> String {
    let hosts = format!("spec: {{hosts: [{}], ", host(world));
    echo_proxy("team", replicas, tls).replace("spec: {", &hosts)
}

/// Calls in a loop, each call with a handshake of its own, until told to stop; a failed call ends it with an error.
struct Calls {
    stop: Arc<AtomicBool>,
    task: JoinHandle<Result<usize>>,
}

impl Calls {
    fn start(credential: &Credential, (address, port): (IpAddr, u16)) -> Result<Self> {
        let caller = Caller::afresh(credential, address, port)?;
        let stop = Arc::new(AtomicBool::new(false));
        let stopped = Arc::clone(&stop);
        let task = tokio::spawn(async move {
            let mut calls = 0;
            while !stopped.load(Ordering::Relaxed) {
                let answer = caller.chat("echo", "hello").await.with_context(|| format!("call {calls}"))?;
                ensure!(answer.status.is_success(), "call {calls}: {answer:?}");
                calls += 1;
                sleep(PACE).await;
            }
            Ok(calls)
        });
        Ok(Self { stop, task })
    }

    async fn finish(self) -> Result<usize> {
        self.stop.store(true, Ordering::Relaxed);
        self.task.await?
    }
}

/// The credential of alice, with what vouches for Pebble's certificates: it is no public CA.
async fn credential(world: &World, pebble: &Pebble) -> Result<Credential> {
    let credential = world.token_ready("alice").await?;
    ensure!(credential.ca.is_none(), "a CA where a public one vouches");
    Ok(Credential { ca: Some(pebble.root().await), ..credential })
}

/// The Secrets with accounts and orders of this proxy.
pub(crate) async fn own_secrets(world: &World, proxy: &LlmProxy) -> Result<Vec<Secret>> {
    let own: Api<Secret> = Api::namespaced(world.client.clone(), install::NAMESPACE);
    let uid = proxy.uid().context("no UID")?;
    let list = own.list(&ListParams::default().labels(&format!("vibectl.dev/proxy-uid={uid}"))).await?;
    Ok(list.items.into_iter().filter(|secret| secret.name_any().starts_with("acme-")).collect())
}

fn message(proxy: &LlmProxy) -> String {
    let conditions = proxy.status.as_ref().map(|status| status.conditions.as_slice()).unwrap_or_default();
    find(conditions, ConditionType::CertificateReady).map(|it| it.message.clone()).unwrap_or_default()
}

#[tokio::test]
async fn h03_three_replicas_that_start_together_make_one_order_by_http_01() -> Result<()> {
    let world = World::new("acme-http").await?;
    let Some(pebble) = pebble(&world, Options::default())? else { return Ok(()) };
    let started = Instant::now();
    world.apply(&proxy(&world, 3, &tls(&pebble, "http-01", "")))?;
    world.apply(&token("alice", "team"))?;

    let ready = world.proxy_ready("team").await?;
    println!("http-01: 3 replicas ready {:?} after the LlmProxy was applied", started.elapsed());

    ensure!((pebble.orders(), pebble.accounts()) == (1, 1), "{}", pebble.process.output());
    let credential = credential(&world, &pebble).await?;
    ensure!(credential.host == host(&world), "{}", credential.url);
    let (address, port) = service(&world, "team").await?;
    let answer = Caller::at(&credential, address, port)?.chat("echo", "hello").await?;
    ensure!(answer.text()?.contains("hello"), "{answer:?}");
    ensure!(reason(&ready) == "Issued", "{}", message(&ready));
    answers_are_gone(&world).await?;
    keys_stay_where_they_belong(&world, &ready).await?;

    // Pods that start later, and an operator that starts again, find everything there.
    world.kubectl(&["delete", "pod", "-l", "vibectl.dev/proxy=team", "--wait=false"])?;
    world.apply(&proxy(&world, 2, &tls(&pebble, "http-01", "")))?;
    world.proxy_ready("team").await?;
    ensure!(pebble.orders() == 1, "{}", pebble.process.output());
    Ok(())
}

/// Once the certificate is there, nothing is answered any more.
async fn answers_are_gone(world: &World) -> Result<()> {
    let empty = |map: &ConfigMap| map.data.as_ref().is_some_and(|data| data["answers.json"] == "[]");
    world.until("team-acme", empty).await.map(drop)
}

/// Account and order are in the operator's namespace; the pods' namespace has the pair alone.
async fn keys_stay_where_they_belong(world: &World, proxy: &LlmProxy) -> Result<()> {
    let kept = own_secrets(world, proxy).await?;
    let keys: Vec<_> =
        kept.iter().flat_map(|secret| secret.data.iter().flatten()).map(|(key, _)| key).collect();
    ensure!(keys == ["account", "certificate", "history", "settings"], "{keys:?}");
    let pair = world.api::<Secret>().get("team-acme").await?;
    let keys: Vec<_> = pair.data.iter().flatten().map(|(key, _)| key.as_str()).collect();
    ensure!(keys == ["tls.crt", "tls.key"], "{keys:?}");
    Ok(())
}

#[tokio::test]
async fn l03_by_tls_alpn_01_renewals_reach_running_pods_and_no_call_fails() -> Result<()> {
    let world = World::new("acme-alpn").await?;
    let options = Options { validity_seconds: 60, ..Options::default() };
    let Some(pebble) = pebble(&world, options)? else { return Ok(()) };
    let started = Instant::now();
    world.apply(&proxy(&world, 2, &tls(&pebble, "tls-alpn-01", "")))?;
    world.apply(&token("alice", "team"))?;
    world.proxy_ready("team").await?;
    println!("tls-alpn-01: 2 replicas ready {:?} after the LlmProxy was applied", started.elapsed());
    let credential = credential(&world, &pebble).await?;
    let pods = world.pods("team").await?;
    let place = service(&world, "team").await?;
    let calls = Calls::start(&credential, place)?;

    let caller = Caller::afresh(&credential, place.0, place.1)?;
    for _ in 0..2 {
        let before = caller.certificate().await?;
        let waiting = Instant::now();
        while caller.certificate().await? == before {
            ensure!(waiting.elapsed() < PATIENCE, "no renewal: {}", pebble.process.output());
            sleep(Duration::from_millis(100)).await;
        }
    }

    println!(
        "2 renewals of a certificate of a minute; {} calls meanwhile, none failed",
        calls.finish().await?
    );
    let names = |pods: &[k8s_openapi::api::core::v1::Pod]| {
        pods.iter().map(kube::ResourceExt::name_any).collect::<Vec<_>>()
    };
    ensure!(names(&world.pods("team").await?) == names(&pods), "a pod was replaced");
    ensure!(pebble.accounts() == 1, "{}", pebble.process.output());
    let events = world.kubectl(&["get", "events", "-o", "jsonpath={.items[*].reason}"])?;
    ensure!(events.contains("CertificateIssued") && events.contains("CertificateRenewed"), "{events}");
    Ok(())
}

#[tokio::test]
async fn a_live_proxy_changes_to_acme_without_a_failed_call_and_back_leaves_nothing_behind() -> Result<()> {
    let world = World::new("acme-switch").await?;
    let Some(pebble) = pebble(&world, Options::default())? else { return Ok(()) };
    world.apply(&proxy(&world, 1, "{privateCa: {}}"))?;
    world.apply(&token("alice", "team"))?;
    world.proxy_ready("team").await?;
    let private = world.token_ready("alice").await?;
    // Who trusts both and calls by the host, which both certificates have, must not notice anything.
    let both = format!("{}{}", private.ca.clone().context("no CA")?, pebble.root().await);
    let credential = Credential { ca: Some(both), host: host(&world), ..private };
    let place = service(&world, "team").await?;
    let calls = Calls::start(&credential, place)?;

    world.apply(&proxy(&world, 1, &tls(&pebble, "http-01", "")))?;
    let issued = |proxy: &LlmProxy| reason(proxy) == "Issued" && message(proxy).contains("good until");
    let changed = world.proxy_ready("team").await?;
    world.until("team", issued).await?;
    let started = Instant::now();
    while own_secrets(&world, &changed).await?.is_empty()
        || world.api::<Secret>().get_opt("team-ca-key").await?.is_some()
    {
        ensure!(started.elapsed() < PATIENCE, "the private CA is still there");
        sleep(Duration::from_millis(100)).await;
    }
    ensure!(pebble.orders() == 1, "{}", pebble.process.output());
    println!("from privateCa to acme: {} calls meanwhile, none failed", calls.finish().await?);

    world.apply(&proxy(&world, 1, "{privateCa: {}}"))?;
    let started = Instant::now();
    loop {
        let left = [
            !own_secrets(&world, &changed).await?.is_empty(),
            world.api::<Secret>().get_opt("team-acme").await?.is_some(),
            world.api::<ConfigMap>().get_opt("team-acme").await?.is_some(),
            world.api::<Service>().get_opt("team-acme").await?.is_some(),
        ];
        if left == [false; 4] {
            break;
        }
        ensure!(started.elapsed() < PATIENCE, "account, pair, answers, Service are left: {left:?}");
        sleep(Duration::from_millis(100)).await;
    }
    world.proxy_ready("team").await.map(drop)
}

#[tokio::test]
async fn h13_what_the_acme_server_complains_of_is_told_and_mended_without_waiting() -> Result<()> {
    let world = World::new("acme-refused").await?;
    let key = "zWNDZM6eQGHWpSRTPal5eIUYFTu7EajVIoguysqZ9wG44nMEtx3MUAsUDkMTQ12W";
    let options = Options { external: vec![("kid-1", key)], ..Options::default() };
    let Some(pebble) = pebble(&world, options)? else { return Ok(()) };
    world.apply(&proxy(&world, 1, &tls(&pebble, "http-01", "")))?;

    let told = world.until("team", |proxy: &LlmProxy| reason(proxy) == "IssuanceFailed").await?;
    let why = message(&told);
    ensure!(why.contains("wants an external account") && why.contains("next attempt at"), "{why}");
    ensure!(pebble.orders() == 0, "{}", pebble.process.output());

    world.kubectl(&["create", "secret", "generic", "account", &format!("--from-literal=hmac={key}")])?;
    let account = ", externalAccount: {keyId: kid-1, key: {name: account, key: hmac}}";
    let mended = Instant::now();
    world.apply(&proxy(&world, 1, &tls(&pebble, "http-01", account)))?;
    world.proxy_ready("team").await?;

    ensure!(
        mended.elapsed() < Duration::from_secs(45),
        "it waited for the next attempt: {:?}",
        mended.elapsed()
    );
    Ok(())
}
