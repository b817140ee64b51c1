//! The certificate mode and what it names.

use std::{fmt, time::Duration};

use jiff::Timestamp;
use vibectl_config::mount::{CA_FILE, CERTIFICATE_FILE, KEY_FILE};
use vibectl_pki::{CertificateFacts, Leaf, Lifetime, TrustBundle, acme::ChallengeKind};
use zeroize::Zeroizing;

use super::{
    AcmeOrder, Mistakes, Unresolved, acme,
    providers::mounted,
    supplied::{Supplied, supplied},
};
use crate::{
    api::{
        self, LlmProxySpec,
        conditions::Reason,
        reference::{SecretKey, SecretName},
        tls::{self, CertManager, RotationPolicy},
    },
    llm_proxy::dereference::{Lookup, Referenced},
    names::ProxyNames,
};

/// The modes that there are.
#[derive(Clone, Debug)]
pub enum TlsMode {
    /// No TLS.
    Plaintext,
    /// A certificate authority of the proxy's own, with the terms of its roll-over and the CA that a user supplies.
    PrivateCa(Terms, Option<Result<Box<Supplied>, Unresolved>>),
    /// A self-signed certificate, with the terms of its roll-over and what becomes of its key.
    SelfSigned(Terms, RotationPolicy),
    /// A certificate that somebody else keeps.
    Secret(KeptPair),
    /// A certificate that cert-manager keeps, on this order.
    CertManager(CertManager, KeptPair),
    /// A certificate that we order, and keep.
    Acme(AcmeOrder, KeptPair),
}

/// The terms of a roll-over.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Terms {
    /// How long it lives.
    pub validity: Duration,
    /// How long clients may take to read the published bundle again.
    pub client_refresh: Duration,
}

impl Terms {
    /// Of what is left out: a Secret volume is refreshed within two minutes, and whoever reads the bundle once at its start
    /// should be started once a day.
    fn of(
        validity: Option<api::duration::Duration>,
        client_refresh: Option<api::duration::Duration>,
    ) -> Self {
        const HOUR: u64 = 3600;
        let or = |given: Option<api::duration::Duration>, hours| {
            given.map_or(Duration::from_secs(hours * HOUR), Duration::from)
        };
        Self { validity: or(validity, 365 * 24), client_refresh: or(client_refresh, 24) }
    }
}

const SECRET_PATH: &str = "spec.tls.secret";
const CERT_MANAGER_PATH: &str = "spec.tls.certManager";
/// It travels in a ConfigMap and in the Secret of each ProxyToken, which hold a MiB.
const MAX_BUNDLE: usize = 200;

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

impl KeptPair {
    /// The same at this time: what has ended or has not begun cannot be used, and the pods refuse it.
    fn at(mut self, path: &str, now: Timestamp) -> Self {
        let Ok(pair) = &self.pair else { return self };
        let Lifetime { not_before, not_after } = pair.facts.lifetime;
        let what = if not_after <= now {
            format!("ended at {not_after}")
        } else if now < not_before {
            format!("is not valid before {not_before}")
        } else {
            return self;
        };
        let message = format!("{path}: {CERTIFICATE_FILE} of Secret {:?} {what}", self.secret);
        self.pair = Err(Unresolved { reason: Reason::SecretInvalid, message });
        self
    }
}

impl TlsMode {
    /// The same at this time.
    #[must_use]
    pub fn at(self, now: Timestamp) -> Self {
        match self {
            Self::Secret(kept) => Self::Secret(kept.at(SECRET_PATH, now)),
            Self::CertManager(order, kept) => Self::CertManager(order, kept.at(CERT_MANAGER_PATH, now)),
            Self::Acme(order, kept) => Self::Acme(order, kept.at(acme::PATH, now)),
            Self::Plaintext | Self::PrivateCa(..) | Self::SelfSigned(..) => self,
        }
    }

    /// What it names and cannot be used.
    pub fn unresolved(&self) -> Option<&Unresolved> {
        match self {
            Self::Secret(kept) => kept.pair.as_ref().err(),
            Self::PrivateCa(_, supplied) => supplied.as_ref()?.as_ref().err(),
            Self::Acme(order, _) => order.access.as_ref().err(),
            Self::Plaintext | Self::SelfSigned(..) | Self::CertManager(..) => None,
        }
    }

    /// The pair of a Secret that is mounted as it is.
    pub fn kept(&self) -> Option<&KeptPair> {
        match self {
            Self::Secret(kept) | Self::CertManager(_, kept) | Self::Acme(_, kept) => Some(kept),
            Self::Plaintext | Self::PrivateCa(..) | Self::SelfSigned(..) => None,
        }
    }

    /// Whether an ACME server asks the pods over plain HTTP.
    pub fn answers_http(&self) -> bool {
        matches!(self, Self::Acme(AcmeOrder { challenge: ChallengeKind::Http01, .. }, _))
    }

    /// Whether clients speak TLS.
    pub fn is_encrypted(&self) -> bool {
        !matches!(self, Self::Plaintext)
    }
}

/// The mode that is chosen.
pub(super) fn validate(
    spec: &LlmProxySpec,
    names: &ProxyNames,
    referenced: &Referenced,
    mistakes: &mut Mistakes,
) -> Option<TlsMode> {
    let LlmProxySpec { tls, hosts, .. } = spec;
    if tls.is_left_out() {
        return Some(private_ca_mode(&tls::PrivateCa::default(), referenced));
    }
    let tls::Tls { plaintext, self_signed, private_ca, cert_manager, acme, secret } = tls;
    let chosen = [
        plaintext.is_some(),
        self_signed.is_some(),
        private_ca.is_some(),
        cert_manager.is_some(),
        acme.is_some(),
        secret.is_some(),
    ];
    if chosen.into_iter().filter(|chosen| *chosen).count() != 1 {
        let modes = "plaintext, selfSigned, privateCa, certManager, acme, secret";
        mistakes.invalid("spec.tls", format!("needs exactly one of {modes}"));
        return None;
    }
    if let Some(chosen) = acme {
        let order = acme::order(chosen, hosts, referenced, mistakes);
        let kept = ordered_pair(acme::PATH, names.acme(), referenced, mistakes)?;
        return Some(TlsMode::Acme(order, kept));
    }
    match (plaintext, self_signed, private_ca, cert_manager, secret) {
        (Some(_), ..) => Some(TlsMode::Plaintext),
        (_, Some(chosen), ..) => Some(self_signed_mode(*chosen)),
        (_, _, Some(chosen), ..) => Some(private_ca_mode(chosen, referenced)),
        (_, _, _, Some(order), _) => cert_manager_mode(order, names.serving(), referenced, mistakes),
        (_, _, _, _, Some(SecretName { name })) => {
            Some(TlsMode::Secret(kept_pair(SECRET_PATH, name.clone(), referenced)))
        }
        _ => None,
    }
}

fn private_ca_mode(chosen: &tls::PrivateCa, referenced: &Referenced) -> TlsMode {
    let tls::PrivateCa { secret, validity, client_refresh } = chosen;
    let supplied = secret.as_ref().map(|secret| supplied(&secret.name, referenced).map(Box::new));
    TlsMode::PrivateCa(Terms::of(*validity, *client_refresh), supplied)
}

fn self_signed_mode(chosen: tls::SelfSigned) -> TlsMode {
    let tls::SelfSigned { validity, client_refresh, private_key } = chosen;
    let policy = private_key.and_then(|key| key.rotation_policy).unwrap_or_default();
    TlsMode::SelfSigned(Terms::of(validity, client_refresh), policy)
}

fn cert_manager_mode(
    order: &CertManager,
    secret: String,
    referenced: &Referenced,
    mistakes: &mut Mistakes,
) -> Option<TlsMode> {
    let kept = ordered_pair(CERT_MANAGER_PATH, secret, referenced, mistakes)?;
    if let (Some(duration), Some(before)) = (order.duration, order.renew_before)
        && before >= duration
    {
        mistakes.invalid(&format!("{CERT_MANAGER_PATH}.renewBefore"), "must be shorter than duration");
    }
    Some(TlsMode::CertManager(order.clone(), kept))
}

/// The pair in a Secret that is written at our request.
fn ordered_pair(
    path: &str,
    secret: String,
    referenced: &Referenced,
    mistakes: &mut Mistakes,
) -> Option<KeptPair> {
    if referenced.has_stranger() {
        let what = format!(
            "Secret {secret:?} is there already and was not made for this proxy: remove or rename it"
        );
        mistakes.conflict(path, what);
        return None;
    }
    Some(kept_pair(path, secret, referenced))
}

/// Any certificate may be trusted, a root or one below it; but clients that are given these must be able to trust the leaf.
fn check_bundle(bundle: &TrustBundle, leaf: &Leaf) -> Result<(), String> {
    let count = bundle.certificates().len();
    if count > MAX_BUNDLE {
        return Err(format!("{count} certificates are more than {MAX_BUNDLE}"));
    }
    if !bundle.vouches_for(leaf.chain()) {
        return Err(format!("has no certificate that {CERTIFICATE_FILE} leads to"));
    }
    Ok(())
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
            let bundle = bundle.map_err(|error| invalid(CA_FILE, error.to_string()))?;
            check_bundle(&bundle, &leaf).map_err(|what| invalid(CA_FILE, what))?;
            Some(bundle)
        }
        _ => None,
    };
    let facts = leaf.facts().clone();
    Ok(Box::new(ServingPair { certificate, key, bundle, facts }))
}
