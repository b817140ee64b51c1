//! A CA that a user supplies in a Secret.

use std::fmt;

use vibectl_config::mount::{CA_FILE, CERTIFICATE_FILE, KEY_FILE};
use vibectl_pki::{Ca, CaError, CertificateError, CertificateFacts, TrustBundle};
use zeroize::Zeroizing;

use super::{Unresolved, providers::mounted};
use crate::{
    api::{conditions::Reason, reference::SecretKey},
    llm_proxy::dereference::{Lookup, Referenced},
};

/// A CA with its key, known to belong together, and everything above it up to a root.
#[derive(Clone)]
pub struct Supplied {
    /// Name of the Secret.
    pub secret: String,
    /// PEM, the CA first.
    chain: String,
    /// PEM.
    key: Zeroizing<String>,
    /// Of the CA.
    pub facts: CertificateFacts,
}

impl fmt::Debug for Supplied {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("Supplied").field("facts", &self.facts).finish_non_exhaustive()
    }
}

impl Supplied {
    /// The CA itself.
    pub fn ca(&self) -> Result<Ca, CaError> {
        Ca::from_pem(&self.chain, &self.key)
    }
}

/// Where the spec names it.
pub(super) const PATH: &str = "spec.tls.privateCa.secret";

/// Reads the CA of this Secret. Says nothing about time and names.
pub(super) fn supplied(secret: &str, referenced: &Referenced) -> Result<Supplied, Unresolved> {
    let entry = |key: &str| SecretKey { name: secret.to_owned(), key: key.to_owned() };
    let invalid = |key: &str, what: String| Unresolved {
        reason: Reason::SecretInvalid,
        message: format!("{PATH}: {key} of Secret {secret:?}: {what}"),
    };
    let text = |key: &'static str, bytes: &[u8]| {
        std::str::from_utf8(bytes).map(str::to_owned).map_err(|_| invalid(key, "is not text".to_owned()))
    };
    let needed = |key: &'static str| {
        let mounted = mounted(PATH, &entry(key), referenced);
        match (mounted.content, mounted.unresolved) {
            (Some(content), None) => text(key, &content),
            (_, Some(unresolved)) => Err(unresolved),
            (None, None) => Err(invalid(key, "is missing".to_owned())),
        }
    };
    let certificate = needed(CERTIFICATE_FILE)?;
    let key = Zeroizing::new(needed(KEY_FILE)?);
    let above = match referenced.lookup(&entry(CA_FILE)) {
        Lookup::Found(pem) if !pem.trim_ascii().is_empty() => text(CA_FILE, pem)?,
        _ => String::new(),
    };
    let alone =
        Ca::from_pem(&certificate, &key).map_err(|error| invalid(CERTIFICATE_FILE, error.to_string()))?;
    let facts = alone.facts().clone();
    let chain = whole_chain(&alone, &above).map_err(|error| invalid(CA_FILE, error.to_string()))?;
    let ca =
        Ca::from_pem(&chain, &key).map_err(|_| invalid(CA_FILE, "holds no issuer of tls.crt".to_owned()))?;
    let top = ca.chain().certificates().last().map(|root| CertificateFacts::from_der(root));
    match top {
        Some(Ok(root)) if root.subject == root.issuer => {
            Ok(Supplied { secret: secret.to_owned(), chain, key, facts })
        }
        // Many clients accept no intermediate CA as the end of a chain.
        _ => Err(invalid(CA_FILE, format!("the root above {:?} is missing", facts.subject))),
    }
}

/// The CA with what is above it, each certificate once: some tools repeat a root in both files.
fn whole_chain(ca: &Ca, above: &str) -> Result<String, CertificateError> {
    let mut chain: TrustBundle = ca.chain().certificates().iter().cloned().collect();
    if !above.is_empty() {
        chain.extend(TrustBundle::from_pem(above)?.certificates().iter().cloned());
    }
    Ok(chain.to_pem())
}
