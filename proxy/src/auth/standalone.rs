//! Callers of a server that runs alone: whoever has a token signed with its shared secret, or with one of its signing
//! keys, that is not revoked. Other issuers that its config trusts tell who calls, too.
//!
//! Either the one or the other: a server with keys takes no token of a secret, and the other way round. The exception is
//! a migration from the secret to keys, which ends on a day that the config names.

use std::sync::Arc;

use vibectl_config::Jwt;
use vibectl_config::locate::REVOCATION_FILE;
use vibectl_config::mount::JWKS_FILE;
use vibectl_token::standalone::revocation::Revocations;
use vibectl_token::standalone::{Secret, Signed, Verified, verify, verify_signed};
use vibectl_token::table::{Scope, Scopes};
use vibectl_token::{Confirmation, Expectation, KeySet, Limits, Rejection};

use crate::auth::cause::{Cause, Denied};
use crate::auth::principal::{Credential, Principal};
use crate::auth::rules::Rules;
use crate::auth::table::Accepted;
use crate::auth::verified::{TokenDigest, VerifiedTokens};
use crate::caller::Caller;
use crate::listener::tls::ClientCertificate;
use crate::metrics::family::Family;
use crate::parts::Files;

/// What tokens are judged by.
#[derive(Clone, Debug)]
pub(super) struct Standalone {
    proof: Proof,
    issuer: Arc<str>,
    /// Of other issuers.
    rules: Option<Arc<Rules>>,
    revoked: Arc<Revocations>,
}

type ToCredential = fn(Arc<Verified>) -> Credential;

/// What makes a token ours.
#[derive(Clone, Debug)]
enum Proof {
    /// The shared secret signed it.
    Secret(Arc<Secret>),
    /// One of these keys signed it, for this audience.
    Keys { audience: Arc<str>, keys: Option<Arc<Keys>>, former: Option<Former> },
    /// Nothing: only other issuers' tokens are good.
    Nothing,
}

/// The shared secret of before, whose tokens are good until a day.
#[derive(Clone, Debug)]
pub(super) struct Former {
    secret: Arc<Secret>,
    until: i64,
}

impl Former {
    /// Tokens of this secret, until this second.
    pub(super) fn new(secret: Secret, until: i64) -> Self {
        Self { secret: Arc::new(secret), until }
    }

    fn verify(&self, issuer: &str, token: &str, now: i64) -> Result<Verified, Denied> {
        let verified = verify(&self.secret, issuer, token, now)?;
        if now >= self.until {
            return Err(Denied { subject: Some(verified.subject), ..Cause::MigrationEnded.into() });
        }
        Ok(verified)
    }
}

/// Public keys, with the tokens that they verified.
#[derive(Debug)]
struct Keys {
    file: Vec<u8>,
    set: KeySet,
    verified: VerifiedTokens<Signed>,
}

impl Standalone {
    /// Tokens of this issuer that the secret signed.
    pub(super) fn with_secret(secret: Secret, issuer: &str) -> Self {
        Self::with(Proof::Secret(Arc::new(secret)), issuer)
    }

    /// Tokens that a published key signed; the keys come with [`Self::follow`].
    pub(super) fn with_keys(issuer: &str, audience: &str, former: Option<Former>) -> Self {
        let proof = Proof::Keys { audience: Arc::from(audience), keys: None, former };
        Self::with(proof, issuer)
    }

    /// Tokens of other issuers alone.
    pub(super) fn of_others(issuer: &str) -> Self {
        Self::with(Proof::Nothing, issuer)
    }

    fn with(proof: Proof, issuer: &str) -> Self {
        Self { proof, issuer: Arc::from(issuer), rules: None, revoked: Arc::default() }
    }

    /// The same with the newest public keys, other issuers and list of revoked tokens. What cannot be read stays as it was.
    pub(super) fn follow(
        &self,
        jwt: &Jwt,
        files: &Files,
        now: i64,
        fetches: &Arc<Family<1>>,
    ) -> (Self, Accepted) {
        let mut state = self.clone();
        let mut problems = Vec::new();
        match self.read_list(jwt, files, now) {
            Ok(revoked) => state.revoked = Arc::new(revoked),
            Err(problem) => problems.push(problem),
        }
        if let Proof::Keys { keys, .. } = &mut state.proof {
            match Keys::read(keys.as_ref(), files) {
                Ok(newest) => *keys = Some(newest),
                Err(problem) => problems.push(format!("signing-keys/{JWKS_FILE}: {problem}")),
            }
        }
        if !jwt.issuers.is_empty() {
            let (rules, unusable) = Rules::of(jwt, files, self.rules.as_deref(), fetches);
            state.rules = Some(Arc::new(rules));
            problems.extend(unusable);
        }
        (state, Accepted { problems, ..Accepted::default() })
    }

    /// Whether a good token would be let in.
    pub(super) fn is_ready(&self) -> bool {
        match &self.proof {
            Proof::Secret(_) => true,
            Proof::Keys { keys, .. } => keys.as_ref().is_some_and(|keys| !keys.set.is_empty()),
            Proof::Nothing => self.rules.is_some(),
        }
    }

    /// The holder of the token. Its limits are those of the config.
    /// A token that is bound to a certificate is good on a connection with that certificate only.
    pub(super) fn principal(
        &self,
        token: &str,
        client: Option<ClientCertificate>,
        now: i64,
    ) -> Result<Principal, Denied> {
        let (verified, credential) = self.verify(token, now)?;
        let shown = |bound: &Confirmation| client.is_some_and(|client| bound.is_of(&client.0));
        if !verified.confirmation.as_ref().is_none_or(shown) {
            return Err(Denied { subject: Some(verified.subject), ..Cause::NotBound.into() });
        }
        if !self.still_accepts(&verified) {
            return Err(Denied { subject: Some(verified.subject), ..Cause::Revoked.into() });
        }
        let caller = Caller {
            uid: verified.subject.clone(),
            subject: verified.subject.clone(),
            namespace: None,
            models: None,
            scopes: Scopes::from_iter([Scope::Execute, Scope::Models]),
            limits: Limits::default(),
        };
        Ok(Principal { caller: Arc::new(caller), credential: credential(Arc::new(verified)) })
    }

    /// Whether a token that was let in would be again: its key is still published, and it is not revoked.
    pub(super) fn still_accepts(&self, verified: &Verified) -> bool {
        let has_key = match (&self.proof, &verified.kid) {
            (Proof::Keys { keys: Some(keys), .. }, Some(kid)) => keys.set.contains(kid),
            _ => true,
        };
        has_key && !self.revoked.contains(verified.identity())
    }

    /// What the token says, and what kind of credential it is.
    fn verify(&self, token: &str, now: i64) -> Result<(Verified, ToCredential), Denied> {
        if let Some(rules) = &self.rules
            && let Some(issuer) = rules.issuer_of(token)
        {
            return Ok((rules.verify(issuer, token, now)?, Credential::Alone));
        }
        match &self.proof {
            Proof::Nothing => Err(Rejection::Issuer.into()),
            Proof::Secret(secret) => Ok((verify(secret, &self.issuer, token, now)?, Credential::Alone)),
            Proof::Keys { keys: None, .. } => Err(Cause::Unavailable.into()),
            Proof::Keys { audience, keys: Some(keys), former } => {
                let expected = Expectation { issuer: &self.issuer, audience };
                match (keys.verify(&expected, token, now), former) {
                    // Another kind of token: its type tells them apart, and neither passes for the other.
                    (Err(Denied { cause: Cause::Token(Rejection::Header), .. }), Some(former)) => {
                        Ok((former.verify(&self.issuer, token, now)?, Credential::Former))
                    }
                    (verified, _) => Ok((verified?, Credential::Alone)),
                }
            }
        }
    }

    /// A list that is not there revokes nothing, unless the config names it or there was one.
    fn read_list(&self, jwt: &Jwt, files: &Files, now: i64) -> Result<Revocations, String> {
        let name = jwt.revocation_file.as_ref().map(|path| path.display().to_string());
        let is_named = name.is_some();
        let name = name.unwrap_or_else(|| REVOCATION_FILE.to_owned());
        match files.get(REVOCATION_FILE) {
            Some(text) => Revocations::parse(text, now).map_err(|error| format!("{name}: {error}")),
            None if is_named => Err(format!(
                "{name}: no such file; `vibectl-server token revoke` makes it, and an empty one is good"
            )),
            None if !self.revoked.is_empty() => {
                Err(format!("{name}: is gone; an empty file would say that nothing is revoked"))
            }
            None => Ok(Revocations::default()),
        }
    }
}

impl Keys {
    /// The keys of the file; those in force where it is the same.
    fn read(in_force: Option<&Arc<Self>>, files: &Files) -> Result<Arc<Self>, String> {
        let file = files
            .get(JWKS_FILE)
            .ok_or("no such file; `vibectl-server token rotate-key` makes the first key and this file")?;
        if let Some(same) = in_force.filter(|keys| keys.file == *file) {
            return Ok(Arc::clone(same));
        }
        let set = KeySet::parse(file).map_err(|error| error.to_string())?;
        // Where there were keys, none is what is left after one leaked: nobody is let in.
        if set.is_empty() && in_force.is_none() {
            return Err("there is no key in it; `vibectl-server token rotate-key` makes one".to_owned());
        }
        Ok(Arc::new(Self { file: file.clone(), set, verified: VerifiedTokens::default() }))
    }

    fn verify(&self, expected: &Expectation<'_>, token: &str, now: i64) -> Result<Verified, Denied> {
        let digest = TokenDigest::of(token);
        if let Some(signed) = self.verified.get(&digest) {
            signed.check(expected, now)?;
            return Ok(signed.verified());
        }
        let signed = Arc::new(verify_signed(&self.set, expected, token, now)?);
        self.verified.put(&digest, Arc::clone(&signed), now);
        Ok(signed.verified())
    }
}

#[cfg(test)]
mod tests;
