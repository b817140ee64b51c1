//! The examples that stand for the demonstrations of the Python server, as they are, with its released client.

use std::net::SocketAddr;
use std::process::Command;

use anyhow::{Context as _, Result, ensure};
use k8s_openapi::api::core::v1::{Node, Service};
use kube::Api;
use kube::api::ListParams;
use vibectl_tests::cluster::{Layout, Name};
use vibectl_tests::command::{command, run};
use vibectl_tests::world::World;
use vibectl_tests::{install, tools};

use crate::objects::until_reachable;
use crate::pebble::{Options, Pebble};
use crate::real_client::{HostName, Person};

/// An example of `docs/examples`, in the namespace of the test.
fn example(world: &World, name: &str) -> Result<String> {
    let path = format!("{}/../docs/examples/{name}", env!("CARGO_MANIFEST_DIR"));
    let text = std::fs::read_to_string(&path).with_context(|| format!("failed to read {path}"))?;
    let namespaced = text.replace("namespace: ai\n", &format!("namespace: {}\n", world.namespace));
    Ok(namespaced.replace(".ai.svc", &format!(".{}.svc", world.namespace)))
}

/// The image that the operator was told to run.
fn server_image(world: &World) -> Result<String> {
    let path = "jsonpath={.spec.template.spec.containers[0].args}";
    let arguments = ["-n", install::NAMESPACE, "get", "deployment", install::RELEASE, "-o", path];
    let args: Vec<String> = serde_json::from_str(&tools::kubectl_output(&world.kubeconfig, &arguments)?)?;
    let image = args.iter().find_map(|arg| arg.strip_prefix("--server-image="));
    Ok(image.context("no image")?.to_owned())
}

async fn node_address(world: &World) -> Result<String> {
    let nodes = Api::<Node>::all(world.client.clone()).list(&ListParams::default()).await?;
    let addresses = nodes.items.into_iter().filter_map(|node| node.status?.addresses).flatten();
    let internal = addresses.into_iter().find(|address| address.type_ == "InternalIP");
    Ok(internal.context("no node with an address")?.address)
}

#[tokio::test]
async fn the_private_ca_demonstration_works_through_a_node_port() -> Result<()> {
    let world = World::new("demo").await?;
    let node = node_address(&world).await?;
    world.apply(&example(&world, "demo-private-ca.yaml")?.replace("192.0.2.10", &node))?;
    world.proxy_ready("demo").await?;
    let credential = world.token_ready("demo-user").await?;
    let ports =
        world.api::<Service>().get("demo").await?.spec.and_then(|spec| spec.ports).unwrap_or_default();
    let port = ports.first().and_then(|port| port.node_port).context("no node port")?;
    until_reachable(SocketAddr::new(node.parse()?, u16::try_from(port)?)).await?;

    let person = Person::new(&world)?;
    let (jwt, ca) = person.keep_credential(&credential)?;
    let url = format!("vibectl-server://{node}:{port}");
    let told = person.vibectl(&[
        "setup-proxy",
        "configure",
        "demo",
        &url,
        "--jwt-path",
        &jwt,
        "--ca-bundle",
        &ca,
        "--activate",
    ])?;

    ensure!(told.contains("Connection test successful"), "{told}");
    Ok(())
}

#[tokio::test]
async fn the_plain_manifests_work_without_the_operator() -> Result<()> {
    let world = World::new("plain").await?;
    let folder = tempfile::tempdir()?;
    let (certificate, key) = (folder.path().join("ca.crt"), folder.path().join("ca.key"));
    let mut openssl = command("openssl");
    openssl.args([
        "req",
        "-x509",
        "-newkey",
        "ec",
        "-pkeyopt",
        "ec_paramgen_curve:P-256",
        "-nodes",
        "-days",
        "3650",
    ]);
    openssl.args(["-subj", "/CN=llm CA", "-addext", "basicConstraints=critical,CA:TRUE,pathlen:0"]);
    openssl.args(["-addext", "keyUsage=critical,keyCertSign,cRLSign", "-keyout"]);
    run(openssl.arg(&key).arg("-out").arg(&certificate))?;
    let files =
        [("--cert", &certificate), ("--key", &key)].map(|(flag, path)| format!("{flag}={}", path.display()));
    world.kubectl(&["create", "secret", "tls", "llm-ca", &files[0], &files[1]])?;
    let secret = run(Command::new("openssl").args(["rand", "-base64", "32"]))?;
    let secret = format!("--from-literal=jwt-secret={}", secret.trim());
    world.kubectl(&["create", "secret", "generic", "llm-jwt", &secret])?;

    let image = server_image(&world)?;
    world.apply(
        &example(&world, "without-operator.yaml")?.replace("vibectl.dev/vibectl-server:latest", &image),
    )?;
    world.kubectl(&["rollout", "status", "deployment/llm", "--timeout=90s"])?;
    let generate = ["generate-token", "alice", "--expires-in", "1d"];
    let jwt = world.kubectl(
        &[&["exec", "deploy/llm", "-c", "server", "--", "/vibectl-server"], &generate[..]].concat(),
    )?;

    let service = world.api::<Service>().get("llm").await?;
    let address = service.spec.and_then(|spec| spec.cluster_ip).context("no address")?;
    until_reachable(SocketAddr::new(address.parse()?, 50051)).await?;
    let host = format!("llm.{}.svc", world.namespace);
    let _name = HostName::add(&address, &host)?;
    let person = Person::new(&world)?;
    let jwt = person.keep("alice.jwt", jwt.trim())?;
    let (url, ca) = (format!("vibectl-server://{host}:50051"), certificate.display().to_string());
    let told = person.vibectl(&[
        "setup-proxy",
        "configure",
        "llm",
        &url,
        "--jwt-path",
        &jwt,
        "--ca-bundle",
        &ca,
        "--activate",
    ])?;

    ensure!(told.contains("Connection test successful"), "{told}");
    Ok(())
}

/// The Services and the endpoint by which the cluster knows a Pebble on this machine.
async fn pebble_in_the_cluster(world: &World, pebble: &Pebble) -> Result<()> {
    let address = Layout::new(Name::Test)?.outer_address();
    let port = pebble.port;
    world.apply(&format!(
        "{{apiVersion: v1, kind: Service, metadata: {{name: pebble}}, spec: {{ports: [{{name: acme, port: 14000}}]}}}}\n---\n\
         {{apiVersion: discovery.k8s.io/v1, kind: EndpointSlice, addressType: IPv4, ports: [{{name: acme, port: {port}, protocol: TCP}}], \
         endpoints: [{{addresses: [\"{address}\"]}}], metadata: {{name: pebble-1, labels: {{kubernetes.io/service-name: pebble}}}}}}"
    ))?;
    let service = world.api::<Service>().get("pebble").await?.spec.and_then(|spec| spec.cluster_ip);
    until_reachable(SocketAddr::new(service.context("no address")?.parse()?, 14000)).await
}

/// The example with a name that leads from Pebble to this Service, called by the released client.
async fn acme_demonstration(world: &World, file: &str, challenged: &str) -> Result<()> {
    let names = vec![format!("pebble.{}.svc", world.namespace)];
    let Some(pebble) = crate::acme::pebble(world, Options { names, ..Options::default() })? else {
        return Ok(());
    };
    pebble_in_the_cluster(world, &pebble).await?;
    let host = format!("{challenged}.{}.svc.cluster.local", world.namespace);
    world.apply(&example(world, file)?.replace("llm.example.org", &host))?;
    world.proxy_ready("demo").await?;
    let credential = world.token_ready("demo-user").await?;
    ensure!(credential.url == format!("vibectl-server://{host}:443"), "{}", credential.url);

    let address = world.api::<Service>().get("demo").await?.spec.and_then(|spec| spec.cluster_ip);
    let address = address.context("no address")?;
    until_reachable(SocketAddr::new(address.parse()?, 443)).await?;
    let _name = HostName::add(&address, &host)?;
    let person = Person::new(world)?;
    let jwt = person.keep("demo.jwt", &credential.token)?;
    let root = person.keep("root.crt", &pebble.root().await)?;
    let files = ["--jwt-path", &jwt, "--ca-bundle", &root, "--activate"];
    let told =
        person.vibectl(&[&["setup-proxy", "configure", "demo", &credential.url], &files[..]].concat())?;

    ensure!(told.contains("Connection test successful"), "{told}");
    ensure!(pebble.orders() == 1, "{}", pebble.process.output());
    Ok(())
}

#[tokio::test]
async fn the_acme_demonstration_with_http_01_works_with_pebble() -> Result<()> {
    let world = World::new("demo-http").await?;
    acme_demonstration(&world, "demo-acme-http-01.yaml", "demo-acme").await
}

#[tokio::test]
async fn the_acme_demonstration_with_tls_alpn_01_works_with_pebble() -> Result<()> {
    let world = World::new("demo-alpn").await?;
    acme_demonstration(&world, "demo-acme-tls-alpn-01.yaml", "demo").await
}
