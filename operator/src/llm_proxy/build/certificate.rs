//! What cert-manager is asked for.

use std::collections::BTreeMap;

use vibectl_pki::Name;

use super::object::metadata;
use crate::{
    api::tls::CertManager,
    cert_manager::{Certificate, CertificateSpec, SecretTemplate},
    llm_proxy::validate::{TlsMode, ValidatedProxy},
    names::PROXY_UID_LABEL,
};

/// The Certificate, with `tls.certManager`.
pub(super) fn certificate(proxy: &ValidatedProxy) -> Option<Certificate> {
    let TlsMode::CertManager(order, kept) = &proxy.tls else { return None };
    let CertManager { issuer_ref, duration, renew_before, private_key, service_names: _ } = order.clone();
    let (names, addresses): (Vec<_>, Vec<_>) =
        proxy.certificate_names.iter().partition(|name| matches!(name, Name::Dns(_)));
    let texts = |names: Vec<&Name>| names.into_iter().map(ToString::to_string).collect();
    let spec = CertificateSpec {
        secret_name: kept.secret.clone(),
        secret_template: Some(SecretTemplate { labels: secret_labels(proxy) }),
        dns_names: texts(names),
        ip_addresses: texts(addresses),
        issuer_ref: Some(issuer_ref),
        duration,
        renew_before,
        private_key: Some(private_key.unwrap_or_default().into()),
        usages: ["digital signature", "server auth"].map(str::to_owned).to_vec(),
        revision_history_limit: Some(1),
    };
    Some(Certificate { metadata: metadata(proxy, proxy.names.serving()), spec, status: None })
}

/// By the first of them we see its changes, by the UID we know it for ours: its writer gives it no owner.
fn secret_labels(proxy: &ValidatedProxy) -> BTreeMap<String, String> {
    let mut labels = proxy.names.labels();
    labels.insert(PROXY_UID_LABEL.to_owned(), proxy.uid.clone());
    labels
}
