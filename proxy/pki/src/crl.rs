//! Certificate revocation lists (RFC 5280, section 5): signed by a CA, read back from files.

use jiff::Timestamp;
use rcgen::{CertificateRevocationListParams, Issuer, KeyIdMethod, RevokedCertParams, SerialNumber};
use rustls_pki_types::{CertificateRevocationListDer, pem::SectionKind};
use x509_parser::{
    extensions::ParsedExtension, parse_x509_crl, revocation_list::CertificateRevocationList, time::ASN1Time,
};

use crate::{
    ca::{Ca, date},
    certificate::{Chain, hex, parse},
    pem,
};

/// The most lists that one file may hold: one for each CA that issues.
pub const MAX_LISTS: usize = 100;

/// Why a list cannot be read or made.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum CrlError {
    /// No PEM block of a list in the text.
    #[error("no revocation list found (expected PEM blocks X509 CRL)")]
    Missing,
    /// The PEM is damaged.
    #[error("failed to read PEM block {0}: it is damaged")]
    Pem(usize),
    /// A block holds something that is not a list.
    #[error("failed to read revocation list {0}: it is not an X.509 CRL")]
    Der(usize),
    /// A private key where only public lists belong.
    #[error("PEM block {0} is a private key; this file is public")]
    PrivateKey(usize),
    /// More than [`MAX_LISTS`].
    #[error("more than {MAX_LISTS} revocation lists in one file")]
    TooMany,
    /// A list without an end is never stale, so nobody would notice that it is no longer renewed.
    #[error("revocation list {0} does not say when the next one is due")]
    NoNextUpdate(usize),
    /// The list has passed its end.
    #[error("the revocation list of {issuer} was due to be replaced at {next_update}")]
    Stale {
        /// Who signed it.
        issuer: String,
        /// When the next one was due.
        next_update: Timestamp,
    },
    /// No list was signed with the key of this CA.
    #[error("no revocation list of {0} is signed by it")]
    NotSigned(String),
    /// Signing failed.
    #[error("failed to sign the revocation list: {0}")]
    Sign(String),
}

/// Why a certificate is revoked (RFC 5280, section 5.3.1); those that make sense for a leaf.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RevocationReason {
    /// Not said.
    Unspecified,
    /// Somebody else has, or may have, the key.
    KeyCompromise,
    /// There is a newer certificate.
    Superseded,
    /// The holder is not in service any longer.
    CessationOfOperation,
    /// The holder may not do any longer what the certificate was for.
    PrivilegeWithdrawn,
}

impl RevocationReason {
    /// Every reason with its name.
    pub const NAMES: [(&'static str, Self); 5] = [
        ("unspecified", Self::Unspecified),
        ("key-compromise", Self::KeyCompromise),
        ("superseded", Self::Superseded),
        ("cessation-of-operation", Self::CessationOfOperation),
        ("privilege-withdrawn", Self::PrivilegeWithdrawn),
    ];

    /// The name of the reason.
    pub fn name(self) -> &'static str {
        Self::NAMES.iter().find(|(_, reason)| *reason == self).map_or("unspecified", |(name, _)| name)
    }

    fn code(self) -> Option<rcgen::RevocationReason> {
        match self {
            // RFC 5280 wants it left out.
            Self::Unspecified => None,
            Self::KeyCompromise => Some(rcgen::RevocationReason::KeyCompromise),
            Self::Superseded => Some(rcgen::RevocationReason::Superseded),
            Self::CessationOfOperation => Some(rcgen::RevocationReason::CessationOfOperation),
            Self::PrivilegeWithdrawn => Some(rcgen::RevocationReason::PrivilegeWithdrawn),
        }
    }

    fn from_code(code: u8) -> Self {
        match code {
            1 => Self::KeyCompromise,
            4 => Self::Superseded,
            5 => Self::CessationOfOperation,
            9 => Self::PrivilegeWithdrawn,
            _ => Self::Unspecified,
        }
    }
}

/// One revoked certificate.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Revoked {
    /// Its serial number, lower-case hex as in `CertificateFacts`.
    pub serial: String,
    /// Since when.
    pub at: Timestamp,
    /// Why.
    pub reason: RevocationReason,
}

/// One revocation list.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Crl {
    der: CertificateRevocationListDer<'static>,
    /// Distinguished name of the CA that signed it.
    pub issuer: String,
    /// Key identifier of that CA, lower-case hex.
    pub issuer_key_id: Option<String>,
    /// Number of the list; each new one has a higher one.
    pub number: u64,
    /// When it was made.
    pub this_update: Timestamp,
    /// When the next one is due at the latest.
    pub next_update: Timestamp,
    /// What is revoked.
    pub revoked: Vec<Revoked>,
}

impl Crl {
    /// Reads one list. `number` is for the message: the first is 1.
    fn from_der(der: &[u8], number: usize) -> Result<Self, CrlError> {
        let Ok(([], list)) = parse_x509_crl(der) else { return Err(CrlError::Der(number)) };
        let at = |time: ASN1Time| Timestamp::from_second(time.timestamp()).map_err(|_| CrlError::Der(number));
        let next_update = list.next_update().ok_or(CrlError::NoNextUpdate(number))?;
        let revoked = list.iter_revoked_certificates().map(|revoked| {
            let code = revoked.reason_code().map(|(_, reason)| reason.0).unwrap_or_default();
            Ok(Revoked {
                serial: hex(revoked.raw_serial()),
                at: at(revoked.revocation_date)?,
                reason: RevocationReason::from_code(code),
            })
        });
        Ok(Self {
            issuer: list.issuer().to_string(),
            issuer_key_id: issuer_key_id(&list),
            number: list.crl_number().and_then(|number| u64::try_from(number).ok()).unwrap_or(0),
            this_update: at(list.last_update())?,
            next_update: at(next_update)?,
            revoked: revoked.collect::<Result<_, _>>()?,
            der: CertificateRevocationListDer::from(der.to_vec()),
        })
    }

    /// The list as DER.
    pub fn der(&self) -> &CertificateRevocationListDer<'static> {
        &self.der
    }

    /// True when the certificate with this serial number is on the list.
    pub fn revokes(&self, serial: &str) -> bool {
        let plain = |serial: &str| serial.trim_start_matches('0').to_owned();
        self.revoked.iter().any(|revoked| plain(&revoked.serial) == plain(serial))
    }

    /// True when this CA certificate's key signed the list.
    pub fn is_signed_by(&self, ca: &Chain) -> bool {
        let (Ok((_, list)), Ok(ca)) = (parse_x509_crl(&self.der), parse(ca.leaf(), 1)) else { return false };
        list.issuer().as_raw() == ca.subject().as_raw() && list.verify_signature(ca.public_key()).is_ok()
    }
}

/// The lists of one file.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Crls(Vec<Crl>);

impl Crls {
    /// Reads every list of a PEM text; at least one.
    pub fn from_pem(text: &str) -> Result<Self, CrlError> {
        let mut lists = Vec::new();
        for (index, block) in pem::blocks(text.as_bytes()).enumerate() {
            let (kind, der) = block.map_err(|pem::Broken| CrlError::Pem(index + 1))?;
            if pem::is_private(kind) {
                return Err(CrlError::PrivateKey(index + 1));
            }
            if kind == SectionKind::Crl {
                if lists.len() == MAX_LISTS {
                    return Err(CrlError::TooMany);
                }
                lists.push(Crl::from_der(&der, lists.len() + 1)?);
            }
        }
        if lists.is_empty() { Err(CrlError::Missing) } else { Ok(Self(lists)) }
    }

    /// The lists, in the order of the file.
    pub fn iter(&self) -> impl Iterator<Item = &Crl> {
        self.0.iter()
    }

    /// True when there is no list.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The earliest moment at which one of the lists is stale.
    pub fn next_update(&self) -> Option<Timestamp> {
        self.0.iter().map(|list| list.next_update).min()
    }

    /// Refuses lists of which one has passed its end.
    pub fn check_time(&self, now: Timestamp) -> Result<(), CrlError> {
        match self.0.iter().find(|list| now > list.next_update) {
            Some(Crl { issuer, next_update, .. }) => {
                Err(CrlError::Stale { issuer: issuer.clone(), next_update: *next_update })
            }
            None => Ok(()),
        }
    }

    /// The list that this CA signed.
    pub fn of(&self, ca: &Chain) -> Option<&Crl> {
        self.0.iter().find(|list| list.is_signed_by(ca))
    }

    /// The lists as PEM.
    pub fn to_pem(&self) -> String {
        self.0.iter().map(|list| pem::encode("X509 CRL", &list.der).to_string()).collect()
    }
}

impl FromIterator<Crl> for Crls {
    fn from_iter<I: IntoIterator<Item = Crl>>(lists: I) -> Self {
        Self(lists.into_iter().collect())
    }
}

impl Ca {
    /// Signs a list of what this CA has revoked. `number` has to be higher than that of the list before.
    pub fn revocation_list(
        &self,
        revoked: &[Revoked],
        number: u64,
        now: Timestamp,
        next_update: Timestamp,
    ) -> Result<Crl, CrlError> {
        let issuer = Issuer::from_ca_cert_der(self.chain().leaf(), self.signing_pair()).map_err(sign)?;
        // The identifier that leaves name, also where another tool made the CA.
        let key_identifier_method = match self.facts().subject_key_id.as_deref().and_then(unhex) {
            Some(id) => KeyIdMethod::PreSpecified(id),
            None => KeyIdMethod::Sha256,
        };
        let params = CertificateRevocationListParams {
            this_update: date(now),
            next_update: date(next_update),
            crl_number: SerialNumber::from(number),
            issuing_distribution_point: None,
            revoked_certs: revoked.iter().map(entry).collect::<Result<_, _>>()?,
            key_identifier_method,
        };
        let list = Crl::from_der(params.signed_by(&issuer).map_err(sign)?.der(), 1)?;
        if !list.is_signed_by(self.chain()) {
            return Err(CrlError::NotSigned(self.facts().subject.clone()));
        }
        Ok(list)
    }
}

fn entry(revoked: &Revoked) -> Result<RevokedCertParams, CrlError> {
    let Revoked { serial, at, reason } = revoked;
    let serial = unhex(serial).ok_or_else(|| CrlError::Sign(format!("{serial:?} is not a serial number")))?;
    Ok(RevokedCertParams {
        serial_number: SerialNumber::from_slice(&serial),
        revocation_time: date(*at),
        reason_code: reason.code(),
        invalidity_date: None,
    })
}

fn issuer_key_id(list: &CertificateRevocationList<'_>) -> Option<String> {
    list.extensions().iter().find_map(|extension| match extension.parsed_extension() {
        ParsedExtension::AuthorityKeyIdentifier(id) => id.key_identifier.as_ref().map(|id| hex(id.0)),
        _ => None,
    })
}

fn unhex(text: &str) -> Option<Vec<u8>> {
    let pairs = text.as_bytes().chunks(2).map(|pair| {
        let pair = std::str::from_utf8(pair).ok().filter(|pair| pair.len() == 2)?;
        u8::from_str_radix(pair, 16).ok()
    });
    pairs.collect::<Option<Vec<u8>>>().filter(|bytes| !bytes.is_empty())
}

#[expect(clippy::needless_pass_by_value, reason = "handed to map_err")]
fn sign(error: rcgen::Error) -> CrlError {
    CrlError::Sign(error.to_string())
}
