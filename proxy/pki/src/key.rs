//! Private keys: made, read and written without leaving readable copies.

use std::fmt;

use rcgen::{KeyPair, PKCS_ECDSA_P256_SHA256, PublicKeyData};
use rustls_pki_types::PrivateKeyDer;
use zeroize::{Zeroize, Zeroizing};

use crate::pem;

/// Why a private key cannot be made or read. Never quotes the key.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum KeyError {
    /// The system gave no randomness.
    #[error("failed to make a private key")]
    Generate,
    /// No PEM block of a private key in the text.
    #[error("no private key found (expected a PEM block PRIVATE KEY, EC PRIVATE KEY or RSA PRIVATE KEY)")]
    Missing,
    /// More than one private key in the text.
    #[error("more than one private key found")]
    Several,
    /// The PEM or the key in it is damaged, encrypted or of an unknown kind.
    #[error("failed to read the private key: it is damaged or of an unsupported kind")]
    Unreadable,
}

/// A private key. Printing it prints nothing, dropping it zeroes it.
pub struct PrivateKey(KeyPair);

impl PrivateKey {
    /// A fresh ECDSA key on P-256.
    pub fn generate() -> Result<Self, KeyError> {
        KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256).map(Self).map_err(|_| KeyError::Generate)
    }

    /// Reads the one private key in a PEM text (PKCS#8, SEC 1 or PKCS#1, not encrypted).
    pub fn from_pem(text: &str) -> Result<Self, KeyError> {
        let mut found = None;
        for block in pem::blocks(text.as_bytes()) {
            let (kind, der) = block.map_err(|pem::Broken| KeyError::Unreadable)?;
            if pem::is_private(kind) && found.replace(der).is_some() {
                return Err(KeyError::Several);
            }
        }
        let der = found.ok_or(KeyError::Missing)?;
        let key = PrivateKeyDer::try_from(der.as_slice()).map_err(|_| KeyError::Unreadable)?;
        KeyPair::try_from(&key).map(Self).map_err(|_| KeyError::Unreadable)
    }

    /// The key as PEM.
    pub fn to_pem(&self) -> Zeroizing<String> {
        // A key that was read keeps its encoding, which is PKCS#8 unless another tool wrote it.
        let der = self.0.serialized_der();
        let label = match PrivateKeyDer::try_from(der) {
            Ok(PrivateKeyDer::Pkcs1(_)) => "RSA PRIVATE KEY",
            Ok(PrivateKeyDer::Sec1(_)) => "EC PRIVATE KEY",
            _ => "PRIVATE KEY",
        };
        pem::encode(label, der)
    }

    /// The public half, as DER of `SubjectPublicKeyInfo`.
    pub fn public_key(&self) -> Vec<u8> {
        self.0.subject_public_key_info()
    }

    /// The key as a TLS library takes it. Zero it after use where the library does not.
    pub fn to_der(&self) -> Result<PrivateKeyDer<'static>, KeyError> {
        PrivateKeyDer::try_from(self.0.serialized_der().to_vec()).map_err(|_| KeyError::Unreadable)
    }

    pub(crate) fn pair(&self) -> &KeyPair {
        &self.0
    }
}

impl Drop for PrivateKey {
    fn drop(&mut self) {
        self.0.zeroize();
    }
}

impl fmt::Debug for PrivateKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("PrivateKey(..)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_survives_the_round_trip_through_pem() {
        let key = PrivateKey::generate().expect("a key");

        let again = PrivateKey::from_pem(&key.to_pem()).expect("the same key");

        assert_eq!(again.public_key(), key.public_key());
        assert_eq!(*again.to_pem(), *key.to_pem());
    }

    #[test]
    fn a_key_prints_nothing() {
        assert_eq!(format!("{:?}", PrivateKey::generate().expect("a key")), "PrivateKey(..)");
    }

    #[test]
    fn text_without_exactly_one_whole_key_is_refused() {
        let key = PrivateKey::generate().expect("a key").to_pem();
        let two = format!("{}{}", *key, *key);
        let cut = &key[..key.len() / 2];

        assert_eq!(PrivateKey::from_pem("").err(), Some(KeyError::Missing));
        assert_eq!(PrivateKey::from_pem(&two).err(), Some(KeyError::Several));
        assert_eq!(PrivateKey::from_pem(cut).err(), Some(KeyError::Unreadable));
    }
}
