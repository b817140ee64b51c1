//! Reading certificates: chains out of PEM, and the facts that people, metrics and the fleet report want.

use std::net::IpAddr;

use aws_lc_rs::digest::{SHA256, digest};
use base64::{Engine, prelude::BASE64_STANDARD};
use jiff::Timestamp;
use rustls_pki_types::{CertificateDer, pem::SectionKind};
use x509_parser::{
    certificate::X509Certificate,
    error::X509Error,
    extensions::{GeneralName, ParsedExtension},
    parse_x509_certificate,
};

use crate::{pem, renewal::Lifetime};

/// The most certificates that one file may hold. A chain has two or three, a bundle some hundred.
pub const MAX_CERTIFICATES: usize = 1000;

/// Why certificates cannot be read.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum CertificateError {
    /// No PEM block CERTIFICATE in the text.
    #[error("no certificate found (expected PEM blocks CERTIFICATE)")]
    Missing,
    /// The PEM is damaged.
    #[error("failed to read PEM block {0}: it is damaged")]
    Pem(usize),
    /// A block holds something that is not a certificate.
    #[error("failed to read certificate {0}: it is not X.509")]
    Der(usize),
    /// A private key where only public certificates belong.
    #[error("PEM block {0} is a private key; this file is public")]
    PrivateKey(usize),
    /// More than [`MAX_CERTIFICATES`].
    #[error("more than {MAX_CERTIFICATES} certificates in one file")]
    TooMany,
    /// A certificate of a chain was not issued by the one that follows it.
    #[error("certificate {} was not issued by certificate {}: the chain goes from the leaf upwards", .0, .0 + 1)]
    Order(usize),
}

/// At least one certificate, each known to be X.509. As a file: the leaf first, its issuers after it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Chain(Vec<CertificateDer<'static>>);

impl Chain {
    /// Reads every certificate of a PEM text. Does not check who issued whom: see [`Self::check_order`].
    pub fn from_pem(text: &str) -> Result<Self, CertificateError> {
        Self::new(certificates(text, false)?)
    }

    /// Takes certificates, the leaf first. Does not check who issued whom.
    pub fn new(certificates: Vec<CertificateDer<'static>>) -> Result<Self, CertificateError> {
        if certificates.is_empty() { Err(CertificateError::Missing) } else { Ok(Self(certificates)) }
    }

    /// The first certificate.
    pub fn leaf(&self) -> &CertificateDer<'static> {
        // `new` is the only way in and refuses an empty list.
        #[expect(clippy::indexing_slicing, reason = "never empty")]
        &self.0[0]
    }

    /// All certificates, the leaf first.
    pub fn certificates(&self) -> &[CertificateDer<'static>] {
        &self.0
    }

    /// The chain as PEM.
    pub fn to_pem(&self) -> String {
        pem::encode_certificates(self.0.iter().map(AsRef::as_ref))
    }

    /// Facts about the leaf.
    pub fn facts(&self) -> Result<CertificateFacts, CertificateError> {
        CertificateFacts::from_der(self.leaf())
    }

    /// Checks that each certificate was issued by the next one, by name and by signature.
    pub fn check_order(&self) -> Result<(), CertificateError> {
        for (position, pair) in self.0.windows(2).enumerate() {
            let [child, parent] = pair else { continue };
            let child = parse(child, position + 1)?;
            let parent = parse(parent, position + 2)?;
            let signed = match child.verify_signature(Some(parent.public_key())) {
                // Of an algorithm that cannot be checked here (P-521, say) the name has to do; clients check anyway.
                Ok(()) | Err(X509Error::SignatureUnsupportedAlgorithm) => true,
                Err(_) => false,
            };
            if !signed || child.issuer().as_raw() != parent.subject().as_raw() {
                return Err(CertificateError::Order(position + 1));
            }
        }
        Ok(())
    }
}

/// What is worth telling about one certificate.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CertificateFacts {
    /// SHA-256 of the DER, lower-case hex.
    pub fingerprint_sha256: String,
    /// SHA-256 of the public key, base64 (RFC 7469 without the prefix).
    pub public_key_pin: String,
    /// Serial number, lower-case hex.
    pub serial: String,
    /// Distinguished name of the holder.
    pub subject: String,
    /// Distinguished name of the issuer.
    pub issuer: String,
    /// From when until when it is valid.
    pub lifetime: Lifetime,
    /// DNS names and IP addresses, in the order of the certificate.
    pub names: Vec<String>,
    /// Key identifier of the issuer, lower-case hex.
    pub issuer_key_id: Option<String>,
    /// Key identifier of the holder, lower-case hex.
    pub subject_key_id: Option<String>,
    /// True for a certificate authority.
    pub is_authority: bool,
}

impl CertificateFacts {
    /// Facts about the first certificate of a PEM text.
    pub fn from_pem(text: &str) -> Result<Self, CertificateError> {
        Chain::from_pem(text)?.facts()
    }

    /// Facts about one certificate.
    pub fn from_der(der: &[u8]) -> Result<Self, CertificateError> {
        let certificate = parse(der, 1)?;
        let (subject_key_id, issuer_key_id) = key_ids(&certificate);
        Ok(Self {
            fingerprint_sha256: hex(digest(&SHA256, der).as_ref()),
            public_key_pin: BASE64_STANDARD.encode(digest(&SHA256, certificate.public_key().raw)),
            serial: hex(certificate.raw_serial()),
            subject: certificate.subject().to_string(),
            issuer: certificate.issuer().to_string(),
            lifetime: lifetime(&certificate)?,
            names: names(&certificate),
            issuer_key_id,
            subject_key_id,
            is_authority: certificate.is_ca(),
        })
    }

    /// Whole days until it expires; negative once it has.
    pub fn days_left(&self, now: Timestamp) -> i64 {
        self.lifetime.days_left(now)
    }
}

/// Every certificate of a PEM text, in order. `public` refuses a text that also holds a private key.
pub(crate) fn certificates(
    text: &str,
    public: bool,
) -> Result<Vec<CertificateDer<'static>>, CertificateError> {
    let mut found = Vec::new();
    let mut blocks = 0;
    for (index, block) in pem::blocks(text.as_bytes()).enumerate() {
        let (kind, der) = block.map_err(|pem::Broken| CertificateError::Pem(index + 1))?;
        blocks = index + 1;
        if public && pem::is_private(kind) {
            return Err(CertificateError::PrivateKey(index + 1));
        }
        if kind != SectionKind::Certificate {
            continue;
        }
        if found.len() == MAX_CERTIFICATES {
            return Err(CertificateError::TooMany);
        }
        parse(&der, found.len() + 1)?;
        found.push(CertificateDer::from(der.to_vec()));
    }
    if pem::is_torn(text) {
        return Err(CertificateError::Pem(blocks + 1));
    }
    Ok(found)
}

/// One certificate with nothing after it. `number` is for the message: the first is 1.
pub(crate) fn parse(der: &[u8], number: usize) -> Result<X509Certificate<'_>, CertificateError> {
    match parse_x509_certificate(der) {
        Ok(([], certificate)) => Ok(certificate),
        _ => Err(CertificateError::Der(number)),
    }
}

pub(crate) fn lifetime(certificate: &X509Certificate<'_>) -> Result<Lifetime, CertificateError> {
    let at = |seconds| Timestamp::from_second(seconds).map_err(|_| CertificateError::Der(1));
    let validity = certificate.validity();
    Ok(Lifetime {
        not_before: at(validity.not_before.timestamp())?,
        not_after: at(validity.not_after.timestamp())?,
    })
}

/// Subject and authority key identifiers.
fn key_ids(certificate: &X509Certificate<'_>) -> (Option<String>, Option<String>) {
    let (mut subject, mut authority) = (None, None);
    for extension in certificate.iter_extensions() {
        match extension.parsed_extension() {
            ParsedExtension::SubjectKeyIdentifier(id) => subject = Some(hex(id.0)),
            ParsedExtension::AuthorityKeyIdentifier(id) => {
                authority = id.key_identifier.as_ref().map(|id| hex(id.0));
            }
            _ => {}
        }
    }
    (subject, authority)
}

fn names(certificate: &X509Certificate<'_>) -> Vec<String> {
    let Ok(Some(extension)) = certificate.subject_alternative_name() else { return Vec::new() };
    let names = extension.value.general_names.iter();
    names
        .filter_map(|name| match name {
            GeneralName::DNSName(name) => Some((*name).to_owned()),
            GeneralName::IPAddress(octets) => address(octets).map(|address| address.to_string()),
            _ => None,
        })
        .collect()
}

/// An address of four or sixteen octets.
pub(crate) fn address(octets: &[u8]) -> Option<IpAddr> {
    match octets.len() {
        4 => <[u8; 4]>::try_from(octets).ok().map(IpAddr::from),
        16 => <[u8; 16]>::try_from(octets).ok().map(IpAddr::from),
        _ => None,
    }
}

pub(crate) fn hex(bytes: &[u8]) -> String {
    use std::fmt::Write;
    bytes.iter().fold(String::with_capacity(2 * bytes.len()), |mut text, byte| {
        // Writing into a String cannot fail.
        let _ = write!(text, "{byte:02x}");
        text
    })
}
