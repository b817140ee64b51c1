//! The certificates that clients trust, as one public PEM file.

use rustls_pki_types::CertificateDer;

use crate::{
    certificate::{CertificateError, Chain, certificates},
    pem,
};

/// Certificates to trust: in the order given, none twice. The same input gives the same bytes.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct TrustBundle(Vec<CertificateDer<'static>>);

impl TrustBundle {
    /// Reads a bundle. A private key in it is an error, because bundles are published.
    pub fn from_pem(text: &str) -> Result<Self, CertificateError> {
        let mut bundle = Self::default();
        bundle.extend(certificates(text, true)?);
        if bundle.is_empty() { Err(CertificateError::Missing) } else { Ok(bundle) }
    }

    /// Adds what is not in it yet, at the end.
    pub fn extend(&mut self, certificates: impl IntoIterator<Item = CertificateDer<'static>>) {
        for certificate in certificates {
            if !self.0.contains(&certificate) {
                self.0.push(certificate);
            }
        }
    }

    /// The certificates in order.
    pub fn certificates(&self) -> &[CertificateDer<'static>] {
        &self.0
    }

    /// True when whoever trusts these certificates can trust the chain: one of it is among them, or one of them has issued its last.
    /// Says nothing about time and names.
    pub fn vouches_for(&self, chain: &Chain) -> bool {
        let last = chain.certificates().last();
        self.0.iter().any(|trusted| {
            chain.certificates().contains(trusted)
                || last.is_some_and(|last| {
                    Chain::new(vec![last.clone(), trusted.clone()])
                        .is_ok_and(|pair| pair.check_order().is_ok())
                })
        })
    }

    /// True when nothing is trusted.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The bundle as PEM, without any text around the blocks.
    pub fn to_pem(&self) -> String {
        pem::encode_certificates(self.0.iter().map(AsRef::as_ref))
    }
}

impl FromIterator<CertificateDer<'static>> for TrustBundle {
    fn from_iter<I: IntoIterator<Item = CertificateDer<'static>>>(certificates: I) -> Self {
        let mut bundle = Self::default();
        bundle.extend(certificates);
        bundle
    }
}
