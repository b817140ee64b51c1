//! A private key that signs tokens.

mod rsa;

use std::fmt;

use aws_lc_rs::encoding::AsDer;
use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::rsa::KeySize;
use aws_lc_rs::signature::{
    ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, Ed25519KeyPair, KeyPair, RSA_PKCS1_SHA256,
    RSA_PKCS1_SHA384, RSA_PKCS1_SHA512, RsaEncoding, RsaKeyPair,
};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use rustls_pki_types::PrivatePkcs8KeyDer;
use rustls_pki_types::pem::PemObject;
use thiserror::Error;
use zeroize::{Zeroize, Zeroizing};

use crate::algorithm::Algorithm;
use crate::jwk::PublicJwk;

const MIN_RSA_MODULUS_BYTES: usize = 256;
const PEM_LINE: usize = 64;

/// A private key with its one algorithm. It cannot be printed or cloned.
pub struct SigningKey {
    pair: Pair,
    jwk: PublicJwk,
}

enum Pair {
    Es256(EcdsaKeyPair),
    EdDsa(Ed25519KeyPair),
    Rsa(Box<RsaKeyPair>, &'static RsaHash),
}

/// Why a private key cannot be made, read, written or used.
#[derive(Debug, Error)]
pub enum KeyError {
    /// The cryptographic library could not make a key.
    #[error("failed to generate a signing key")]
    Generate,
    /// Not a `PRIVATE KEY` block, or damaged.
    #[error("failed to read a signing key as PKCS#8 PEM")]
    Pem,
    /// A key of another kind, curve or size than we sign with.
    #[error("failed to read a signing key: it is none of P-256, Ed25519 and RSA of 2048 bits or more")]
    Kind,
    /// The cryptographic library could not write it.
    #[error("failed to write a signing key as PKCS#8")]
    Encode,
    /// The cryptographic library could not sign.
    #[error("failed to sign")]
    Sign,
}

/// What an RSA key signs with: the key itself does not say.
struct RsaHash {
    algorithm: Algorithm,
    encoding: &'static dyn RsaEncoding,
}

static RSA_HASHES: [RsaHash; 3] = [
    RsaHash { algorithm: Algorithm::Rs256, encoding: &RSA_PKCS1_SHA256 },
    RsaHash { algorithm: Algorithm::Rs384, encoding: &RSA_PKCS1_SHA384 },
    RsaHash { algorithm: Algorithm::Rs512, encoding: &RSA_PKCS1_SHA512 },
];

impl SigningKey {
    /// A new key from the system's randomness.
    pub fn generate(algorithm: Algorithm) -> Result<Self, KeyError> {
        let pair = match algorithm {
            Algorithm::Es256 => EcdsaKeyPair::generate(&ECDSA_P256_SHA256_FIXED_SIGNING).map(Pair::Es256),
            Algorithm::EdDsa => Ed25519KeyPair::generate().map(Pair::EdDsa),
            Algorithm::Rs256 | Algorithm::Rs384 | Algorithm::Rs512 => {
                RsaKeyPair::generate(KeySize::Rsa2048).map(|pair| Pair::rsa(pair, algorithm))
            }
        };
        Self::from_pair(pair.map_err(|_| KeyError::Generate)?)
    }

    /// Reads an unencrypted `PRIVATE KEY` block; the kind of key decides the algorithm, and RSA is for RS256.
    pub fn from_pkcs8_pem(pem: &str) -> Result<Self, KeyError> {
        Self::read(pem, Algorithm::Rs256)
    }

    /// Reads an unencrypted `PRIVATE KEY` block that must be one for this algorithm.
    pub fn from_pkcs8_pem_for(algorithm: Algorithm, pem: &str) -> Result<Self, KeyError> {
        let key = Self::read(pem, algorithm)?;
        if key.algorithm() == algorithm { Ok(key) } else { Err(KeyError::Kind) }
    }

    fn read(pem: &str, of_rsa: Algorithm) -> Result<Self, KeyError> {
        let mut der = PrivatePkcs8KeyDer::from_pem_slice(pem.as_bytes()).map_err(|_| KeyError::Pem)?;
        let key = Self::from_pkcs8_der(der.secret_pkcs8_der(), of_rsa);
        der.zeroize();
        key
    }

    fn from_pkcs8_der(der: &[u8], of_rsa: Algorithm) -> Result<Self, KeyError> {
        let pair = EcdsaKeyPair::from_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, der)
            .map(Pair::Es256)
            .or_else(|_| Ed25519KeyPair::from_pkcs8(der).map(Pair::EdDsa))
            .or_else(|_| RsaKeyPair::from_pkcs8(der).map(|pair| Pair::rsa(pair, of_rsa)))
            .map_err(|_| KeyError::Kind)?;
        Self::from_pair(pair)
    }

    fn from_pair(pair: Pair) -> Result<Self, KeyError> {
        let jwk = pair.public_jwk().ok_or(KeyError::Kind)?;
        Ok(Self { pair, jwk })
    }

    /// The key as a `PRIVATE KEY` block, wiped when dropped.
    pub fn to_pkcs8_pem(&self) -> Result<Zeroizing<String>, KeyError> {
        let der = self.pair.to_pkcs8_der()?;
        let text = Zeroizing::new(STANDARD.encode(der.as_slice()));
        let mut pem = Zeroizing::new(String::with_capacity(text.len() + text.len() / PEM_LINE + 64));
        pem.push_str("-----BEGIN PRIVATE KEY-----\n");
        let mut rest = text.as_str();
        while !rest.is_empty() {
            let (line, remaining) = rest.split_at(PEM_LINE.min(rest.len()));
            pem.push_str(line);
            pem.push('\n');
            rest = remaining;
        }
        pem.push_str("-----END PRIVATE KEY-----\n");
        Ok(pem)
    }

    /// The name of the key: the RFC 7638 thumbprint of its public half.
    pub fn kid(&self) -> &str {
        self.jwk.kid()
    }

    /// The one algorithm that it signs with.
    pub fn algorithm(&self) -> Algorithm {
        self.jwk.algorithm()
    }

    /// The public half, for a [`crate::KeySet`].
    pub fn public_jwk(&self) -> &PublicJwk {
        &self.jwk
    }

    pub(crate) fn sign(&self, message: &[u8]) -> Result<Vec<u8>, KeyError> {
        self.pair.sign(message).ok_or(KeyError::Sign)
    }
}

impl fmt::Debug for SigningKey {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("SigningKey(..)")
    }
}

impl Pair {
    /// With the hash of an RSA algorithm; any other algorithm reads as RS256.
    fn rsa(pair: RsaKeyPair, algorithm: Algorithm) -> Self {
        let [default, ..] = &RSA_HASHES;
        let hash = RSA_HASHES.iter().find(|hash| hash.algorithm == algorithm).unwrap_or(default);
        Self::Rsa(Box::new(pair), hash)
    }

    fn public_jwk(&self) -> Option<PublicJwk> {
        match self {
            Self::Es256(pair) => PublicJwk::es256(pair.public_key().as_ref()),
            Self::EdDsa(pair) => Some(PublicJwk::eddsa(pair.public_key().as_ref())),
            Self::Rsa(pair, hash) => {
                let (modulus, exponent) = rsa::modulus_and_exponent(pair.public_key().as_ref())?;
                (modulus.len() >= MIN_RSA_MODULUS_BYTES)
                    .then(|| PublicJwk::rsa(hash.algorithm, modulus, exponent))
            }
        }
    }

    fn to_pkcs8_der(&self) -> Result<Zeroizing<Vec<u8>>, KeyError> {
        let encoded = match self {
            Self::Es256(pair) => pair.to_pkcs8v1().map(|der| Zeroizing::new(der.as_ref().to_vec())),
            Self::EdDsa(pair) => pair.to_pkcs8v1().map(|der| Zeroizing::new(der.as_ref().to_vec())),
            Self::Rsa(pair, _) => pair.as_der().map(|der| Zeroizing::new(der.as_ref().to_vec())),
        };
        encoded.map_err(|_| KeyError::Encode)
    }

    fn sign(&self, message: &[u8]) -> Option<Vec<u8>> {
        let random = SystemRandom::new();
        match self {
            Self::Es256(pair) => Some(pair.sign(&random, message).ok()?.as_ref().to_vec()),
            Self::EdDsa(pair) => Some(pair.try_sign(message).ok()?.as_ref().to_vec()),
            Self::Rsa(pair, hash) => {
                let mut signature = vec![0; pair.public_modulus_len()];
                pair.sign(hash.encoding, &random, message, &mut signature).ok()?;
                Some(signature)
            }
        }
    }
}
