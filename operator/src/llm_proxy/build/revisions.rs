//! What the pods will report when everything that was built is in force.

use std::collections::BTreeMap;

use k8s_openapi::api::core::v1::ConfigMap;
use vibectl_config::mount::{
    ANSWERS_FILE, CERTIFICATE_FILE, CONFIG_FILE, KEY_FILE, MIGRATION_SECRET_FILE, Part, revision, shard_file,
};

use super::{Inputs, access::public_files, volumes::provider_files};
use crate::llm_proxy::{
    authority::{Authority, Kind},
    validate::ValidatedProxy,
};

/// Revisions of the mounted parts.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Revisions {
    /// Of each part that is compared.
    pub parts: BTreeMap<Part, String>,
    /// ConfigMap of the current template: pods that mount another one are on their way out.
    pub config_map: String,
    /// With a private CA, whose leaf is made in the pod: key identifier of the CA that should have issued it.
    pub issuer_key_id: Option<String>,
}

impl Revisions {
    /// The same while pods are still secured by something else.
    #[must_use]
    pub fn without_certificate(mut self) -> Self {
        self.parts.remove(&Part::Tls);
        Self { issuer_key_id: None, ..self }
    }
}

/// Computes every revision from content alone.
pub(super) fn revisions(
    proxy: &ValidatedProxy,
    inputs: &Inputs,
    config: &ConfigMap,
    answers: Option<&ConfigMap>,
) -> Revisions {
    let mut files = BTreeMap::from([
        (Part::Config, files_of(config, CONFIG_FILE)),
        (Part::Access, access_files(proxy, inputs)),
    ]);
    files.extend(answers.map(|map| (Part::Acme, files_of(map, ANSWERS_FILE))));
    files.extend(tls_files(proxy, inputs).map(|files| (Part::Tls, files)));
    let providers = provider_content(proxy);
    if !providers.is_empty() {
        files.insert(Part::Providers, providers);
    }
    let parts =
        files.into_iter().map(|(part, files)| (part, revision(&inputs.revision_key, part, &files))).collect();
    Revisions {
        parts,
        config_map: config.metadata.name.clone().unwrap_or_default(),
        issuer_key_id: issuer(inputs),
    }
}

type Files = BTreeMap<String, Vec<u8>>;

fn files_of(map: &ConfigMap, file: &str) -> Files {
    let data = map.data.iter().flatten().filter(|(name, _)| *name == file);
    data.map(|(name, text)| (name.clone(), text.clone().into_bytes())).collect()
}

fn access_files(proxy: &ValidatedProxy, inputs: &Inputs) -> Files {
    let shards =
        inputs.access_shards.iter().enumerate().map(|(index, shard)| (shard_file(index), shard.clone()));
    let public = public_files(proxy, inputs).into_iter().map(|(name, text)| (name, text.into_bytes()));
    // One that cannot be used is not put in force there either.
    let secret = proxy.migration.as_ref().and_then(|migration| migration.usable_secret());
    let secret = secret.map(|secret| (MIGRATION_SECRET_FILE.to_owned(), secret.to_vec()));
    shards.chain(public).chain(secret).collect()
}

/// With a private CA the leaf is made in the pod.
fn issuer(inputs: &Inputs) -> Option<String> {
    let authority = inputs.authority.as_ref()?;
    match authority.state {
        Kind::Ca(_) => authority.facts().subject_key_id.clone(),
        Kind::Pair(_) => None,
    }
}

fn tls_files(proxy: &ValidatedProxy, inputs: &Inputs) -> Option<Files> {
    if let Some(Authority { state: Kind::Pair(state), .. }) = &inputs.authority {
        let pair = state.active();
        let files = [
            (CERTIFICATE_FILE, pair.chain_pem().into_bytes()),
            (KEY_FILE, pair.key_pem().as_bytes().to_vec()),
        ];
        return Some(files.map(|(name, content)| (name.to_owned(), content)).into());
    }
    let pair = proxy.tls.kept()?.pair.as_ref().ok()?;
    let files = [(CERTIFICATE_FILE, &pair.certificate), (KEY_FILE, &pair.key)];
    Some(files.map(|(name, content)| (name.to_owned(), content.to_vec())).into())
}

/// The files that there are: a key that is missing has no file.
fn provider_content(proxy: &ValidatedProxy) -> Files {
    let files = proxy.providers.iter().flat_map(provider_files);
    files.filter_map(|(path, mounted)| Some((path, mounted.content.as_ref()?.to_vec()))).collect()
}
