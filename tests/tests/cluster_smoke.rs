//! The cluster does what a cluster must: it runs restricted pods with a native sidecar, and all ways in and around work.

use std::{
    io::{BufRead, BufReader, Read as _, Write as _},
    net::TcpStream,
    path::{Path, PathBuf},
    process::{Child, Stdio},
    time::Duration,
};

use anyhow::{Context as _, Result, bail, ensure};
use k8s_openapi::api::core::v1::Node;
use kube::{Api, api::ListParams};
use vibectl_tests::{
    cluster::{self, Layout, Name},
    command::command,
    install::NAMESPACE,
    tools::{self, kubectl_output},
};

const MANIFEST: &str = r#"
apiVersion: v1
kind: Service
metadata: {name: web}
spec:
  selector: {app: web}
  ports: [{port: 80, targetPort: 8080}]
---
apiVersion: apps/v1
kind: Deployment
metadata: {name: web}
spec:
  replicas: 2
  selector: {matchLabels: {app: web}}
  template:
    metadata: {labels: {app: web}}
    spec:
      securityContext: {runAsNonRoot: true, seccompProfile: {type: RuntimeDefault}}
      initContainers:
      - name: sidecar
        image: IMAGE
        restartPolicy: Always
        command: [/box, serve, ":8081"]
        startupProbe: {httpGet: {path: /, port: 8081}, periodSeconds: 1}
        securityContext: &locked
          {allowPrivilegeEscalation: false, readOnlyRootFilesystem: true, capabilities: {drop: [ALL]}}
      containers:
      - name: web
        image: IMAGE
        command: [/box, serve, ":8080"]
        readinessProbe: {httpGet: {path: /, port: 8080}, periodSeconds: 1}
        securityContext: *locked
"#;

/// A namespace that enforces `restricted`, deleted at the end.
struct Namespace {
    kubeconfig: PathBuf,
    name: String,
}

impl Namespace {
    fn create(kubeconfig: PathBuf) -> Result<Self> {
        let name = format!("smoke-{}", std::process::id());
        let namespace = Self { kubeconfig, name: name.clone() };
        namespace.kubectl(&["create", "namespace", &name])?;
        namespace.kubectl(&["label", "namespace", &name, "pod-security.kubernetes.io/enforce=restricted"])?;
        Ok(namespace)
    }

    fn kubectl(&self, arguments: &[&str]) -> Result<String> {
        let all = [&["--namespace", self.name.as_str()], arguments].concat();
        Ok(kubectl_output(&self.kubeconfig, &all)?.trim().to_owned())
    }

    fn apply(&self, manifest: &str) -> Result<()> {
        let mut child = command(tools::kubectl()?)
            .env("KUBECONFIG", &self.kubeconfig)
            .args(["--namespace", &self.name, "apply", "-f", "-"])
            .stdin(Stdio::piped())
            .spawn()?;
        child.stdin.take().context("no input")?.write_all(manifest.as_bytes())?;
        ensure!(child.wait()?.success(), "apply failed");
        Ok(())
    }
}

impl Drop for Namespace {
    fn drop(&mut self) {
        let _ = self.kubectl(&["delete", "namespace", &self.name, "--wait=false"]);
    }
}

struct Killed(Child);

impl Drop for Killed {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[test]
fn restricted_pods_with_a_native_sidecar_run_and_every_way_to_them_works() -> Result<()> {
    let namespace = Namespace::create(cluster::kubeconfig_for_tests()?)?;
    if !is_ours(&namespace.kubeconfig)? {
        // The image is only in our own clusters; another cluster has been proven by its makers.
        return Ok(());
    }

    namespace.apply(&MANIFEST.replace("IMAGE", &cluster::box_image()?))?;
    namespace.kubectl(&["rollout", "status", "deployment/web", "--timeout=60s"])?;

    let pods = namespace.kubectl(&["get", "pods", "-o", "jsonpath={.items[*].metadata.name}"])?;
    let pod = pods.split(' ').next().context("no pod")?;
    the_host_reaches_service_and_pods(&namespace, &pods)?;
    exec_reaches_names_and_services_inside(&namespace, pod)?;
    logs_show_what_the_probe_asked(&namespace, pod)?;
    a_forwarded_port_reaches_the_pod(&namespace, pod)
}

fn the_host_reaches_service_and_pods(namespace: &Namespace, pods: &str) -> Result<()> {
    let service = namespace.kubectl(&["get", "service", "web", "-o", "jsonpath={.spec.clusterIP}"])?;
    ensure!(pods.contains(&fetch(&format!("{service}:80"))?), "the Service does not answer");
    let addresses = namespace.kubectl(&["get", "pods", "-o", "jsonpath={.items[*].status.podIP}"])?;
    ensure!(addresses.split(' ').count() == 2, "not two pods: {addresses}");
    for address in addresses.split(' ') {
        ensure!(pods.contains(&fetch(&format!("{address}:8080"))?), "{address} does not answer");
    }
    Ok(())
}

fn exec_reaches_names_and_services_inside(namespace: &Namespace, pod: &str) -> Result<()> {
    let service = namespace.kubectl(&["get", "service", "web", "-o", "jsonpath={.spec.clusterIP}"])?;
    let name = format!("web.{}.svc.cluster.local", namespace.name);
    let resolved = namespace.kubectl(&["exec", pod, "-c", "web", "--", "/box", "resolve", &name])?;
    ensure!(resolved == service, "{name} is {resolved}");
    // Both pods are on this node, so some of these calls reach the caller itself.
    for _ in 0..6 {
        namespace.kubectl(&["exec", pod, "-c", "web", "--", "/box", "fetch", "http://web"])?;
    }
    Ok(())
}

fn logs_show_what_the_probe_asked(namespace: &Namespace, pod: &str) -> Result<()> {
    let logs = namespace.kubectl(&["logs", pod, "-c", "web"])?;
    ensure!(logs.contains("GET / from"), "no request in the log: {logs}");
    Ok(())
}

fn a_forwarded_port_reaches_the_pod(namespace: &Namespace, pod: &str) -> Result<()> {
    let child = command(tools::kubectl()?)
        .env("KUBECONFIG", &namespace.kubeconfig)
        .args(["--namespace", &namespace.name, "port-forward", pod, ":8080"])
        .stdout(Stdio::piped())
        .spawn()?;
    let mut child = Killed(child);
    let mut line = String::new();
    // Held to the end: kubectl dies of a broken pipe at its next message.
    let mut output = BufReader::new(child.0.stdout.take().context("no output")?);
    output.read_line(&mut line)?;
    // "Forwarding from 127.0.0.1:40123 -> 8080"
    let address = line.split(' ').nth(2).context("no address")?;
    ensure!(fetch(address)? == pod, "the forwarded port does not answer");
    Ok(())
}

#[test]
fn a_pod_that_is_not_restricted_is_refused() -> Result<()> {
    let kubeconfig = cluster::kubeconfig_for_tests()?;
    let name = format!("smoke-refused-{}", std::process::id());
    kubectl_output(&kubeconfig, &["create", "namespace", &name])?;
    let label = "pod-security.kubernetes.io/enforce=restricted";
    kubectl_output(&kubeconfig, &["label", "namespace", &name, label])?;

    let run = ["--namespace", &name, "run", "bare", "--image=any", "--dry-run=server"];
    let refused = kubectl_output(&kubeconfig, &run);

    kubectl_output(&kubeconfig, &["delete", "namespace", &name, "--wait=false"])?;
    let Err(error) = refused else { bail!("admitted") };
    ensure!(error.to_string().contains("violates PodSecurity"), "{error}");
    Ok(())
}

#[tokio::test]
async fn the_audit_log_shows_writes_and_of_the_reads_the_operators_alone() -> Result<()> {
    let client = cluster::client_for_tests().await?;
    let layout = Layout::new(Name::Test)?;
    if cluster::kubeconfig_for_tests()? != layout.kubeconfig() {
        return Ok(());
    }

    Api::<Node>::all(client).list(&ListParams::default()).await?;

    let log = std::fs::read_to_string(layout.audit_log())?;
    let events = log.lines().map(serde_json::from_str).collect::<Result<Vec<serde_json::Value>, _>>()?;
    ensure!(!events.is_empty(), "nothing was written");
    let reads = ["get", "list", "watch"];
    let mut read = events.iter().filter(|event| reads.contains(&event["verb"].as_str().unwrap_or_default()));
    let operator = format!("system:serviceaccount:{NAMESPACE}:vibectl-operator");
    let strange = read.find(|event| event["user"]["username"] != operator.as_str());
    ensure!(strange.is_none(), "{strange:?}");
    Ok(())
}

fn is_ours(kubeconfig: &Path) -> Result<bool> {
    Ok(Name::ALL
        .iter()
        .map(|&name| Layout::new(name))
        .collect::<Result<Vec<_>>>()?
        .iter()
        .any(|layout| layout.kubeconfig() == kubeconfig))
}

fn fetch(address: &str) -> Result<String> {
    let mut stream = TcpStream::connect_timeout(&address.parse()?, Duration::from_secs(5))?;
    stream.set_read_timeout(Some(Duration::from_secs(5)))?;
    stream.write_all(b"GET / HTTP/1.0\r\n\r\n")?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer)?;
    Ok(answer.split("\r\n\r\n").nth(1).context("no body")?.trim().to_owned())
}
