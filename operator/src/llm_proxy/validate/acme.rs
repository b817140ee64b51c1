//! `tls.acme`: what is asked of which ACME server.

use std::fmt;

use vibectl_pki::{
    Name, TrustBundle,
    acme::{self, ChallengeKind, ExternalAccount, Origin},
};

use super::{
    Mistakes, Unresolved,
    providers::{certificates, mounted},
};
use crate::{
    api::{
        conditions::Reason,
        tls::{Acme, Challenge, ExternalAccount as Named},
    },
    llm_proxy::dereference::Referenced,
};

/// Where the spec says it.
pub(super) const PATH: &str = "spec.tls.acme";

/// A certificate that is ordered.
#[derive(Clone, Debug)]
pub struct AcmeOrder {
    /// The ACME server.
    pub directory_url: String,
    /// Contact of the account.
    pub email: String,
    /// How names are proven.
    pub challenge: ChallengeKind,
    /// What it takes to talk to the ACME server, or what is missing of it.
    pub access: Result<AcmeAccess, Unresolved>,
}

/// What it takes to talk to an ACME server.
#[derive(Clone, Default, PartialEq)]
pub struct AcmeAccess {
    /// The CA of its own address; none: the well-known ones.
    pub ca_bundle: Option<TrustBundle>,
    /// An account that one has with its owner.
    pub external_account: Option<ExternalAccount>,
}

impl fmt::Debug for AcmeAccess {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("AcmeAccess").finish_non_exhaustive()
    }
}

/// Checks what the schema checks too, and what it cannot.
pub(super) fn order(
    chosen: &Acme,
    hosts: &[String],
    referenced: &Referenced,
    mistakes: &mut Mistakes,
) -> AcmeOrder {
    let Acme { email, terms_of_service_agreed, directory_url, ca_bundle: _, challenge, external_account: _ } =
        chosen;
    if !terms_of_service_agreed {
        let what = "must be true: accept the terms of service of the ACME server \
                    (Let's Encrypt: https://letsencrypt.org/repository/)";
        mistakes.invalid(&format!("{PATH}.termsOfServiceAgreed"), what);
    }
    let directory_url = directory_url.clone().unwrap_or_else(|| acme::LETS_ENCRYPT.to_owned());
    if let Err(error) = Origin::of(&directory_url) {
        mistakes.invalid(&format!("{PATH}.directoryUrl"), error);
    }
    for (index, host) in hosts.iter().enumerate() {
        let cannot = match host.parse() {
            Ok(Name::Dns(name)) if name.starts_with("*.") => {
                "a wildcard cannot be proven by http-01 or tls-alpn-01"
            }
            Ok(Name::Ip(_)) => "an address cannot be ordered with tls.acme, only DNS names",
            Ok(Name::Dns(_)) | Err(_) => continue,
        };
        mistakes.invalid(&format!("spec.hosts[{index}]"), format!("{host:?}: {cannot}"));
    }
    AcmeOrder {
        directory_url,
        email: email.clone(),
        challenge: match challenge.unwrap_or_default() {
            Challenge::Http01 => ChallengeKind::Http01,
            Challenge::TlsAlpn01 => ChallengeKind::TlsAlpn01,
        },
        access: access(chosen, referenced),
    }
}

fn access(chosen: &Acme, referenced: &Referenced) -> Result<AcmeAccess, Unresolved> {
    let ca_bundle = chosen.ca_bundle.as_ref().map(|key| {
        let path = format!("{PATH}.caBundle");
        let found = certificates(&path, mounted(&path, key, referenced));
        found.unresolved.map_or(Ok(found.content), Err)
    });
    let ca_bundle = ca_bundle.transpose()?.flatten();
    // Readable: it was checked above.
    let bundle = ca_bundle.and_then(|pem| TrustBundle::from_pem(std::str::from_utf8(&pem).ok()?).ok());
    let external_account = chosen.external_account.as_ref().map(|named| external_account(named, referenced));
    Ok(AcmeAccess { ca_bundle: bundle, external_account: external_account.transpose()? })
}

fn external_account(named: &Named, referenced: &Referenced) -> Result<ExternalAccount, Unresolved> {
    let Named { key_id, key } = named;
    let path = format!("{PATH}.externalAccount.key");
    let found = mounted(&path, key, referenced);
    if let Some(unresolved) = found.unresolved {
        return Err(unresolved);
    }
    let account =
        ExternalAccount::from_base64url(key_id, found.content.as_deref().map_or(&[], Vec::as_slice));
    account.ok_or_else(|| Unresolved {
        reason: Reason::SecretInvalid,
        message: format!("{path}: key {:?} of Secret {:?} is not a key in base64url", key.key, key.name),
    })
}
