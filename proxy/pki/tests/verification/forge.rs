//! Leaves that a constrained CA must not be able to sell, signed with its real key.

use rcgen::{BasicConstraints, CertificateParams, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair};
use vibectl_pki::Ca;

/// A leaf for any names, without the checks of `Ca::issue`.
pub(crate) fn leaf(ca: &Ca, names: &[&str]) -> String {
    let issuer = issuer(ca);
    params(names).signed_by(&KeyPair::generate().expect("key"), &issuer).expect("signed").pem()
}

/// A leaf under a CA that the constrained CA has no right to make.
pub(crate) fn leaf_under_forged_intermediate(ca: &Ca, name: &str) -> String {
    let key = KeyPair::generate().expect("key");
    let mut params = params(&[]);
    params.distinguished_name.push(rcgen::DnType::CommonName, "forged intermediate");
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let intermediate = params.signed_by(&key, &issuer(ca)).expect("signed");
    let leaf = self::params(&[name])
        .signed_by(&KeyPair::generate().expect("key"), &Issuer::new(params, key))
        .expect("signed");
    format!("{}{}", leaf.pem(), intermediate.pem())
}

fn issuer(ca: &Ca) -> Issuer<'static, KeyPair> {
    let key = KeyPair::from_pem(&ca.key_pem()).expect("key");
    Issuer::from_ca_cert_der(ca.chain().leaf(), key).expect("issuer")
}

fn params(names: &[&str]) -> CertificateParams {
    let names: Vec<String> = names.iter().map(|name| (*name).to_owned()).collect();
    let mut params = CertificateParams::new(names).expect("names");
    params.distinguished_name = rcgen::DistinguishedName::new();
    params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
    params.use_authority_key_identifier_extension = true;
    params
}
