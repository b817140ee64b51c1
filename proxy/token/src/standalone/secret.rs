//! The shared secret of a server that runs alone.

use std::fmt;

use aws_lc_rs::hmac::{self, HMAC_SHA256};
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use thiserror::Error;
use zeroize::Zeroizing;

/// RFC 7518, 3.2: a key of at least the size of the hash.
const RECOMMENDED_BYTES: usize = 32;

/// Signs and verifies. It cannot be printed.
pub struct Secret {
    key: hmac::Key,
    length: usize,
}

/// Why a text cannot be the secret.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum SecretError {
    /// Nothing in it.
    #[error("the secret is empty")]
    Empty,
    /// Whoever has the public half could sign with it.
    #[error("the secret is a PEM or SSH key; HS256 needs a random text that nobody else knows")]
    IsKey,
    /// So short that it might be guessed from one token.
    #[error("the secret has less than {RECOMMENDED_BYTES} bytes: it might be guessed from one token")]
    TooShort,
}

impl Secret {
    /// How many random bytes a new secret is made of.
    pub const RANDOM_BYTES: usize = RECOMMENDED_BYTES;

    /// The text of a new secret: printable, of these random bytes, which the caller draws.
    pub fn text_of(random: &[u8; Self::RANDOM_BYTES]) -> Zeroizing<String> {
        Zeroizing::new(URL_SAFE_NO_PAD.encode(random))
    }

    /// The secret of these bytes, without white space around them, as the original reads files.
    pub fn new(bytes: &[u8]) -> Result<Self, SecretError> {
        let bytes = bytes.trim_ascii();
        if bytes.is_empty() {
            return Err(SecretError::Empty);
        }
        if bytes.starts_with(b"-----BEGIN ") || bytes.starts_with(b"ssh-") {
            return Err(SecretError::IsKey);
        }
        Ok(Self { key: hmac::Key::new(HMAC_SHA256, bytes), length: bytes.len() })
    }

    /// The same where a short one will not do.
    pub fn strong(bytes: &[u8]) -> Result<Self, SecretError> {
        let secret = Self::new(bytes)?;
        if secret.is_short() { Err(SecretError::TooShort) } else { Ok(secret) }
    }

    /// Short enough that it might be guessed from one token; worth a warning.
    pub fn is_short(&self) -> bool {
        self.length < RECOMMENDED_BYTES
    }

    pub(super) fn sign(&self, message: &[u8]) -> hmac::Tag {
        hmac::sign(&self.key, message)
    }

    /// In constant time.
    pub(super) fn verify(&self, message: &[u8], tag: &[u8]) -> bool {
        hmac::verify(&self.key, message, tag).is_ok()
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("Secret(..)")
    }
}
