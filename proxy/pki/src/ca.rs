//! Certificate authorities: made, read back, and asked to issue.

mod generate;
mod issue;

use zeroize::Zeroizing;

pub use self::generate::Subject;
pub(crate) use self::generate::date;
use crate::{
    certificate::{CertificateError, CertificateFacts, Chain, parse},
    constraints,
    key::{KeyError, PrivateKey},
    leaf::chain_matches_key,
    names::{Name, Names},
};

/// Why a CA cannot be made or read.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum CaError {
    /// The certificate cannot be read.
    #[error(transparent)]
    Certificate(#[from] CertificateError),
    /// The key cannot be read or made.
    #[error(transparent)]
    Key(#[from] KeyError),
    /// The key belongs to another certificate.
    #[error("the private key does not belong to the CA certificate")]
    KeyMismatch,
    /// Not a CA certificate (basic constraints), or one that may not sign (key usage).
    #[error("the certificate is not one of a CA that may sign certificates")]
    NotAuthority,
    /// A part of the subject is empty, too long, or not a country code.
    #[error("{0} is not valid in the subject of a CA")]
    Subject(&'static str),
    /// The validity is zero or reaches beyond the calendar.
    #[error("the validity of the CA is not usable")]
    Validity,
    /// Signing failed.
    #[error("failed to sign the CA certificate: {0}")]
    Sign(String),
}

/// A CA certificate with its key, and its own issuers where they are known.
#[derive(Debug)]
pub struct Ca {
    chain: Chain,
    key: PrivateKey,
    facts: CertificateFacts,
}

impl Ca {
    /// Reads a CA: the certificate (its issuers may follow it) and its key.
    ///
    /// Checks that they belong together and that the certificate is one of a CA; says nothing about time.
    pub fn from_pem(chain: &str, key: &str) -> Result<Self, CaError> {
        let chain = Chain::from_pem(chain)?;
        chain.check_order()?;
        Self::new(chain, PrivateKey::from_pem(key)?)
    }

    fn new(chain: Chain, key: PrivateKey) -> Result<Self, CaError> {
        if !chain_matches_key(&chain, &key)? {
            return Err(CaError::KeyMismatch);
        }
        let certificate = parse(chain.leaf(), 1)?;
        let may_sign = match certificate.key_usage() {
            Ok(usage) => usage.is_none_or(|usage| usage.value.key_cert_sign()),
            Err(_) => false,
        };
        if !certificate.is_ca() || !may_sign {
            return Err(CaError::NotAuthority);
        }
        // rcgen aborts on such a name.
        if certificate.subject().iter_rdn().any(|rdn| rdn.iter().next().is_none()) {
            return Err(CaError::Subject("an empty part"));
        }
        let facts = chain.facts()?;
        Ok(Self { chain, key, facts })
    }

    /// The CA's certificate, followed by its issuers where they are known.
    pub fn chain(&self) -> &Chain {
        &self.chain
    }

    /// Facts about the CA's certificate.
    pub fn facts(&self) -> &CertificateFacts {
        &self.facts
    }

    /// The certificate and its known issuers as PEM.
    pub fn chain_pem(&self) -> String {
        self.chain.to_pem()
    }

    /// The key as PEM.
    pub fn key_pem(&self) -> Zeroizing<String> {
        self.key.to_pem()
    }

    pub(crate) fn signing_pair(&self) -> &rcgen::KeyPair {
        self.key.pair()
    }

    /// The names that the name constraints of this CA and of its known issuers do not allow.
    pub fn not_permitted<'n>(&self, names: &'n Names) -> impl Iterator<Item = &'n Name> {
        names.iter().filter(|name| {
            let mut issuers = self.chain.certificates().iter();
            !issuers.all(|der| parse(der, 1).is_ok_and(|issuer| constraints::allow(&issuer, name)))
        })
    }

    /// True when the name constraints allow every name.
    pub fn permits(&self, names: &Names) -> bool {
        self.not_permitted(names).next().is_none()
    }
}
