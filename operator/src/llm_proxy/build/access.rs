//! Who may call: the access table and the public keys; and the identity of the pods, which may nothing.

use std::collections::BTreeMap;

use k8s_openapi::{
    ByteString,
    api::core::v1::{ConfigMap, Secret, ServiceAccount},
};
use vibectl_config::mount::{JWKS_FILE, SHARDS, shard_file};

use super::object::metadata;
use crate::llm_proxy::validate::ValidatedProxy;

/// The identity of the pods.
pub(super) fn service_account(proxy: &ValidatedProxy) -> ServiceAccount {
    ServiceAccount {
        metadata: metadata(proxy, proxy.names.base()),
        automount_service_account_token: Some(false),
        ..ServiceAccount::default()
    }
}

/// The public keys of tokens.
pub(super) fn jwks(proxy: &ValidatedProxy, jwks: &str) -> ConfigMap {
    ConfigMap {
        metadata: metadata(proxy, proxy.names.jwks()),
        data: Some(BTreeMap::from([(JWKS_FILE.to_owned(), jwks.to_owned())])),
        ..ConfigMap::default()
    }
}

/// One Secret for each shard of the table, whether or not it has rows.
pub(super) fn shards(proxy: &ValidatedProxy, shards: &[Vec<u8>; SHARDS]) -> Vec<Secret> {
    let secret = |(index, shard): (usize, &Vec<u8>)| Secret {
        metadata: metadata(proxy, proxy.names.access_shard(index)),
        data: Some(BTreeMap::from([(shard_file(index), ByteString(shard.clone()))])),
        type_: Some("Opaque".to_owned()),
        ..Secret::default()
    };
    shards.iter().enumerate().map(secret).collect()
}
