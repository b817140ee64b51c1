//! Issuing leaves, by a CA or by themselves.

use std::time::Duration;

use jiff::Timestamp;
use rcgen::{
    CertificateParams, DistinguishedName, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyUsagePurpose,
    SanType,
};
use rustls_pki_types::CertificateDer;

use super::{
    Ca,
    generate::{date, lifetime, serial},
};
use crate::{
    certificate::{Chain, parse},
    key::PrivateKey,
    leaf::{IssueError, IssueRequest, Leaf, Usage},
    names::{Name, Names},
    renewal::Lifetime,
};

impl Ca {
    /// Issues a leaf with a fresh key. Its chain holds this CA and its known issuers, without a self-signed root.
    pub fn issue(&self, request: &IssueRequest<'_>) -> Result<Leaf, IssueError> {
        self.issue_for(request, PrivateKey::generate()?)
    }

    /// Issues a leaf for a key that is there already, so that a pin of the public key stays good.
    pub fn issue_for(&self, request: &IssueRequest<'_>, key: PrivateKey) -> Result<Leaf, IssueError> {
        let ca = self.facts.lifetime;
        if !ca.contains(request.now) {
            return Err(IssueError::CaNotValid { not_before: ca.not_before, not_after: ca.not_after });
        }
        if let Some(name) = self.not_permitted(request.names).next() {
            return Err(IssueError::NotPermitted(name.to_string()));
        }
        let asked = lifetime(request.validity, request.now).ok_or(IssueError::Validity(request.validity))?;
        let within = Lifetime {
            not_before: asked.not_before.max(ca.not_before),
            not_after: asked.not_after.min(ca.not_after),
        };
        let issuer = Issuer::from_ca_cert_der(self.chain.leaf(), self.key.pair()).map_err(sign)?;
        let certificate =
            params(request.names, request.usage, within)?.signed_by(key.pair(), &issuer).map_err(sign)?;
        self.check_issuer_name(certificate.der())?;

        let issuers = self.chain.certificates().iter().filter(|der| !is_self_signed(der));
        let chain = std::iter::once(certificate.der()).chain(issuers).cloned().collect();
        into_leaf(chain, key)
    }

    /// rcgen builds the issuer name anew and loses parts that it cannot represent (two `OU`s, say). Clients would not
    /// find the way from such a leaf to its CA.
    fn check_issuer_name(&self, leaf: &CertificateDer<'_>) -> Result<(), IssueError> {
        let (leaf, ca) = (parse(leaf, 1), parse(self.chain.leaf(), 1));
        match (leaf, ca) {
            (Ok(leaf), Ok(ca)) if leaf.issuer().as_raw() == ca.subject().as_raw() => Ok(()),
            _ => Err(IssueError::Sign("the CA's subject is in a form that cannot be repeated".to_owned())),
        }
    }
}

impl Leaf {
    /// A leaf that is its own issuer, for trying things out: clients have to be given the certificate itself.
    pub fn self_signed(names: &Names, validity: Duration, now: Timestamp) -> Result<Self, IssueError> {
        Self::self_signed_for(names, validity, now, PrivateKey::generate()?)
    }

    /// The same for a key that is there already, so that a pin of the public key stays good.
    pub fn self_signed_for(
        names: &Names,
        validity: Duration,
        now: Timestamp,
        key: PrivateKey,
    ) -> Result<Self, IssueError> {
        let lifetime = lifetime(validity, now).ok_or(IssueError::Validity(validity))?;
        let certificate = params(names, Usage::Server, lifetime)?.self_signed(key.pair()).map_err(sign)?;
        into_leaf(vec![certificate.der().clone()], key)
    }
}

fn params(names: &Names, usage: Usage, lifetime: Lifetime) -> Result<CertificateParams, IssueError> {
    let mut params = CertificateParams::default();
    params.not_before = date(lifetime.not_before);
    params.not_after = date(lifetime.not_after);
    params.serial_number = Some(serial()?);
    params.distinguished_name = DistinguishedName::new();
    if let Some(common_name) = names.common_name() {
        params.distinguished_name.push(DnType::CommonName, common_name);
    }
    params.subject_alt_names = names.iter().map(alternative_name).collect::<Result<_, _>>()?;
    // Explicit, because only then is there a subject key identifier.
    params.is_ca = IsCa::ExplicitNoCa;
    params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
    params.extended_key_usages = match usage {
        Usage::Server => vec![ExtendedKeyUsagePurpose::ServerAuth],
        Usage::Client => vec![ExtendedKeyUsagePurpose::ClientAuth],
        Usage::ServerAndClient => {
            vec![ExtendedKeyUsagePurpose::ServerAuth, ExtendedKeyUsagePurpose::ClientAuth]
        }
    };
    params.use_authority_key_identifier_extension = true;
    Ok(params)
}

fn alternative_name(name: &Name) -> Result<SanType, IssueError> {
    match name {
        Name::Dns(name) => name.as_str().try_into().map(SanType::DnsName).map_err(sign),
        Name::Ip(address) => Ok(SanType::IpAddress(*address)),
    }
}

fn is_self_signed(der: &CertificateDer<'_>) -> bool {
    parse(der, 1).is_ok_and(|certificate| certificate.issuer().as_raw() == certificate.subject().as_raw())
}

fn into_leaf(chain: Vec<CertificateDer<'static>>, key: PrivateKey) -> Result<Leaf, IssueError> {
    let chain = Chain::new(chain).map_err(|error| IssueError::Sign(error.to_string()))?;
    Leaf::new(chain, key).map_err(|error| IssueError::Sign(error.to_string()))
}

#[expect(clippy::needless_pass_by_value, reason = "handed to map_err")]
fn sign(error: rcgen::Error) -> IssueError {
    IssueError::Sign(error.to_string())
}
