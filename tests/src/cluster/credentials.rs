//! Certificates, tokens and kubeconfigs of a cluster. All new for each start, readable by root only.

use std::{fmt::Write as _, fs, os::unix::fs::PermissionsExt as _, path::Path};

use anyhow::{Context as _, Result};
use base64::{Engine as _, prelude::BASE64_STANDARD};
use rcgen::{
    BasicConstraints, CertificateParams, CertifiedIssuer, DnType, ExtendedKeyUsagePurpose, IsCa, KeyPair,
    KeyUsagePurpose,
};

use super::{
    containerd::write,
    layout::Layout,
    node::{NODE_NAME, NODE_USER},
};
use crate::fingerprint::hex;

/// A component's user: the name of its kubeconfig, the user name, and its group.
const USERS: [(&str, &str, &str); 5] = [
    ("admin", "admin", "system:masters"),
    ("kube-controller-manager", "system:kube-controller-manager", ""),
    ("kube-scheduler", "system:kube-scheduler", ""),
    ("kube-proxy", "system:kube-proxy", ""),
    ("kubelet", NODE_USER, "system:nodes"),
];

/// Where the API server finds its token file.
pub(super) const TOKENS: &str = "pki/tokens.csv";

/// Makes everything. Components without a user of their own (`CoreDNS`) take the administrator's kubeconfig.
pub(super) fn create(layout: &Layout) -> Result<()> {
    let authority = certificates(layout)?;
    let mut tokens = String::new();
    for (component, user, group) in USERS {
        let token = random()?;
        writeln!(tokens, "{token},{user},{component},\"{group}\"")?;
        let text = kubeconfig(layout, &authority, user, &token);
        write_secret(&kubeconfig_of(layout, component), &text)?;
    }
    give_to_caller(&layout.kubeconfig());
    write_secret(&layout.path(TOKENS), &tokens)
}

/// The kubeconfig of one component.
pub(super) fn kubeconfig_of(layout: &Layout, component: &str) -> std::path::PathBuf {
    match component {
        "admin" => layout.kubeconfig(),
        _ => layout.path(&format!("etc/{component}.kubeconfig")),
    }
}

/// Writes the files below `pki/` and returns the authority's certificate.
fn certificates(layout: &Layout) -> Result<String> {
    let mut parameters = named("vibectl cluster authority", "")?;
    parameters.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    parameters.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
    let authority =
        CertifiedIssuer::self_signed(parameters, key()?).context("failed to sign an authority")?;
    write(&layout.path("pki/ca.crt"), &authority.pem())?;
    write_secret(&layout.path("pki/ca.key"), &authority.key().serialize_pem())?;

    let mut server = CertificateParams::new(server_names(layout)).context("failed to name the API server")?;
    server.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
    issue(layout, "apiserver", &server, &authority)?;

    // The kubelet lets only this client in: its port is reachable from every process on this machine.
    let mut client = named("kube-apiserver", "system:masters")?;
    client.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth];
    issue(layout, "kubelet-client", &client, &authority)?;

    let service_accounts = key()?;
    write_secret(&layout.path("pki/service-accounts.key"), &service_accounts.serialize_pem())?;
    write(&layout.path("pki/service-accounts.pub"), &service_accounts.public_key_pem())?;
    Ok(authority.pem())
}

fn issue(
    layout: &Layout,
    name: &str,
    parameters: &CertificateParams,
    authority: &CertifiedIssuer<'_, KeyPair>,
) -> Result<()> {
    let key = key()?;
    let certificate =
        parameters.signed_by(&key, authority).with_context(|| format!("failed to sign {name}"))?;
    write(&layout.path(&format!("pki/{name}.crt")), &certificate.pem())?;
    write_secret(&layout.path(&format!("pki/{name}.key")), &key.serialize_pem())
}

fn server_names(layout: &Layout) -> Vec<String> {
    let names = ["localhost", "127.0.0.1", "kubernetes", "kubernetes.default", "kubernetes.default.svc"];
    let mut names: Vec<_> = names.map(str::to_owned).into();
    names.push("kubernetes.default.svc.cluster.local".to_owned());
    names.push(NODE_NAME.to_owned());
    names.push(layout.node_address().to_string());
    names.push(layout.api_service_address().to_string());
    names
}

fn named(common_name: &str, organization: &str) -> Result<CertificateParams> {
    let mut parameters = CertificateParams::new(Vec::new()).context("failed to begin a certificate")?;
    parameters.distinguished_name.push(DnType::CommonName, common_name);
    if !organization.is_empty() {
        parameters.distinguished_name.push(DnType::OrganizationName, organization);
    }
    Ok(parameters)
}

fn key() -> Result<KeyPair> {
    KeyPair::generate().context("failed to generate a key")
}

fn random() -> Result<String> {
    let mut bytes = [0; 24];
    aws_lc_rs::rand::fill(&mut bytes).ok().context("failed to draw a token")?;
    Ok(hex(&bytes))
}

fn kubeconfig(layout: &Layout, authority: &str, user: &str, token: &str) -> String {
    format!(
        r#"apiVersion: v1
kind: Config
clusters:
- name: {name}
  cluster:
    server: {server}
    certificate-authority-data: {authority}
users:
- name: "{user}"
  user:
    token: {token}
contexts:
- name: {name}
  context:
    cluster: {name}
    user: "{user}"
current-context: {name}
"#,
        name = layout.unique_name(),
        server = layout.api_server(),
        authority = BASE64_STANDARD.encode(authority),
    )
}

/// Under `sudo` the person behind it must be able to use the cluster as well.
pub(super) fn give_to_caller(path: &Path) {
    let caller = std::env::var("SUDO_UID").ok().and_then(|id| id.parse().ok());
    if caller.is_some() {
        let _ = std::os::unix::fs::chown(path, caller, None);
    }
}

fn write_secret(path: &Path, content: &str) -> Result<()> {
    // Made empty and closed to others first, so that no moment shows the content.
    write(path, "")?;
    fs::set_permissions(path, fs::Permissions::from_mode(0o600))
        .with_context(|| format!("failed to close {} to others", path.display()))?;
    write(path, content)
}
