//! etcd, the API server, the controller manager and the scheduler.

use std::{path::Path, time::Duration};

use anyhow::Result;

use super::{
    containerd::write,
    credentials::{TOKENS, give_to_caller, kubeconfig_of},
    layout::Layout,
    process,
};
use crate::tools;

const ETCD: &str = "etcd";
const API_SERVER: &str = "kube-apiserver";
const CONTROLLER_MANAGER: &str = "kube-controller-manager";
const SCHEDULER: &str = "kube-scheduler";

/// The names of its processes and logs.
pub(super) const COMPONENTS: [&str; 4] = [ETCD, API_SERVER, CONTROLLER_MANAGER, SCHEDULER];

/// Tests count writes by this log, and compare the operator's rights with what it asks for; the reads of others would
/// only fill it.
const AUDIT_POLICY: &str = "apiVersion: audit.k8s.io/v1
kind: Policy
omitStages: [RequestReceived]
rules:
- level: Metadata
  users: ['system:serviceaccount:vibectl-system:vibectl-operator']
- level: None
  verbs: [get, list, watch]
- level: Metadata
";

/// Starts etcd and the API server; `wait` says when they answer.
pub(super) fn start_api_server(layout: &Layout, programs: &Path) -> Result<()> {
    process::start(layout, ETCD, &programs.join(ETCD), &etcd_flags(layout))?;
    write(&layout.path("etc/audit-policy.yaml"), AUDIT_POLICY)?;
    write(&layout.audit_log(), "")?;
    give_to_caller(&layout.audit_log());
    process::start(layout, API_SERVER, &programs.join(API_SERVER), &api_server_flags(layout))
}

/// Waits until the API server is ready.
pub(super) fn wait(layout: &Layout) -> Result<()> {
    process::wait(layout, &[ETCD, API_SERVER], "the API server", Duration::from_mins(1), || is_ready(layout))
}

/// Whether the API server says that it is ready.
pub(super) fn is_ready(layout: &Layout) -> bool {
    tools::kubectl_output(&layout.kubeconfig(), &["get", "--raw", "/readyz", "--request-timeout", "5s"])
        .is_ok()
}

/// Starts the controller manager and the scheduler.
pub(super) fn start_controllers(layout: &Layout, programs: &Path) -> Result<()> {
    let manager = controller_manager_flags(layout);
    process::start(layout, CONTROLLER_MANAGER, &programs.join(CONTROLLER_MANAGER), &manager)?;
    let kubeconfig = kubeconfig_of(layout, SCHEDULER).display().to_string();
    let scheduler = flags(&[
        ("kubeconfig", &kubeconfig),
        ("authentication-kubeconfig", &kubeconfig),
        ("authorization-kubeconfig", &kubeconfig),
        ("bind-address", "127.0.0.1"),
        ("leader-elect", "false"),
    ]);
    process::start(layout, SCHEDULER, &programs.join(SCHEDULER), &scheduler)
}

/// `--name=value` for each.
pub(super) fn flags(pairs: &[(&str, &str)]) -> Vec<String> {
    pairs.iter().map(|(name, value)| format!("--{name}={value}")).collect()
}

// It has no authentication, so it listens where only processes of this namespace come.
fn etcd_flags(layout: &Layout) -> Vec<String> {
    let mut flags = flags(&[
        ("name", "node"),
        ("data-dir", &layout.path("etcd").display().to_string()),
        ("listen-client-urls", "http://127.0.0.1:2379"),
        ("advertise-client-urls", "http://127.0.0.1:2379"),
        ("listen-peer-urls", "http://127.0.0.1:2380"),
        ("initial-advertise-peer-urls", "http://127.0.0.1:2380"),
        ("initial-cluster", "node=http://127.0.0.1:2380"),
    ]);
    // A cluster that is lost with the machine needs no durable writes, and they are slow.
    flags.push("--unsafe-no-fsync".to_owned());
    flags
}

fn api_server_flags(layout: &Layout) -> Vec<String> {
    let file = |below: &str| layout.path(below).display().to_string();
    flags(&[
        ("etcd-servers", "http://127.0.0.1:2379"),
        ("bind-address", &layout.node_address().to_string()),
        ("advertise-address", &layout.node_address().to_string()),
        ("secure-port", "6443"),
        ("tls-cert-file", &file("pki/apiserver.crt")),
        ("tls-private-key-file", &file("pki/apiserver.key")),
        ("client-ca-file", &file("pki/ca.crt")),
        ("token-auth-file", &file(TOKENS)),
        ("authorization-mode", "Node,RBAC"),
        // Added to the default ones, which hold PodSecurity and ValidatingAdmissionPolicy.
        ("enable-admission-plugins", "NodeRestriction"),
        ("service-cluster-ip-range", &layout.service_range()),
        ("service-account-issuer", "https://kubernetes.default.svc"),
        ("service-account-key-file", &file("pki/service-accounts.pub")),
        ("service-account-signing-key-file", &file("pki/service-accounts.key")),
        ("kubelet-client-certificate", &file("pki/kubelet-client.crt")),
        ("kubelet-client-key", &file("pki/kubelet-client.key")),
        // Otherwise exec, logs and port-forward look the node's name up and hang.
        ("kubelet-preferred-address-types", "InternalIP"),
        ("allow-privileged", "true"),
        ("audit-policy-file", &file("etc/audit-policy.yaml")),
        ("audit-log-path", &layout.audit_log().display().to_string()),
    ])
}

fn controller_manager_flags(layout: &Layout) -> Vec<String> {
    let file = |below: &str| layout.path(below).display().to_string();
    let kubeconfig = kubeconfig_of(layout, CONTROLLER_MANAGER).display().to_string();
    flags(&[
        ("kubeconfig", &kubeconfig),
        ("authentication-kubeconfig", &kubeconfig),
        ("authorization-kubeconfig", &kubeconfig),
        ("bind-address", "127.0.0.1"),
        ("leader-elect", "false"),
        ("use-service-account-credentials", "true"),
        ("service-account-private-key-file", &file("pki/service-accounts.key")),
        ("root-ca-file", &file("pki/ca.crt")),
        ("cluster-signing-cert-file", &file("pki/ca.crt")),
        ("cluster-signing-key-file", &file("pki/ca.key")),
    ])
}
