//! Where the files of each part are, by the config. Their names are those of the mount contract, so that operator and
//! server compute the same revision, wherever a person's own config keeps them.

use std::path::{Path, PathBuf};

use vibectl_config::locate::{REVOCATION_FILE, SIGNING_KEYS_DIR};
use vibectl_config::mount::{
    self, ANSWERS_FILE, CA_FILE, CERTIFICATE_FILE, CRL_FILE, ISSUERS_FILE, JWKS_FILE, KEY_FILE,
    MIGRATION_FILE, MIGRATION_SECRET_FILE, PROVIDERS_DIR, SHARDS,
};
use vibectl_config::{Access, Acme, Jwt, JwtIssuer, Provider, Tls};
use vibectl_token::standalone::revocation;

use crate::reload::files::PartFiles;

/// The table shards, the public keys, the other issuers, and the secret that is accepted for a time.
pub fn access(access: &Access) -> PartFiles {
    let others = [JWKS_FILE, ISSUERS_FILE, MIGRATION_FILE, MIGRATION_SECRET_FILE];
    let names = (0..SHARDS).map(mount::shard_file).chain(others.map(str::to_owned));
    PartFiles::new(names.map(|name| (name.clone(), access.dir.join(name))))
}

/// What says who may call a server that runs alone: the list of revoked tokens, the public keys where there are any, and
/// those of other issuers.
pub fn access_alone(jwt: &Jwt, folder: Option<&Path>) -> PartFiles {
    let revoked = revocation_file(jwt, folder).map(|path| (REVOCATION_FILE.to_owned(), path));
    let keys = jwt.algorithm.of_signing_keys().and_then(|_| signing_keys_dir(jwt, folder));
    let keys = keys.map(|keys| (JWKS_FILE.to_owned(), keys.join(JWKS_FILE)));
    let issuers = jwt.issuers.iter().flat_map(|issuer| {
        let named = [(JWKS_FILE, &issuer.jwks_file), (CA_FILE, &issuer.ca_file)];
        named.into_iter().filter_map(|(file, path)| Some((issuer_file(issuer, file), path.clone()?)))
    });
    PartFiles::new(revoked.into_iter().chain(keys).chain(issuers)).with_longest(revocation::MAX_BYTES)
}

/// Name of a file of another issuer of a server that runs alone.
pub fn issuer_file(issuer: &JwtIssuer, file: &str) -> String {
    format!("issuers/{}/{file}", issuer.name)
}

/// The signing keys of a server that runs alone, in `folder` unless the config says otherwise.
pub fn signing_keys_dir(jwt: &Jwt, folder: Option<&Path>) -> Option<PathBuf> {
    jwt.signing_keys_dir.clone().or_else(|| Some(folder?.join(SIGNING_KEYS_DIR)))
}

/// The list of revoked tokens of a server that runs alone, in `folder` unless the config says otherwise.
pub fn revocation_file(jwt: &Jwt, folder: Option<&Path>) -> Option<PathBuf> {
    jwt.revocation_file.clone().or_else(|| Some(folder?.join(REVOCATION_FILE)))
}

/// The certificate and its key.
pub fn tls(tls: &Tls) -> PartFiles {
    let named = [(CERTIFICATE_FILE, &tls.cert_file), (KEY_FILE, &tls.key_file)];
    PartFiles::new(
        named.into_iter().filter_map(|(name, path)| path.clone().map(|path| (name.to_owned(), path))),
    )
}

/// The CA of callers' certificates, and what it has revoked.
pub fn client_ca(tls: &Tls) -> PartFiles {
    let named = [(CA_FILE, &tls.ca_bundle_file), (CRL_FILE, &tls.client_crl_file)];
    PartFiles::new(
        named.into_iter().filter_map(|(name, path)| path.clone().map(|path| (name.to_owned(), path))),
    )
}

/// The answers that somebody else writes.
pub fn answers(acme: &Acme) -> PartFiles {
    PartFiles::new(acme.answers_file.clone().map(|path| (ANSWERS_FILE.to_owned(), path)))
}

/// Keys and CAs of all providers.
pub fn providers(providers: &[Provider]) -> PartFiles {
    let paths = providers.iter().flat_map(|provider| provider.kind.files());
    PartFiles::new(paths.map(|path: &PathBuf| (provider_file(path), path.clone())))
}

/// Name of a provider's file in the revision: `NAME/api-key` in a pod, the whole path elsewhere.
pub fn provider_file(path: &Path) -> String {
    path.strip_prefix(PROVIDERS_DIR).unwrap_or(path).display().to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_of_a_pod_have_the_names_of_the_mount_contract() {
        assert_eq!(provider_file(Path::new("/etc/vibectl/providers/local/api-key")), "local/api-key");
        assert_eq!(provider_file(Path::new("/home/me/key")), "/home/me/key");
    }
}
