//! The certificate mode and what it names.

use std::fmt;

use vibectl_config::mount::{CA_FILE, CERTIFICATE_FILE, KEY_FILE};
use vibectl_pki::{CertificateFacts, Leaf, TrustBundle};
use zeroize::Zeroizing;

use super::{Mistakes, Unresolved, providers::mounted};
use crate::{
    api::{
        conditions::Reason,
        reference::{SecretKey, SecretName},
        tls::{self, CertManager},
    },
    llm_proxy::dereference::{Lookup, Referenced},
    names::ProxyNames,
};

/// The modes that there are.
#[derive(Clone, Debug)]
pub enum TlsMode {
    /// No TLS.
    Plaintext,
    /// A certificate authority of the proxy's own.
    PrivateCa,
    /// A certificate that somebody else keeps.
    Secret(KeptPair),
    /// A certificate that cert-manager keeps, on this order.
    CertManager(CertManager, KeptPair),
}

/// A pair that is kept in a Secret and mounted as it is.
#[derive(Clone, Debug)]
pub struct KeptPair {
    /// Name of the Secret.
    pub secret: String,
    /// Its content, or why it cannot be used. The Secret is mounted in any case: there is nothing to fall back to.
    pub pair: Result<Box<ServingPair>, Unresolved>,
}

/// A certificate and its key.
#[derive(Clone)]
pub struct ServingPair {
    /// PEM, the leaf first.
    pub certificate: Zeroizing<Vec<u8>>,
    /// PEM.
    pub key: Zeroizing<Vec<u8>>,
    /// What clients need to trust it, if the Secret says so.
    pub bundle: Option<TrustBundle>,
    /// Of the leaf.
    pub facts: CertificateFacts,
}

impl fmt::Debug for ServingPair {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("ServingPair").field("facts", &self.facts).finish_non_exhaustive()
    }
}

impl TlsMode {
    /// What it names and cannot be used.
    pub fn unresolved(&self) -> Option<&Unresolved> {
        match self {
            Self::Secret(kept) => kept.pair.as_ref().err(),
            Self::Plaintext | Self::PrivateCa | Self::CertManager(..) => None,
        }
    }

    /// The pair of a Secret that is mounted as it is.
    pub fn kept(&self) -> Option<&KeptPair> {
        match self {
            Self::Secret(kept) | Self::CertManager(_, kept) => Some(kept),
            Self::Plaintext | Self::PrivateCa => None,
        }
    }

    /// Whether clients speak TLS.
    pub fn is_encrypted(&self) -> bool {
        !matches!(self, Self::Plaintext)
    }
}

/// The mode that is chosen.
pub(super) fn validate(
    tls: &tls::Tls,
    names: &ProxyNames,
    referenced: &Referenced,
    mistakes: &mut Mistakes,
) -> Option<TlsMode> {
    if tls.is_left_out() {
        return Some(TlsMode::PrivateCa);
    }
    let tls::Tls { plaintext, self_signed, private_ca, cert_manager, acme, secret } = tls;
    let later = [
        ("selfSigned", self_signed.is_some(), "use privateCa"),
        ("acme", acme.is_some(), "use certManager with an ACME issuer, or secret"),
    ];
    let chosen = [plaintext.is_some(), private_ca.is_some(), cert_manager.is_some(), secret.is_some()];
    if chosen.into_iter().chain(later.map(|(_, chosen, _)| chosen)).filter(|chosen| *chosen).count() != 1 {
        let modes = "plaintext, selfSigned, privateCa, certManager, acme, secret";
        mistakes.invalid("spec.tls", format!("needs exactly one of {modes}"));
        return None;
    }
    for (mode, _, instead) in later.iter().filter(|(_, chosen, _)| *chosen) {
        mistakes.not_available(&format!("spec.tls.{mode}"), instead);
    }
    match (plaintext, private_ca, cert_manager, secret) {
        (Some(_), ..) => Some(TlsMode::Plaintext),
        (_, Some(_), ..) => Some(TlsMode::PrivateCa),
        (_, _, Some(order), _) => cert_manager_mode(order, names.serving(), referenced, mistakes),
        (_, _, _, Some(SecretName { name })) => {
            Some(TlsMode::Secret(kept_pair("spec.tls.secret", name.clone(), referenced)))
        }
        _ => None,
    }
}

fn cert_manager_mode(
    order: &CertManager,
    secret: String,
    referenced: &Referenced,
    mistakes: &mut Mistakes,
) -> Option<TlsMode> {
    const PATH: &str = "spec.tls.certManager";
    if referenced.has_stranger() {
        let what = format!(
            "Secret {secret:?} is there already and was not made for this proxy: remove or rename it"
        );
        mistakes.conflict(PATH, what);
        return None;
    }
    if let (Some(duration), Some(before)) = (order.duration, order.renew_before)
        && before >= duration
    {
        mistakes.invalid(&format!("{PATH}.renewBefore"), "must be shorter than duration");
    }
    Some(TlsMode::CertManager(order.clone(), kept_pair(PATH, secret, referenced)))
}

fn kept_pair(path: &str, secret: String, referenced: &Referenced) -> KeptPair {
    KeptPair { pair: serving_pair(path, &secret, referenced), secret }
}

fn serving_pair(path: &str, name: &str, referenced: &Referenced) -> Result<Box<ServingPair>, Unresolved> {
    let entry = |key: &str| SecretKey { name: name.to_owned(), key: key.to_owned() };
    let invalid = |key: &str, what: String| Unresolved {
        reason: Reason::SecretInvalid,
        message: format!("{path}: {key} of Secret {name:?}: {what}"),
    };
    let needed = |key: &'static str| {
        let mounted = mounted(path, &entry(key), referenced);
        match (mounted.content, mounted.unresolved) {
            (Some(content), None) => Ok(content),
            (_, Some(unresolved)) => Err(unresolved),
            (None, None) => Err(invalid(key, "is missing".to_owned())),
        }
    };
    let text = |key: &'static str, bytes: &[u8]| {
        std::str::from_utf8(bytes).map(str::to_owned).map_err(|_| invalid(key, "is not text".to_owned()))
    };

    let (certificate, key) = (needed(CERTIFICATE_FILE)?, needed(KEY_FILE)?);
    let key_text = Zeroizing::new(text(KEY_FILE, &key)?);
    let leaf = Leaf::from_pem(&text(CERTIFICATE_FILE, &certificate)?, &key_text)
        .map_err(|error| invalid(CERTIFICATE_FILE, error.to_string()))?;
    let bundle = match referenced.lookup(&entry(CA_FILE)) {
        Lookup::Found(pem) if !pem.trim_ascii().is_empty() => {
            let bundle = TrustBundle::from_pem(&text(CA_FILE, pem)?);
            Some(bundle.map_err(|error| invalid(CA_FILE, error.to_string()))?)
        }
        _ => None,
    };
    let facts = leaf.facts().clone();
    Ok(Box::new(ServingPair { certificate, key, bundle, facts }))
}
