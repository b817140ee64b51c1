//! The mount contract as volumes: which object is seen where.

use k8s_openapi::api::core::v1::{
    ConfigMapProjection, ConfigMapVolumeSource, EmptyDirVolumeSource, KeyToPath, ProjectedVolumeSource,
    SecretProjection, SecretVolumeSource, Volume, VolumeMount, VolumeProjection,
};
use k8s_openapi::apimachinery::pkg::api::resource::Quantity;
use vibectl_config::mount::{
    ACCESS_DIR, ACME_DIR, CA_DIR, CA_FILE, CERTIFICATE_FILE, CONFIG_DIR, FLEET_DIR, ISSUERS_FILE, JWKS_FILE,
    KEY_FILE, MIGRATION_FILE, MIGRATION_SECRET_FILE, PROVIDERS_DIR, SHARDS, TLS_DIR, shard_file,
};

use crate::{
    api::reference::SecretKey,
    llm_proxy::validate::{Mounted, Provider, TlsMode, ValidatedProxy},
};

/// Readable by the server's group, which is all that it is.
const SECRET_MODE: i32 = 0o440;

const CONFIG: &str = "config";
const ACCESS: &str = "access";
const TLS: &str = "tls";
const CA: &str = "ca";
const ACME: &str = "acme";
const PROVIDERS: &str = "providers";
const FLEET: &str = "fleet";

/// Every volume of the pod.
pub(super) fn volumes(proxy: &ValidatedProxy, config_map: String) -> Vec<Volume> {
    let names = &proxy.names;
    let config = config_map_volume(CONFIG, config_map);
    let fleet = secret_volume(FLEET, names.fleet(), &[]);
    let mut volumes = vec![config, projected(ACCESS, access_sources(proxy)), fleet];
    match &proxy.tls {
        TlsMode::Plaintext => {}
        TlsMode::PrivateCa(..) => {
            // Only what issuing needs: the key of a CA that is yet to come stays out of the pod.
            volumes.push(secret_volume(CA, names.ca_key(), &[CERTIFICATE_FILE, KEY_FILE, CA_FILE]));
            volumes.push(memory_volume(TLS));
        }
        TlsMode::SelfSigned(..) => {
            volumes.push(secret_volume(TLS, names.self_signed(), &[CERTIFICATE_FILE, KEY_FILE]));
        }
        TlsMode::Secret(kept) | TlsMode::CertManager(_, kept) => {
            volumes.push(secret_volume(TLS, kept.secret.clone(), &[CERTIFICATE_FILE, KEY_FILE]));
        }
        TlsMode::Acme(_, kept) => {
            // Pods start without it, to answer the challenge for it.
            volumes.push(optional(secret_volume(TLS, kept.secret.clone(), &[CERTIFICATE_FILE, KEY_FILE])));
            volumes.push(config_map_volume(ACME, names.acme()));
        }
    }
    let providers = provider_sources(proxy);
    if !providers.is_empty() {
        volumes.push(projected(PROVIDERS, providers));
    }
    volumes
}

/// What the server sees.
pub(super) fn server_mounts(proxy: &ValidatedProxy) -> Vec<VolumeMount> {
    let mut mounts =
        vec![read_only(CONFIG, CONFIG_DIR), read_only(ACCESS, ACCESS_DIR), read_only(FLEET, FLEET_DIR)];
    if proxy.tls.is_encrypted() {
        mounts.push(read_only(TLS, TLS_DIR));
    }
    if matches!(proxy.tls, TlsMode::Acme(..)) {
        mounts.push(read_only(ACME, ACME_DIR));
    }
    if !provider_sources(proxy).is_empty() {
        mounts.push(read_only(PROVIDERS, PROVIDERS_DIR));
    }
    mounts
}

/// What the container that issues the certificate sees, and nobody else.
pub(super) fn certificate_agent_mounts() -> Vec<VolumeMount> {
    let writable =
        VolumeMount { name: TLS.to_owned(), mount_path: TLS_DIR.to_owned(), ..VolumeMount::default() };
    vec![read_only(CONFIG, CONFIG_DIR), read_only(CA, CA_DIR), writable]
}

/// The files of a provider, by path inside the providers' folder.
pub(super) fn provider_files(provider: &Provider) -> impl Iterator<Item = (String, &Mounted)> {
    provider.files().map(|(file, mounted)| (format!("{}/{file}", provider.name), mounted))
}

/// Every source is optional: a key that is missing turns its provider off and leaves the others alone.
fn provider_sources(proxy: &ValidatedProxy) -> Vec<VolumeProjection> {
    let files = proxy.providers.iter().flat_map(provider_files);
    files
        .map(|(path, mounted)| {
            let SecretKey { name, key } = &mounted.source;
            secret_projection(name.clone(), key.clone(), path)
        })
        .collect()
}

/// Optional too, so that a pod starts whatever is missing; without them nobody gets in.
fn access_sources(proxy: &ValidatedProxy) -> Vec<VolumeProjection> {
    let shard =
        |index| secret_projection(proxy.names.access_shard(index), shard_file(index), shard_file(index));
    // Without a migration the template is as if there were no such thing: pods are replaced when one begins and when its
    // block goes, not in between.
    let migration = proxy.migration.as_ref().map(|migration| {
        let SecretKey { name, key } = migration.secret.source.clone();
        secret_projection(name, key, MIGRATION_SECRET_FILE.to_owned())
    });
    let public = [JWKS_FILE, ISSUERS_FILE].into_iter().chain(migration.as_ref().map(|_| MIGRATION_FILE));
    let jwks = VolumeProjection {
        config_map: Some(ConfigMapProjection {
            name: proxy.names.jwks(),
            items: Some(public.map(|file| item(file.to_owned(), file.to_owned())).collect()),
            optional: Some(true),
        }),
        ..VolumeProjection::default()
    };
    (0..SHARDS).map(shard).chain([jwks]).chain(migration).collect()
}

fn secret_projection(name: String, key: String, path: String) -> VolumeProjection {
    let secret = SecretProjection { name, items: Some(vec![item(key, path)]), optional: Some(true) };
    VolumeProjection { secret: Some(secret), ..VolumeProjection::default() }
}

fn item(key: String, path: String) -> KeyToPath {
    KeyToPath { key, path, mode: None }
}

fn projected(name: &str, sources: Vec<VolumeProjection>) -> Volume {
    Volume {
        name: name.to_owned(),
        projected: Some(ProjectedVolumeSource { sources: Some(sources), default_mode: Some(SECRET_MODE) }),
        ..Volume::default()
    }
}

fn secret_volume(name: &str, secret: String, keys: &[&str]) -> Volume {
    let items: Vec<_> = keys.iter().map(|key| item((*key).to_owned(), (*key).to_owned())).collect();
    Volume {
        name: name.to_owned(),
        secret: Some(SecretVolumeSource {
            secret_name: Some(secret),
            default_mode: Some(SECRET_MODE),
            items: (!items.is_empty()).then_some(items),
            optional: None,
        }),
        ..Volume::default()
    }
}

fn optional(mut volume: Volume) -> Volume {
    if let Some(secret) = &mut volume.secret {
        secret.optional = Some(true);
    }
    volume
}

fn config_map_volume(name: &str, config_map: String) -> Volume {
    Volume {
        name: name.to_owned(),
        config_map: Some(ConfigMapVolumeSource { name: config_map, ..ConfigMapVolumeSource::default() }),
        ..Volume::default()
    }
}

fn memory_volume(name: &str) -> Volume {
    let memory = EmptyDirVolumeSource {
        medium: Some("Memory".to_owned()),
        size_limit: Some(Quantity("1Mi".to_owned())),
    };
    Volume { name: name.to_owned(), empty_dir: Some(memory), ..Volume::default() }
}

fn read_only(name: &str, path: &str) -> VolumeMount {
    VolumeMount {
        name: name.to_owned(),
        mount_path: path.to_owned(),
        read_only: Some(true),
        ..VolumeMount::default()
    }
}
