//! Leaf certificates with their keys: what is asked for, what is issued, and what is read back from files.

use std::time::Duration;

use jiff::Timestamp;
use x509_parser::{
    der_parser::{Oid, oid},
    public_key::PublicKey,
};
use zeroize::Zeroizing;

use crate::{
    certificate::{CertificateError, CertificateFacts, Chain, parse},
    key::{KeyError, PrivateKey},
    names::Names,
};

/// What a leaf may be used for (extended key usage).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Usage {
    /// TLS server.
    Server,
    /// TLS client.
    Client,
    /// Both, for peers that may take either side.
    ServerAndClient,
}

/// What a CA is asked for. The key is made by the issuing call.
#[derive(Debug, Clone, Copy)]
pub struct IssueRequest<'a> {
    /// Subject alternative names; the first DNS name is also the common name.
    pub names: &'a Names,
    /// Server, client or both.
    pub usage: Usage,
    /// How long from `now`. Cut short where the CA ends earlier.
    pub validity: Duration,
    /// The time of issuing; the certificate is backdated a little for slow clocks.
    pub now: Timestamp,
}

/// Why a leaf is not issued.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum IssueError {
    /// The CA is not valid at the time of issuing.
    #[error("the CA is valid from {not_before} until {not_after}, not now")]
    CaNotValid {
        /// First moment of the CA.
        not_before: Timestamp,
        /// Last moment of the CA.
        not_after: Timestamp,
    },
    /// The CA's name constraints exclude a name.
    #[error("the CA is not permitted to issue for `{0}`")]
    NotPermitted(String),
    /// The validity is zero or reaches beyond the calendar.
    #[error("a validity of {0:?} cannot be issued")]
    Validity(Duration),
    /// No key could be made.
    #[error(transparent)]
    Key(#[from] KeyError),
    /// Signing failed.
    #[error("failed to sign the certificate: {0}")]
    Sign(String),
}

/// Why a certificate and a key do not make a pair that can be served.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PairError {
    /// The certificates cannot be read, or are not one chain.
    #[error(transparent)]
    Certificate(#[from] CertificateError),
    /// The key cannot be read.
    #[error(transparent)]
    Key(#[from] KeyError),
    /// The key belongs to another certificate.
    #[error("the private key does not belong to the certificate")]
    KeyMismatch,
    /// A certificate of the chain is signed in a way that can be forged. The first is 1.
    #[error("certificate {0} is signed with SHA-1 or MD5, which can be forged; clients refuse it")]
    WeakSignature(usize),
    /// An RSA key of a chain that can be broken.
    #[error("certificate {0} has an RSA key of less than 2048 bits, which can be broken; clients refuse it")]
    WeakKey(usize),
    /// Past its end.
    #[error("the certificate expired at {0}")]
    Expired(Timestamp),
    /// Before its beginning.
    #[error("the certificate is not valid before {0}")]
    NotYetValid(Timestamp),
}

/// A chain and the key of its first certificate; they are known to match.
#[derive(Debug)]
pub struct Leaf {
    chain: Chain,
    key: PrivateKey,
    facts: CertificateFacts,
}

impl Leaf {
    /// Reads a pair: everything parses, the chain is in order and strong enough for today's clients, the key belongs to the
    /// leaf. Says nothing about time.
    pub fn from_pem(chain: &str, key: &str) -> Result<Self, PairError> {
        let chain = Chain::from_pem(chain)?;
        chain.check_order()?;
        check_strength(&chain)?;
        Self::new(chain, PrivateKey::from_pem(key)?)
    }

    pub(crate) fn new(chain: Chain, key: PrivateKey) -> Result<Self, PairError> {
        if !chain_matches_key(&chain, &key)? {
            return Err(PairError::KeyMismatch);
        }
        let facts = chain.facts()?;
        Ok(Self { chain, key, facts })
    }

    /// Refuses a leaf outside its lifetime. Its issuers are the client's business: an expired cross-signature is harmless.
    pub fn check_time(&self, now: Timestamp) -> Result<(), PairError> {
        let lifetime = self.facts.lifetime;
        if now > lifetime.not_after {
            return Err(PairError::Expired(lifetime.not_after));
        }
        if now < lifetime.not_before {
            return Err(PairError::NotYetValid(lifetime.not_before));
        }
        Ok(())
    }

    /// The leaf and its issuers, without a self-signed root.
    pub fn chain(&self) -> &Chain {
        &self.chain
    }

    /// The key of the leaf.
    pub fn key(&self) -> &PrivateKey {
        &self.key
    }

    /// Facts about the leaf.
    pub fn facts(&self) -> &CertificateFacts {
        &self.facts
    }

    /// True when nobody but the leaf itself vouches for it.
    pub fn is_self_signed(&self) -> bool {
        self.facts.issuer == self.facts.subject && self.chain.certificates().len() == 1
    }

    /// The chain as PEM, the content of `tls.crt`.
    pub fn chain_pem(&self) -> String {
        self.chain.to_pem()
    }

    /// The key as PEM, the content of `tls.key`.
    pub fn key_pem(&self) -> Zeroizing<String> {
        self.key.to_pem()
    }
}

/// Refuses signatures and keys that no client of today accepts. What signs itself is trusted for other reasons.
fn check_strength(chain: &Chain) -> Result<(), PairError> {
    const SHORTEST_RSA: usize = 2048;
    for (number, der) in (1..).zip(chain.certificates()) {
        let certificate = parse(der, number)?;
        let signs_itself = certificate.issuer().as_raw() == certificate.subject().as_raw();
        if !signs_itself && FORGEABLE.contains(&certificate.signature_algorithm.algorithm) {
            return Err(PairError::WeakSignature(number));
        }
        if let Ok(PublicKey::RSA(key)) = certificate.public_key().parsed()
            && key.key_size() < SHORTEST_RSA
        {
            return Err(PairError::WeakKey(number));
        }
    }
    Ok(())
}

/// MD5 and SHA-1, with RSA and with ECDSA.
const FORGEABLE: [Oid<'static>; 3] =
    [oid!(1.2.840.113549.1.1.4), oid!(1.2.840.113549.1.1.5), oid!(1.2.840.10045.4.1)];

/// True when the key is the one of the first certificate.
pub fn chain_matches_key(chain: &Chain, key: &PrivateKey) -> Result<bool, CertificateError> {
    Ok(parse(chain.leaf(), 1)?.public_key().raw == key.public_key())
}
