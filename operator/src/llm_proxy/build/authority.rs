//! Secrets with generated keys, and the bundle that clients trust.

use std::collections::BTreeMap;

use k8s_openapi::{
    ByteString,
    api::core::v1::{ConfigMap, Secret},
};
use vibectl_config::mount::CA_FILE;
use vibectl_pki::TrustBundle;

use super::{Inputs, acme, object::metadata};
use crate::llm_proxy::{
    authority::{Authority, Kind},
    validate::{TlsMode, ValidatedProxy},
};

/// The identity of the fleet port, with a private CA or a self-signed certificate its key, and a certificate of an ACME server.
pub(super) fn generated(proxy: &ValidatedProxy, inputs: &Inputs) -> Vec<Secret> {
    let fleet = secret(proxy, proxy.names.fleet(), inputs.fleet_identity.clone());
    let kept = inputs.authority.as_ref().map(|authority| {
        let name = match authority.state {
            Kind::Ca(_) => proxy.names.ca_key(),
            Kind::Pair(_) => proxy.names.self_signed(),
        };
        secret(proxy, name, authority.data())
    });
    [fleet].into_iter().chain(kept).chain(acme::secret(proxy, inputs)).collect()
}

/// What clients need to trust the endpoint, as far as we know it.
pub(super) fn bundle(proxy: &ValidatedProxy, authority: Option<&Authority>) -> Option<ConfigMap> {
    let bundle = trusted(proxy, authority)?;
    Some(ConfigMap {
        metadata: metadata(proxy, proxy.names.ca_bundle()),
        data: Some(BTreeMap::from([(CA_FILE.to_owned(), bundle.to_pem())])),
        ..ConfigMap::default()
    })
}

fn trusted(proxy: &ValidatedProxy, authority: Option<&Authority>) -> Option<TrustBundle> {
    match &proxy.tls {
        TlsMode::Plaintext => None,
        TlsMode::PrivateCa(..) | TlsMode::SelfSigned(..) => authority.map(Authority::bundle),
        TlsMode::Secret(kept) | TlsMode::CertManager(_, kept) | TlsMode::Acme(_, kept) => {
            kept.pair.as_ref().ok()?.bundle.clone()
        }
    }
}

pub(super) fn secret(proxy: &ValidatedProxy, name: String, data: BTreeMap<String, ByteString>) -> Secret {
    Secret {
        metadata: metadata(proxy, name),
        data: Some(data),
        type_: Some("Opaque".to_owned()),
        ..Secret::default()
    }
}
