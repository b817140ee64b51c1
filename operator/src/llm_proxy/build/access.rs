//! Who may call: the access table and the public keys; and the identity of the pods, which may nothing.

use std::collections::BTreeMap;

use k8s_openapi::{
    ByteString,
    api::core::v1::{ConfigMap, Secret, ServiceAccount},
};
use vibectl_config::mount::{ISSUERS_FILE, JWKS_FILE, MIGRATION_FILE, SHARDS, shard_file};

use super::{Inputs, object::metadata};
use crate::llm_proxy::validate::ValidatedProxy;

/// The identity of the pods.
pub(super) fn service_account(proxy: &ValidatedProxy) -> ServiceAccount {
    ServiceAccount {
        metadata: metadata(proxy, proxy.names.base()),
        automount_service_account_token: Some(false),
        ..ServiceAccount::default()
    }
}

/// The public keys of tokens, the other issuers, and until when a former server's tokens are accepted.
pub(super) fn jwks(proxy: &ValidatedProxy, inputs: &Inputs) -> ConfigMap {
    ConfigMap {
        metadata: metadata(proxy, proxy.names.jwks()),
        data: Some(public_files(proxy, inputs)),
        ..ConfigMap::default()
    }
}

/// What of the access files is not secret.
pub(super) fn public_files(proxy: &ValidatedProxy, inputs: &Inputs) -> BTreeMap<String, String> {
    let issuers = inputs.issuers.clone().map(|issuers| (ISSUERS_FILE.to_owned(), issuers));
    let migration = proxy.migration.as_ref();
    let migration = migration.map(|migration| (MIGRATION_FILE.to_owned(), migration.terms().render()));
    let keys = (JWKS_FILE.to_owned(), inputs.jwks.clone());
    issuers.into_iter().chain(migration).chain([keys]).collect()
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
