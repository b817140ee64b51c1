//! Making CAs: a root and an intermediate for the command line, a constrained CA for one proxy.

use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use rcgen::{
    BasicConstraints, CertificateParams, DistinguishedName, DnType, DnValue, IsCa, Issuer, KeyUsagePurpose,
    SerialNumber,
};
use x509_parser::x509::AttributeTypeAndValue;

use super::{Ca, CaError};
use crate::{
    certificate::{Chain, hex, parse},
    constraints,
    key::{KeyError, PrivateKey},
    names::Names,
    renewal::Lifetime,
};

/// How far the beginning of a certificate lies in the past, for clients whose clocks are slow.
const BACKDATE: SignedDuration = SignedDuration::from_mins(5);

/// The longest attribute of a subject (RFC 5280, appendix A).
const MAX_ATTRIBUTE: usize = 64;

/// The distinguished name of a CA.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Subject {
    /// CN.
    pub common_name: String,
    /// O.
    pub organization: Option<String>,
    /// C: two letters.
    pub country: Option<String>,
}

impl Ca {
    /// A self-signed root under which one level of intermediates may exist.
    pub fn root(subject: &Subject, validity: Duration, now: Timestamp) -> Result<Self, CaError> {
        let params = params(subject, 1, validity, now)?;
        Self::self_signed(&params, PrivateKey::generate()?)
    }

    /// An intermediate CA, signed by this one, that issues leaves only.
    ///
    /// Ends with its issuer, if that is sooner.
    pub fn intermediate(
        &self,
        subject: &Subject,
        validity: Duration,
        now: Timestamp,
    ) -> Result<Self, CaError> {
        self.sign_intermediate(subject, PrivateKey::generate()?, validity, now)
    }

    fn sign_intermediate(
        &self,
        subject: &Subject,
        key: PrivateKey,
        validity: Duration,
        now: Timestamp,
    ) -> Result<Self, CaError> {
        let mut params = params(subject, 0, validity, now)?;
        params.not_after = params.not_after.min(date(self.facts.lifetime.not_after));
        let issuer = Issuer::from_ca_cert_der(self.chain.leaf(), self.key.pair()).map_err(sign)?;
        let certificate = params.signed_by(key.pair(), &issuer).map_err(sign)?;
        let mut chain = vec![certificate.der().clone()];
        chain.extend_from_slice(self.chain.certificates());
        Self::new(Chain::new(chain)?, key)
    }

    /// A root that takes the place of another: a new key, and a name of its own, so that chains and revocation lists of both
    /// are never mixed up.
    pub fn root_in_place_of(old: &Chain, validity: Duration, now: Timestamp) -> Result<Self, CaError> {
        let key = PrivateKey::generate()?;
        Self::self_signed(&params(&Subject::of(old)?.distinct(&key), 1, validity, now)?, key)
    }

    /// An intermediate CA, signed by this one, that takes the place of another: a new key, and a name of its own.
    pub fn intermediate_in_place_of(
        &self,
        old: &Chain,
        validity: Duration,
        now: Timestamp,
    ) -> Result<Self, CaError> {
        let key = PrivateKey::generate()?;
        self.sign_intermediate(&Subject::of(old)?.distinct(&key), key, validity, now)
    }

    /// The same intermediate CA with a new lifetime, signed by this one: name and key stay, so everything that it has signed
    /// stays good under it.
    pub fn intermediate_with_same_key(
        &self,
        old: &Self,
        validity: Duration,
        now: Timestamp,
    ) -> Result<Self, CaError> {
        let key = PrivateKey::from_pem(&old.key_pem())?;
        let renewed = self.sign_intermediate(&Subject::of(&old.chain)?, key, validity, now)?;
        let subject = |ca: &Self| Ok::<_, CaError>(parse(ca.chain.leaf(), 1)?.subject().as_raw().to_vec());
        if subject(&renewed)? != subject(old)? {
            return Err(CaError::Subject("a part other than CN, O and C"));
        }
        Ok(renewed)
    }

    /// A self-signed CA that can issue leaves for these names (and names below them) and for nothing else.
    ///
    /// Addresses are all or none: with one among the names any address can be issued for, because `BoringSSL` refuses chains
    /// with constraints on addresses.
    ///
    /// The common name is followed by the first digits of the key identifier, so that an old and a new CA of one proxy
    /// never share a subject.
    pub fn constrained(
        common_name: &str,
        names: &Names,
        validity: Duration,
        now: Timestamp,
    ) -> Result<Self, CaError> {
        let key = PrivateKey::generate()?;
        let subject = Subject { common_name: common_name.to_owned(), organization: None, country: None };
        let subject = subject.distinct(&key);
        let mut params = params(&subject, 0, validity, now)?;
        params.name_constraints = Some(constraints::for_names(names));
        Self::self_signed(&params, key)
    }

    fn self_signed(params: &CertificateParams, key: PrivateKey) -> Result<Self, CaError> {
        let certificate = params.self_signed(key.pair()).map_err(sign)?;
        Self::new(Chain::new(vec![certificate.der().clone()])?, key)
    }
}

impl Subject {
    /// The subject of a CA, as far as it can be said here: the last CN, O and C.
    pub fn of(ca: &Chain) -> Result<Self, CaError> {
        let certificate = parse(ca.leaf(), 1)?;
        let name = certificate.subject();
        let text = |attribute: Option<&AttributeTypeAndValue<'_>>| {
            attribute.and_then(|attribute| attribute.as_str().ok()).map(str::to_owned)
        };
        Ok(Self {
            common_name: text(name.iter_common_name().last()).ok_or(CaError::Subject("the common name"))?,
            organization: text(name.iter_organization().last()),
            country: text(name.iter_country().last()),
        })
    }

    /// With a common name that no CA with another key has: followed by the first digits of the key identifier, in place of
    /// those of a key before.
    fn distinct(self, key: &PrivateKey) -> Self {
        const DIGITS: usize = 8;
        let key_id = hex(&CertificateParams::default().key_identifier(key.pair()));
        let short: String = key_id.chars().take(DIGITS).collect();
        let is_short = |end: &str| end.len() == DIGITS && end.bytes().all(|byte| byte.is_ascii_hexdigit());
        let base = match self.common_name.rsplit_once(' ') {
            Some((base, end)) if is_short(end) => base,
            _ => &self.common_name,
        };
        let base: String = base.chars().take(MAX_ATTRIBUTE - DIGITS - 1).collect();
        Self { common_name: format!("{base} {short}"), ..self }
    }
}

fn params(
    subject: &Subject,
    path_length: u8,
    validity: Duration,
    now: Timestamp,
) -> Result<CertificateParams, CaError> {
    let lifetime = lifetime(validity, now).ok_or(CaError::Validity)?;
    let mut params = CertificateParams::default();
    params.not_before = date(lifetime.not_before);
    params.not_after = date(lifetime.not_after);
    params.serial_number = Some(serial()?);
    params.distinguished_name = distinguished_name(subject)?;
    params.is_ca = IsCa::Ca(BasicConstraints::Constrained(path_length));
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
    params.use_authority_key_identifier_extension = true;
    Ok(params)
}

fn distinguished_name(subject: &Subject) -> Result<DistinguishedName, CaError> {
    let Subject { common_name, organization, country } = subject;
    let mut name = DistinguishedName::new();
    if let Some(country) = country {
        let letters = country.len() == 2 && country.bytes().all(|byte| byte.is_ascii_alphabetic());
        let value = country.to_ascii_uppercase().try_into().map_err(|_| CaError::Subject("the country"))?;
        if !letters {
            return Err(CaError::Subject("the country"));
        }
        name.push(DnType::CountryName, DnValue::PrintableString(value));
    }
    if let Some(organization) = organization {
        name.push(DnType::OrganizationName, attribute(organization, "the organization")?);
    }
    name.push(DnType::CommonName, attribute(common_name, "the common name")?);
    Ok(name)
}

fn attribute<'a>(text: &'a str, what: &'static str) -> Result<&'a str, CaError> {
    let length = text.chars().count();
    let usable = (1..=MAX_ATTRIBUTE).contains(&length) && !text.chars().any(char::is_control);
    if usable { Ok(text) } else { Err(CaError::Subject(what)) }
}

/// From a little before `now` until `validity` after it, in whole seconds as X.509 wants it.
///
/// The backdating is at most a tenth of the validity: otherwise a short-lived leaf would be due for renewal when issued.
pub(super) fn lifetime(validity: Duration, now: Timestamp) -> Option<Lifetime> {
    let validity = SignedDuration::try_from(validity).ok().filter(|validity| validity.as_secs() > 0)?;
    let now = Timestamp::from_second(now.as_second()).ok()?;
    let not_before = now.checked_sub(BACKDATE.min(validity / 10)).ok()?;
    let not_after = now.checked_add(validity).ok()?;
    // The last day that X.509 can say is the end of 9999, and jiff ends there too.
    Some(Lifetime { not_before: Timestamp::from_second(not_before.as_second()).ok()?, not_after })
}

/// Sixteen random bytes, made positive and of fixed length by the two topmost bits.
pub(super) fn serial() -> Result<SerialNumber, KeyError> {
    let mut bytes = [0; 16];
    aws_lc_rs::rand::fill(&mut bytes).map_err(|_| KeyError::Generate)?;
    let [first, ..] = &mut bytes;
    *first = *first & 0x7f | 0x40;
    Ok(SerialNumber::from_slice(&bytes))
}

/// A time in the type that rcgen wants (crate `time`, which nothing else here needs).
pub(crate) fn date<T: From<std::time::SystemTime>>(time: Timestamp) -> T {
    std::time::SystemTime::from(time).into()
}

#[expect(clippy::needless_pass_by_value, reason = "handed to map_err")]
fn sign(error: rcgen::Error) -> CaError {
    CaError::Sign(error.to_string())
}
