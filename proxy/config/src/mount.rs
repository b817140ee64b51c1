//! The mount contract: which files a proxy pod finds where, and how both sides name the state of them.
//!
//! The operator writes the objects behind these paths, the server reads the files. Both compute [`revision`] over
//! what should be, or is, in force; equal revisions mean that a change has arrived. No file is opened here.

use std::{collections::BTreeMap, fmt};

use aws_lc_rs::hmac;
use zeroize::Zeroize;

/// Folder of the config file.
pub const CONFIG_DIR: &str = "/etc/vibectl/config";
/// Folder of the access table shards and the public keys.
pub const ACCESS_DIR: &str = "/etc/vibectl/access";
/// Folder of the serving certificate and its key.
pub const TLS_DIR: &str = "/etc/vibectl/tls";
/// Folder of the CA certificate and key; mounted only into the init container that issues the leaf.
pub const CA_DIR: &str = "/etc/vibectl/ca";
/// Folder of the CA that client certificates are checked against.
pub const CLIENT_CA_DIR: &str = "/etc/vibectl/client-ca";
/// Folder of the answers to an ACME server's challenges.
pub const ACME_DIR: &str = "/etc/vibectl/acme";
/// Folder with one sub-folder of keys for each provider.
pub const PROVIDERS_DIR: &str = "/etc/vibectl/providers";
/// Folder of the mTLS identity of the fleet port and of the revision key.
pub const FLEET_DIR: &str = "/etc/vibectl/fleet";

/// The config file inside [`CONFIG_DIR`].
pub const CONFIG_FILE: &str = "config.yaml";
/// The names of the certificate, one on each line, inside [`CONFIG_DIR`]. Read where the leaf is issued; not a file of
/// [`Part::Config`].
pub const CERTIFICATE_NAMES_FILE: &str = "certificate-names";
/// Other issuers whose tokens are accepted, inside [`ACCESS_DIR`]; absent where there are none.
pub const ISSUERS_FILE: &str = "issuers.json";
/// Until when tokens of a shared secret are accepted, inside [`ACCESS_DIR`]; absent where they never are.
pub const MIGRATION_FILE: &str = "migration.json";
/// That secret, inside [`ACCESS_DIR`]. Nothing is signed with it.
pub const MIGRATION_SECRET_FILE: &str = "migration.secret";
/// The public keys inside [`ACCESS_DIR`].
pub const JWKS_FILE: &str = "jwks.json";
/// A certificate chain, in [`TLS_DIR`], [`CA_DIR`] and [`FLEET_DIR`].
pub const CERTIFICATE_FILE: &str = "tls.crt";
/// The private key of [`CERTIFICATE_FILE`].
pub const KEY_FILE: &str = "tls.key";
/// A CA bundle, in [`CA_DIR`], [`CLIENT_CA_DIR`], [`FLEET_DIR`] and a provider's folder.
pub const CA_FILE: &str = "ca.crt";
/// Revocation lists of the CA in [`CLIENT_CA_DIR`].
pub const CRL_FILE: &str = "crl.pem";
/// Answers to pending challenges as JSON, inside [`ACME_DIR`].
pub const ANSWERS_FILE: &str = "answers.json";
/// The key of a provider, inside its sub-folder of [`PROVIDERS_DIR`].
pub const API_KEY_FILE: &str = "api-key";
/// The access key ID of a provider that wants signed requests, inside the same.
pub const ACCESS_KEY_ID_FILE: &str = "access-key-id";
/// The secret that belongs to it.
pub const SECRET_ACCESS_KEY_FILE: &str = "secret-access-key";
/// The token that goes with keys that are valid for a time only.
pub const SESSION_TOKEN_FILE: &str = "session-token";
/// The key file of a provider's service account, inside the same.
pub const SERVICE_ACCOUNT_FILE: &str = "service-account.json";
/// The 32 random bytes of [`RevisionKey`], inside [`FLEET_DIR`].
pub const REVISION_KEY_FILE: &str = "revision.key";

/// How many shards the access table has.
pub const SHARDS: usize = 4;

/// The file name of an access table shard inside [`ACCESS_DIR`].
pub fn shard_file(shard: usize) -> String {
    format!("shard-{shard}.json.gz")
}

/// What is put in force, and acknowledged, as one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Part {
    /// The config file.
    Config,
    /// The access table shards and the public keys.
    Access,
    /// The serving certificate and its key.
    Tls,
    /// The CA of client certificates.
    ClientCa,
    /// The keys and CAs of all providers.
    Providers,
    /// The answers to pending challenges.
    Acme,
}

impl Part {
    /// Every part, in order.
    pub const ALL: [Self; 6] =
        [Self::Config, Self::Access, Self::Tls, Self::ClientCa, Self::Providers, Self::Acme];

    /// The name in reports, metrics and the revision; part of the fleet contract.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Config => "config",
            Self::Access => "access",
            Self::Tls => "tls",
            Self::ClientCa => "client-ca",
            Self::Providers => "providers",
            Self::Acme => "acme",
        }
    }

    /// The folder that holds the part's files.
    pub const fn dir(self) -> &'static str {
        match self {
            Self::Config => CONFIG_DIR,
            Self::Access => ACCESS_DIR,
            Self::Tls => TLS_DIR,
            Self::ClientCa => CLIENT_CA_DIR,
            Self::Providers => PROVIDERS_DIR,
            Self::Acme => ACME_DIR,
        }
    }
}

impl fmt::Display for Part {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(self.as_str())
    }
}

/// The key that makes revisions useless to whoever wants to guess the content behind them.
///
/// One per `LlmProxy`, 32 random bytes in [`REVISION_KEY_FILE`].
#[derive(Clone)]
pub struct RevisionKey([u8; Self::LENGTH]);

impl RevisionKey {
    /// The length of the key file.
    pub const LENGTH: usize = 32;

    /// Takes random bytes as a new key; the caller draws them.
    pub fn new(bytes: [u8; Self::LENGTH]) -> Self {
        Self(bytes)
    }

    /// The bytes, to be written into the fleet Secret.
    pub fn as_bytes(&self) -> &[u8; Self::LENGTH] {
        &self.0
    }
}

/// The content of a revision key file has the wrong length.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a revision key has {expected} bytes, found {0}", expected = RevisionKey::LENGTH)]
pub struct WrongKeyLength(pub usize);

impl TryFrom<&[u8]> for RevisionKey {
    type Error = WrongKeyLength;

    fn try_from(bytes: &[u8]) -> Result<Self, Self::Error> {
        bytes.try_into().map(Self).map_err(|_| WrongKeyLength(bytes.len()))
    }
}

impl fmt::Debug for RevisionKey {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("RevisionKey(<hidden>)")
    }
}

impl Drop for RevisionKey {
    fn drop(&mut self) {
        self.0.zeroize();
    }
}

/// The revision of a part: a keyed digest of its name and of every file, 32 lower-case hex digits.
///
/// `files` maps the path inside the part's folder (`shard-0.json.gz`, `NAME/api-key`) to the content. A file that
/// is absent is left out, which differs from an empty one.
pub fn revision(key: &RevisionKey, part: Part, files: &BTreeMap<String, Vec<u8>>) -> String {
    let mut context = hmac::Context::with_key(&hmac::Key::new(hmac::HMAC_SHA256, &key.0));
    update_prefixed(&mut context, part.as_str().as_bytes());
    for (path, content) in files {
        update_prefixed(&mut context, path.as_bytes());
        update_prefixed(&mut context, content);
    }
    hex(context.sign().as_ref().iter().take(REVISION_BYTES))
}

/// How much of the digest is kept: 128 bits, collision-free for what one proxy will ever mount.
const REVISION_BYTES: usize = 16;

/// Prefixes with the length, so that no two sequences of fields give the same bytes.
fn update_prefixed(context: &mut hmac::Context, field: &[u8]) {
    context.update(&(field.len() as u64).to_be_bytes());
    context.update(field);
}

fn hex<'a>(bytes: impl Iterator<Item = &'a u8>) -> String {
    bytes
        .flat_map(|byte| [byte >> 4, byte & 0xf])
        .filter_map(|nibble| char::from_digit(u32::from(nibble), 16))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(fill: u8) -> RevisionKey {
        RevisionKey::new([fill; RevisionKey::LENGTH])
    }

    fn files(pairs: &[(&str, &str)]) -> BTreeMap<String, Vec<u8>> {
        pairs.iter().map(|(path, content)| ((*path).to_owned(), content.as_bytes().to_vec())).collect()
    }

    #[test]
    fn a_revision_is_stable_across_versions() {
        let revision = revision(&key(7), Part::Config, &files(&[("config.yaml", "server: {}\n")]));

        // Operator and server of different versions must agree; a change here is a change of the fleet contract.
        assert_eq!(revision, "e7f5262c8c12e251b7f5377a1168383d");
    }

    #[test]
    fn key_part_path_and_content_all_count() {
        let base = revision(&key(1), Part::Tls, &files(&[("a", "bc")]));

        for other in [
            revision(&key(2), Part::Tls, &files(&[("a", "bc")])),
            revision(&key(1), Part::Access, &files(&[("a", "bc")])),
            revision(&key(1), Part::Tls, &files(&[("ab", "c")])),
            revision(&key(1), Part::Tls, &files(&[("a", "bd")])),
            revision(&key(1), Part::Tls, &files(&[("a", "bc"), ("d", "")])),
            revision(&key(1), Part::Tls, &files(&[])),
        ] {
            assert_ne!(base, other);
        }
    }

    #[test]
    fn a_key_of_another_length_is_refused_and_never_shown() {
        assert_eq!(RevisionKey::try_from(&[0; 31][..]).unwrap_err(), WrongKeyLength(31));
        assert_eq!(format!("{:?}", key(9)), "RevisionKey(<hidden>)");
    }
}
