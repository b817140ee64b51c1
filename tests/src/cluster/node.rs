//! The node: kubelet and kube-proxy.

use std::{fs, path::Path, time::Duration};

use anyhow::{Context as _, Result};

use super::{
    containerd::{self, write},
    control_plane::flags,
    credentials::kubeconfig_of,
    layout::Layout,
    process,
};
use crate::tools;

/// The node's name.
pub(super) const NODE_NAME: &str = "node1";

/// The user as which its kubelet writes.
pub(super) const NODE_USER: &str = "system:node:node1";

const KUBELET: &str = "kubelet";
const PROXY: &str = "kube-proxy";

/// The names of its processes and logs.
pub(super) const COMPONENTS: [&str; 2] = [KUBELET, PROXY];

/// Starts both; `wait` says when pods can run.
pub(super) fn start(layout: &Layout, programs: &Path) -> Result<()> {
    write(&layout.path("etc/kubelet.yaml"), &kubelet_configuration(layout))?;
    write(&layout.path("etc/resolv.conf"), &format!("nameserver {}\n", layout.node_address()))?;
    let folder = layout.path("kubelet");
    fs::create_dir_all(&folder).with_context(|| format!("failed to make {}", folder.display()))?;
    let kubelet = flags(&[
        ("config", &layout.path("etc/kubelet.yaml").display().to_string()),
        ("kubeconfig", &kubeconfig_of(layout, KUBELET).display().to_string()),
        ("root-dir", &folder.display().to_string()),
        ("cert-dir", &folder.join("pki").display().to_string()),
        ("hostname-override", NODE_NAME),
        ("node-ip", &layout.node_address().to_string()),
    ]);
    process::start(layout, KUBELET, &programs.join(KUBELET), &kubelet)?;

    write(&layout.path("etc/kube-proxy.yaml"), &proxy_configuration(layout))?;
    let proxy = flags(&[("config", &layout.path("etc/kube-proxy.yaml").display().to_string())]);
    process::start(layout, PROXY, &programs.join(PROXY), &proxy)
}

/// Waits until the node is Ready.
pub(super) fn wait(layout: &Layout) -> Result<()> {
    let ready = "jsonpath={.status.conditions[?(@.type==\"Ready\")].status}";
    process::wait(
        layout,
        &[containerd::COMPONENT, PROXY, KUBELET],
        "the node to be Ready",
        Duration::from_secs(90),
        || {
            tools::kubectl_output(&layout.kubeconfig(), &["get", "node", NODE_NAME, "-o", ready])
                .is_ok_and(|status| status == "True")
        },
    )
}

// The sync frequency stays at its default of a minute: tests prove that quick refreshes come from annotations.
fn kubelet_configuration(layout: &Layout) -> String {
    let folder = layout.folder().display();
    format!(
        r"apiVersion: kubelet.config.k8s.io/v1beta1
kind: KubeletConfiguration
address: {node}
authentication:
  anonymous: {{enabled: false}}
  webhook: {{enabled: true}}
  x509: {{clientCAFile: {folder}/pki/ca.crt}}
authorization: {{mode: Webhook}}
containerRuntimeEndpoint: unix://{socket}
cgroupDriver: cgroupfs
cgroupRoot: /{cgroup}
failCgroupV1: false
failSwapOn: false
localStorageCapacityIsolation: false
oomScoreAdj: 0
clusterDNS: [{node}]
clusterDomain: cluster.local
resolvConf: {folder}/etc/resolv.conf
podLogsDir: {folder}/pod-logs
volumePluginDir: {folder}/kubelet/volume-plugins
healthzBindAddress: 127.0.0.1
# There is no registry to fetch from again: images stay, also on a nearly full disk.
imageGCHighThresholdPercent: 100
imageGCLowThresholdPercent: 99
evictionHard:
  memory.available: 50Mi
  nodefs.available: 1%
  nodefs.inodesFree: 1%
  imagefs.available: 1%
",
        node = layout.node_address(),
        socket = layout.containerd_socket().display(),
        cgroup = layout.unique_name(),
    )
}

fn proxy_configuration(layout: &Layout) -> String {
    format!(
        r"apiVersion: kubeproxy.config.k8s.io/v1alpha1
kind: KubeProxyConfiguration
mode: nftables
bindAddress: {node}
healthzBindAddress: 127.0.0.1:10256
metricsBindAddress: 127.0.0.1:10249
hostnameOverride: {NODE_NAME}
clusterCIDR: {pods}
oomScoreAdj: 0
clientConnection: {{kubeconfig: {kubeconfig}}}
# The limits of the machine are not ours to change.
conntrack: {{maxPerCore: 0, min: 0, tcpEstablishedTimeout: 0s, tcpCloseWaitTimeout: 0s}}
",
        node = layout.node_address(),
        pods = layout.pod_range(),
        kubeconfig = kubeconfig_of(layout, PROXY).display(),
    )
}
