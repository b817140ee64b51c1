//! What a roll-over replaces.

use zeroize::Zeroizing;

use crate::{
    ca::Ca,
    certificate::{CertificateFacts, Chain},
    leaf::Leaf,
    names::Names,
};

/// Something with a key that clients trust by its certificate.
pub trait Anchor: Sized {
    /// Reads it back; the error says what is the matter.
    fn read(chain: &str, key: &str) -> Result<Self, String>;

    /// The certificate, followed by its issuers where they are known.
    fn chain(&self) -> &Chain;

    /// Facts about the certificate.
    fn facts(&self) -> &CertificateFacts;

    /// The key as PEM.
    fn key_pem(&self) -> Zeroizing<String>;

    /// True when it is good for every name.
    fn permits(&self, names: &Names) -> bool;
}

/// Clients trust what it issues.
impl Anchor for Ca {
    fn read(chain: &str, key: &str) -> Result<Self, String> {
        Self::from_pem(chain, key).map_err(|error| error.to_string())
    }

    fn chain(&self) -> &Chain {
        self.chain()
    }

    fn facts(&self) -> &CertificateFacts {
        self.facts()
    }

    fn key_pem(&self) -> Zeroizing<String> {
        self.key_pem()
    }

    fn permits(&self, names: &Names) -> bool {
        self.permits(names)
    }
}

/// Clients trust the very certificate: it is self-signed.
impl Anchor for Leaf {
    fn read(chain: &str, key: &str) -> Result<Self, String> {
        let leaf = Self::from_pem(chain, key).map_err(|error| error.to_string())?;
        if leaf.is_self_signed() { Ok(leaf) } else { Err("it is not self-signed".to_owned()) }
    }

    fn chain(&self) -> &Chain {
        self.chain()
    }

    fn facts(&self) -> &CertificateFacts {
        self.facts()
    }

    fn key_pem(&self) -> Zeroizing<String> {
        self.key_pem()
    }

    fn permits(&self, names: &Names) -> bool {
        names.iter().all(|name| self.facts().names.contains(&name.to_string()))
    }
}
