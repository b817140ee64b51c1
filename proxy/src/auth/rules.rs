//! Callers of a server that runs alone whom other issuers know, by the rules of its config. No rule, no access.

use std::sync::Arc;

use vibectl_config::mount::{CA_FILE, JWKS_FILE};
use vibectl_config::{Jwt, JwtCaller, JwtIssuer};
use vibectl_token::Rejection;
use vibectl_token::foreign::{Issuer, KeySource, claimed_issuer};
use vibectl_token::standalone::Verified;
use vibectl_token::table::Identity;

use crate::auth::cause::{Cause, Denied};
use crate::auth::foreign::{Issuers, Known};
use crate::auth::named::Named;
use crate::metrics::family::Family;
use crate::parts::Files;
use crate::reload::places::issuer_file;

/// Issuers in force, and whom their tokens let in.
#[derive(Debug)]
pub(super) struct Rules {
    issuers: Issuers,
    /// The subject of each identity.
    named: Named,
}

impl Rules {
    /// What the config and its files say now, and what is wrong with them. An issuer whose files cannot be used stays as it
    /// was; one that never could be lets nobody in.
    pub(super) fn of(
        jwt: &Jwt,
        files: &Files,
        last: Option<&Self>,
        fetches: &Arc<Family<1>>,
    ) -> (Self, Vec<String>) {
        let last = last.map(|last| &last.issuers);
        let mut problems = Vec::new();
        let mut issuers = Vec::new();
        for configured in &jwt.issuers {
            let before = || last?.named(&configured.name).map(|known| known.issuer().clone());
            let read = issuer(configured, files);
            let read = read.map_err(|reason| problems.push(format!("issuer {}: {reason}", configured.name)));
            issuers.extend(read.ok().or_else(before));
        }
        let (issuers, unusable) = Issuers::of_config(issuers, last, fetches);
        problems.extend(unusable);
        let rules: Vec<_> = jwt.issuers.iter().flat_map(identities).collect();
        (Self { issuers, named: Named::of(rules.iter()) }, problems)
    }

    /// Whose token this says to be, where it is not the server's own.
    pub(super) fn issuer_of(&self, token: &str) -> Option<&Known> {
        self.issuers.with_iss(&claimed_issuer(token).ok()?)
    }

    /// Who a token of this issuer proves to call.
    pub(super) fn verify(&self, issuer: &Known, token: &str, now: i64) -> Result<Verified, Denied> {
        let claims = issuer.verify(token, now)?;
        let rule = self.named.find(issuer.name(), &claims).and_then(|identity| self.named.uid_of(identity));
        let Some(subject) = rule else {
            let subject = Some(format!("{} of {}", claims.subject, issuer.name()));
            return Err(Denied { subject, ..Cause::NoRow.into() });
        };
        // What is bound to something that we cannot check would be good for whoever has it.
        if claims.is_bound() {
            return Err(Denied { subject: Some(subject.to_owned()), ..Rejection::Claims.into() });
        }
        Ok(Verified {
            subject: subject.to_owned(),
            jti: claims.values("jti").next().map(str::to_owned),
            issued_at: claims.issued_at,
            expires_at: claims.expires_at,
            confirmation: None,
            kid: None,
        })
    }
}

/// An issuer with what its files hold.
fn issuer(configured: &JwtIssuer, files: &Files) -> Result<Issuer, String> {
    let JwtIssuer { name, issuer, audiences, jwks_file, jwks_url, ca_file, callers: _ } = configured;
    let content = |path: &std::path::Path, file: &str| {
        let content = files.get(&issuer_file(configured, file));
        content.ok_or_else(|| format!("{}: no such file", path.display()))
    };
    let keys = match (jwks_file, jwks_url) {
        (Some(path), _) => {
            let keys = serde_json::from_slice(content(path, JWKS_FILE)?);
            KeySource::Inline(keys.map_err(|error| format!("{}: {error}", path.display()))?)
        }
        (None, Some(url)) => KeySource::Url(url.clone()),
        (None, None) => KeySource::Discovery,
    };
    let ca_bundle = match ca_file {
        Some(path) => {
            let pem = String::from_utf8(content(path, CA_FILE)?.clone());
            Some(pem.map_err(|_| format!("{}: not text", path.display()))?)
        }
        None => None,
    };
    Ok(Issuer { name: name.clone(), issuer: issuer.clone(), audiences: audiences.clone(), keys, ca_bundle })
}

/// Identities with their subjects.
fn identities(issuer: &JwtIssuer) -> impl Iterator<Item = (Identity, String)> {
    issuer.callers.iter().map(|JwtCaller { claim, value, subject }| {
        let (issuer, claim, value) = (issuer.name.clone(), claim.clone(), value.clone());
        (Identity { issuer, claim, value }, subject.clone())
    })
}

#[cfg(test)]
mod tests;
