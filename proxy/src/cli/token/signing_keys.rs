//! The folder in which a server that runs alone has its signing keys.
//!
//! ```text
//! ring.json    which key is where in its life (vibectl_token::rotation)
//! KID.pem      private, for `generate-token` and `token rotate-key` only
//! jwks.json    the public keys; all that a running server reads
//! ```
//!
//! A private key is written before the ring that names it, and the ring before the public keys. Whatever was cut off in
//! between, the next command goes on from the ring.

use std::fs::{self, File};
use std::io::{self, Read};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use anyhow::{Context, bail};
use vibectl_config::mount::JWKS_FILE;
use vibectl_token::rotation::{Key, MAX_KEYS, Observed, Policy, Ring, Stage, Step};
use vibectl_token::{Algorithm, KeySet, SigningKey};
use zeroize::Zeroizing;

use crate::tls::private_file::{self, PRIVATE, PRIVATE_DIR, PUBLIC};

const RING_FILE: &str = "ring.json";
/// Permissions of everybody but owner and group.
const OTHERS: u32 = 0o007;

/// The folder.
#[derive(Debug)]
pub(in crate::cli) struct SigningKeys {
    folder: PathBuf,
}

/// What came of the first half of a rotation.
#[derive(Debug, PartialEq, Eq)]
pub(in crate::cli) enum Begun {
    /// Servers are given this key; it signs once they have it.
    Published(String),
    /// This key signs already, because no other one does.
    Active(String),
}

impl SigningKeys {
    /// The keys in this folder; it need not be there.
    pub(in crate::cli) fn new(folder: PathBuf) -> Self {
        Self { folder }
    }

    /// The keys and where each is in its life; an absent ring has none.
    pub(in crate::cli) fn ring(&self) -> anyhow::Result<Ring> {
        let path = self.folder.join(RING_FILE);
        let text = match fs::read(&path) {
            Ok(text) => text,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Ring::default()),
            Err(error) => return Err(error).with_context(|| format!("failed to read {}", path.display())),
        };
        serde_json::from_slice(&text).with_context(|| format!("failed to read {}", path.display()))
    }

    /// The names and algorithms of the keys that servers are given.
    pub(in crate::cli) fn published(&self) -> anyhow::Result<Vec<(String, Algorithm)>> {
        let path = self.folder.join(JWKS_FILE);
        let text = fs::read(&path).with_context(|| format!("failed to read {}", path.display()))?;
        let set = KeySet::parse(&text).with_context(|| format!("failed to read {}", path.display()))?;
        Ok(set.algorithms().map(|(kid, algorithm)| (kid.to_owned(), algorithm)).collect())
    }

    /// The key that signs a token of this lifetime. The ring remembers the longest, so that a key is kept as long.
    pub(in crate::cli) fn signer(
        &self,
        algorithm: Algorithm,
        ttl: i64,
        now: i64,
    ) -> anyhow::Result<SigningKey> {
        let unchanged = self.ring()?;
        if unchanged.active().is_none() {
            bail!(
                "there is no signing key in {}; `vibectl-server token rotate-key` makes one",
                self.folder.display()
            );
        }
        let _lock = self.lock()?;
        let policy = Policy { algorithm, rotate_every: i64::MAX, longest_ttl: ttl };
        let ring = self.settle(self.ring()?, &policy, observed(now, false))?;
        let Some(key) = ring.signer(ttl) else {
            bail!(
                "no key in {} signs at the moment; `vibectl-server token rotate-key` mends that",
                self.folder.display()
            );
        };
        if key.algorithm != algorithm {
            bail!(
                "the signing key is for {}, and jwt.algorithm is {algorithm}; `vibectl-server token rotate-key` changes over",
                key.algorithm
            );
        }
        self.key(key)
    }

    /// Takes a key out of use at once: every token that it signed is refused.
    pub(in crate::cli) fn revoke(&self, kid: &str) -> anyhow::Result<()> {
        let _lock = self.lock()?;
        let ring = self.ring()?;
        if !ring.keys().iter().any(|key| key.kid == kid) {
            let known: Vec<&str> = ring.keys().iter().map(|key| key.kid.as_str()).collect();
            bail!("there is no key {kid:?} in {}; known: {}", self.folder.display(), known.join(", "));
        }
        let ring = ring.revoke(kid);
        // First what servers read: whatever fails after that, the key is dead.
        self.publish(&ring)?;
        self.write_ring(&ring)?;
        let path = self.key_path(kid);
        fs::remove_file(&path).with_context(|| format!("failed to remove {}", path.display()))
    }

    /// Gives servers a new key, or goes on with a rotation that was cut off. The first key signs at once.
    pub(in crate::cli) fn begin(&self, policy: &Policy, now: i64) -> anyhow::Result<Begun> {
        let _lock = self.lock()?;
        let mut ring = self.settle(self.ring()?, policy, observed(now, false))?;
        if new_key(&ring).is_none() {
            if ring.keys().len() >= MAX_KEYS {
                bail!(
                    "there are {MAX_KEYS} keys, each kept until its last token has ended; --revoke KID ends one before"
                );
            }
            ring = self.settle(self.generate(&ring, policy.algorithm)?, policy, observed(now, false))?;
        }
        match (new_key(&ring), ring.active()) {
            (Some(kid), _) => Ok(Begun::Published(kid)),
            (None, Some(key)) => Ok(Begun::Active(key.kid.clone())),
            (None, None) => bail!("the new key in {} did not come into use", self.folder.display()),
        }
    }

    /// Lets the published key sign, now that servers have it.
    pub(in crate::cli) fn finish(&self, policy: &Policy, now: i64) -> anyhow::Result<Ring> {
        let _lock = self.lock()?;
        self.settle(self.ring()?, policy, observed(now, true))
    }

    /// Drops keys whose last token has ended; says how many.
    pub(in crate::cli) fn prune(&self, now: i64) -> anyhow::Result<usize> {
        let before = self.ring()?;
        let Some(key) = before.active() else { return Ok(0) };
        let policy =
            Policy { algorithm: key.algorithm, rotate_every: i64::MAX, longest_ttl: key.longest_ttl };
        let _lock = self.lock()?;
        let after = self.settle(self.ring()?, &policy, observed(now, false))?;
        Ok(before.keys().len().saturating_sub(after.keys().len()))
    }

    /// Makes every step that is due, and writes each down. No step makes a key.
    fn settle(&self, mut ring: Ring, policy: &Policy, observed: Observed) -> anyhow::Result<Ring> {
        while let Step::Write(next) = ring.advance(policy, observed) {
            self.write_ring(&next)?;
            for gone in ring.keys().iter().filter(|key| !next.keys().iter().any(|kept| kept.kid == key.kid)) {
                fs::remove_file(self.key_path(&gone.kid))?;
            }
            ring = next;
        }
        self.publish(&ring)?;
        Ok(ring)
    }

    fn generate(&self, ring: &Ring, algorithm: Algorithm) -> anyhow::Result<Ring> {
        let key = SigningKey::generate(algorithm)?;
        let path = self.key_path(key.kid());
        private_file::create(&path, key.to_pkcs8_pem()?.as_bytes(), PRIVATE)
            .with_context(|| format!("failed to write {}", path.display()))?;
        let ring = ring.prepare(key.kid(), algorithm);
        self.write_ring(&ring)?;
        Ok(ring)
    }

    fn publish(&self, ring: &Ring) -> anyhow::Result<()> {
        let published = ring.keys().iter().filter(|key| key.stage != Stage::Prepared);
        let keys: Vec<_> = published.map(|key| self.key(key)).collect::<Result<_, _>>()?;
        let set = KeySet::from_keys(keys.iter().map(|key| key.public_jwk().clone()))?;
        let (path, text) = (self.folder.join(JWKS_FILE), set.render());
        // A server would read the file again for nothing.
        if fs::read(&path).is_ok_and(|there| there == text.as_bytes()) {
            return Ok(());
        }
        private_file::replace(&path, text.as_bytes(), PUBLIC)
            .with_context(|| format!("failed to write {}", path.display()))
    }

    fn write_ring(&self, ring: &Ring) -> anyhow::Result<()> {
        let path = self.folder.join(RING_FILE);
        private_file::replace(&path, serde_json::to_string_pretty(ring)?.as_bytes(), PRIVATE)
            .with_context(|| format!("failed to write {}", path.display()))
    }

    fn key(&self, Key { kid, algorithm, .. }: &Key) -> anyhow::Result<SigningKey> {
        let path = self.key_path(kid);
        let pem = read_private(&path).with_context(|| format!("failed to read {}", path.display()))?;
        let key = SigningKey::from_pkcs8_pem_for(*algorithm, &pem)
            .with_context(|| format!("failed to read {}", path.display()))?;
        if key.kid() != kid.as_str() {
            bail!("{} holds another key than its name says", path.display());
        }
        Ok(key)
    }

    fn key_path(&self, kid: &str) -> PathBuf {
        self.folder.join(format!("{kid}.pem"))
    }

    /// Keeps other commands out until dropped.
    fn lock(&self) -> anyhow::Result<File> {
        private_file::create_dir(&self.folder, PRIVATE_DIR)
            .and_then(|()| File::open(&self.folder))
            .and_then(|folder| folder.lock().map(|()| folder))
            .with_context(|| format!("failed to lock {}", self.folder.display()))
    }
}

/// Reads a private key that not everybody on the machine can read.
fn read_private(path: &Path) -> anyhow::Result<Zeroizing<String>> {
    let mut file = File::open(path)?;
    // Of the file that is read, not of what the path leads to a moment later.
    let mode = file.metadata()?.permissions().mode() & 0o7777;
    if mode & OTHERS != 0 {
        bail!(
            "everybody on this machine can read it (mode {mode:04o}), so it counts as leaked: \
             `vibectl-server token rotate-key --revoke` with its name"
        );
    }
    let mut pem = Zeroizing::new(String::new());
    file.read_to_string(&mut pem)?;
    Ok(pem)
}

/// The key that servers are given and that does not sign yet.
fn new_key(ring: &Ring) -> Option<String> {
    ring.keys().iter().find(|key| key.stage == Stage::Published).map(|key| key.kid.clone())
}

fn observed(now: i64, acknowledged: bool) -> Observed {
    Observed { now, acknowledged, covered_until: None }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: i64 = 1_790_000_000;
    const DAY: i64 = 86_400;

    fn policy(algorithm: Algorithm) -> Policy {
        Policy { algorithm, rotate_every: i64::MAX, longest_ttl: DAY }
    }

    fn published(keys: &SigningKeys) -> Vec<String> {
        let text = fs::read(keys.folder.join(JWKS_FILE)).expect("public keys");
        KeySet::parse(&text).expect("a key set").kids().map(str::to_owned).collect()
    }

    fn first(keys: &SigningKeys) -> String {
        let Begun::Active(kid) = keys.begin(&policy(Algorithm::Es256), NOW).expect("a key") else {
            panic!("the first key has nothing to wait for")
        };
        kid
    }

    #[test]
    fn a_key_signs_only_after_it_was_published_and_the_old_one_is_kept_for_its_tokens() {
        let folder = tempfile::tempdir().expect("a folder");
        let keys = SigningKeys::new(folder.path().join("signing-keys"));
        let old = first(&keys);

        let begun = keys.begin(&policy(Algorithm::Es256), NOW + 1).expect("a second key");
        let Begun::Published(new) = &begun else { panic!("{begun:?}") };
        assert_eq!(published(&keys).len(), 2);
        assert_eq!(keys.signer(Algorithm::Es256, DAY, NOW + 1).expect("a signer").kid(), old);
        assert_eq!(keys.begin(&policy(Algorithm::Es256), NOW + 2).expect("the same"), begun, "no third key");
        keys.finish(&policy(Algorithm::Es256), NOW + 3).expect("activated");

        assert_eq!(keys.signer(Algorithm::Es256, DAY, NOW + 3).expect("a signer").kid(), new);
        assert_eq!(published(&keys).len(), 2);
        assert_eq!(keys.prune(NOW + 3 + DAY).expect("nothing yet"), 0);
        assert_eq!(keys.prune(NOW + 3 + DAY + 31).expect("the old one"), 1);
        assert_eq!(published(&keys), std::slice::from_ref(new));
        assert!(!keys.key_path(&old).exists());
    }

    #[test]
    fn a_longer_token_keeps_its_key_longer() {
        let folder = tempfile::tempdir().expect("a folder");
        let keys = SigningKeys::new(folder.path().to_owned());
        first(&keys);

        keys.signer(Algorithm::Es256, 100 * DAY, NOW).expect("a signer");
        keys.begin(&policy(Algorithm::EdDsa), NOW).expect("another algorithm");
        keys.finish(&policy(Algorithm::EdDsa), NOW).expect("activated");

        assert_eq!(keys.prune(NOW + 99 * DAY).expect("kept"), 0);
        assert_eq!(keys.prune(NOW + 101 * DAY).expect("dropped"), 1);
    }

    #[test]
    fn a_revoked_key_is_gone_everywhere_and_a_new_one_signs_at_once() {
        let folder = tempfile::tempdir().expect("a folder");
        let keys = SigningKeys::new(folder.path().to_owned());
        let lost = first(&keys);

        keys.revoke(&lost).expect("revoked");

        assert_eq!(published(&keys), Vec::<String>::new());
        assert!(keys.signer(Algorithm::Es256, DAY, NOW).is_err());
        assert!(keys.revoke(&lost).is_err());
        let next = first(&keys);
        assert_eq!(published(&keys), [next]);
    }

    #[test]
    fn a22_a_key_that_everybody_can_read_signs_nothing_and_can_be_taken_out_of_use() {
        let folder = tempfile::tempdir().expect("a folder");
        let keys = SigningKeys::new(folder.path().to_owned());
        let kid = first(&keys);
        fs::set_permissions(keys.key_path(&kid), fs::Permissions::from_mode(0o644)).expect("mode");

        let error = keys.signer(Algorithm::Es256, DAY, NOW).expect_err("leaked");

        assert!(format!("{error:#}").contains("counts as leaked"), "{error:#}");
        keys.revoke(&kid).expect("revoked");
        assert_ne!(first(&keys), kid);
    }

    #[test]
    fn keys_are_their_owners_alone_and_what_servers_read_is_public() {
        let folder = tempfile::tempdir().expect("a folder");
        let keys = SigningKeys::new(folder.path().join("signing-keys"));
        let kid = first(&keys);

        let mode = |path: &Path| fs::metadata(path).expect("there").permissions().mode() & 0o777;

        assert_eq!(mode(&keys.folder), 0o700);
        assert_eq!(mode(&keys.key_path(&kid)), 0o600);
        assert_eq!(mode(&keys.folder.join(RING_FILE)), 0o600);
        let public = fs::read_to_string(keys.folder.join(JWKS_FILE)).expect("public keys");
        assert!(!public.contains("\"d\""), "{public}");
    }

    #[test]
    fn a_key_of_another_algorithm_than_the_config_asks_for_does_not_sign() {
        let folder = tempfile::tempdir().expect("a folder");
        let keys = SigningKeys::new(folder.path().to_owned());

        let none = keys.signer(Algorithm::Es256, DAY, NOW).expect_err("no key").to_string();
        first(&keys);
        let other = keys.signer(Algorithm::EdDsa, DAY, NOW).expect_err("another").to_string();

        assert!(none.contains("token rotate-key") && other.contains("token rotate-key"), "{none} {other}");
    }
}
