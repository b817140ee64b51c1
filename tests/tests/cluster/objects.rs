//! Manifests that more than one test applies.

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};
use k8s_openapi::api::core::v1::{Pod, Service};
use reqwest::StatusCode;
use tokio::net::TcpStream;
use tokio::task::JoinHandle;
use tokio::time::sleep;
use vibectl_tests::world::{Caller, Credential, PACE, PATIENCE, World};

/// Port of the service in a pod, whatever the Service's port is.
pub(crate) const POD_PORT: u16 = 50051;

/// A proxy with the embedded echo model.
pub(crate) fn echo_proxy(name: &str, replicas: u32, tls: &str) -> String {
    format!(
        "{{apiVersion: vibectl.dev/v1alpha1, kind: LlmProxy, metadata: {{name: {name}}}, \
         spec: {{replicas: {replicas}, tls: {tls}}}}}"
    )
}

/// A token with nothing but defaults.
pub(crate) fn token(name: &str, proxy: &str) -> String {
    format!(
        "{{apiVersion: vibectl.dev/v1alpha1, kind: ProxyToken, metadata: {{name: {name}}}, \
         spec: {{proxyRef: {{name: {proxy}}}}}}}"
    )
}

/// A token for a service account of the same name.
pub(crate) fn service_account(name: &str, proxy: &str) -> String {
    format!(
        "{{apiVersion: vibectl.dev/v1alpha1, kind: ProxyToken, metadata: {{name: {name}}}, \
         spec: {{proxyRef: {{name: {proxy}}}, identity: {{serviceAccount: {{name: {name}}}}}}}}}"
    )
}

/// A model server that answers with the model and the key it was asked with.
pub(crate) fn model_server(image: &str) -> String {
    format!(
        r#"
apiVersion: v1
kind: Service
metadata: {{name: models}}
spec: {{selector: {{app: models}}, ports: [{{port: 8000}}]}}
---
apiVersion: apps/v1
kind: Deployment
metadata: {{name: models}}
spec:
  selector: {{matchLabels: {{app: models}}}}
  template:
    metadata: {{labels: {{app: models}}}}
    spec:
      securityContext: {{runAsNonRoot: true, seccompProfile: {{type: RuntimeDefault}}}}
      containers:
      - name: models
        image: {image}
        command: [/box, openai, ":8000"]
        readinessProbe: {{tcpSocket: {{port: 8000}}, periodSeconds: 1}}
        securityContext: {{allowPrivilegeEscalation: false, readOnlyRootFilesystem: true, capabilities: {{drop: [ALL]}}}}
"#
    )
}

/// One caller for each serving pod of the proxy.
pub(crate) async fn callers_of_pods(
    world: &World,
    proxy: &str,
    credential: &Credential,
) -> Result<Vec<Caller>> {
    let pods = world.pods(proxy).await?;
    ensure!(!pods.is_empty(), "{proxy} has no serving pod");
    pods.iter().map(|pod| Caller::at(credential, pod_address(pod)?, POD_PORT)).collect()
}

/// A caller of the Service.
pub(crate) async fn caller_of_service(world: &World, proxy: &str, credential: &Credential) -> Result<Caller> {
    let service = world.api::<Service>().get(proxy).await?;
    let address =
        service.spec.and_then(|spec| spec.cluster_ip).context("the Service has no address")?.parse()?;
    until_reachable(SocketAddr::new(address, credential.port)).await?;
    Caller::at(credential, address, credential.port)
}

/// A node learns of new endpoints a moment after the pods are ready, and refuses connections until then.
pub(crate) async fn until_reachable(address: SocketAddr) -> Result<()> {
    let started = Instant::now();
    while let Err(error) = TcpStream::connect(address).await {
        ensure!(started.elapsed() < PATIENCE, "{address} is not reachable: {error}");
        sleep(Duration::from_millis(50)).await;
    }
    Ok(())
}

pub(crate) fn pod_address(pod: &Pod) -> Result<IpAddr> {
    let address = pod.status.as_ref().and_then(|status| status.pod_ip.as_deref());
    Ok(address.context("the pod has no address")?.parse()?)
}

/// Calls in a loop until told to stop; a failed call ends it with an error.
pub(crate) struct Loop {
    stop: Arc<AtomicBool>,
    task: JoinHandle<Result<usize>>,
}

impl Loop {
    pub(crate) fn start(caller: Caller, model: &'static str) -> Self {
        let stop = Arc::new(AtomicBool::new(false));
        let stopped = Arc::clone(&stop);
        let task = tokio::spawn(async move {
            let mut calls = 0;
            while !stopped.load(Ordering::Relaxed) {
                let answer = caller.chat(model, "hello").await?;
                ensure!(answer.status == StatusCode::OK, "call {calls}: {answer:?}");
                calls += 1;
                sleep(PACE).await;
            }
            Ok(calls)
        });
        Self { stop, task }
    }

    /// How many calls were answered.
    pub(crate) async fn finish(self) -> Result<usize> {
        self.stop.store(true, Ordering::Relaxed);
        self.task.await?
    }
}
