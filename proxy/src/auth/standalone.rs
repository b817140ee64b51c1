//! Callers of a server that runs alone: whoever has a token signed with the shared secret that is not revoked.

use std::sync::Arc;

use vibectl_config::Jwt;
use vibectl_config::locate::REVOCATION_FILE;
use vibectl_token::standalone::revocation::Revocations;
use vibectl_token::standalone::{Secret, Verified, verify};
use vibectl_token::table::{Scope, Scopes};
use vibectl_token::{Confirmation, Limits};

use crate::auth::principal::{Credential, Principal};
use crate::auth::table::Accepted;
use crate::auth::{Cause, Denied};
use crate::caller::Caller;
use crate::listener::tls::ClientCertificate;
use crate::parts::Files;

/// The shared secret, whose tokens it signs, and which of them are refused.
#[derive(Clone, Debug)]
pub(super) struct Standalone {
    secret: Arc<Secret>,
    issuer: Arc<str>,
    revoked: Arc<Revocations>,
}

impl Standalone {
    pub(super) fn new(secret: Secret, issuer: &str) -> Self {
        Self { secret: Arc::new(secret), issuer: Arc::from(issuer), revoked: Arc::default() }
    }

    /// The same with the newest list of revoked tokens; with the one in force where the newest cannot be read.
    pub(super) fn follow(&self, jwt: &Jwt, files: &Files, now: i64) -> (Self, Accepted) {
        let (state, problem) = match self.read_list(jwt, files, now) {
            Ok(revoked) => (Self { revoked: Arc::new(revoked), ..self.clone() }, None),
            Err(problem) => (self.clone(), Some(problem)),
        };
        (state, Accepted { problems: problem.into_iter().collect(), ..Accepted::default() })
    }

    /// The holder of the token. Its limits are those of the config.
    /// A token that is bound to a certificate is good on a connection with that certificate only.
    pub(super) fn principal(
        &self,
        token: &str,
        client: Option<ClientCertificate>,
        now: i64,
    ) -> Result<Principal, Denied> {
        let verified = verify(&self.secret, &self.issuer, token, now)?;
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
        Ok(Principal { caller: Arc::new(caller), credential: Credential::Alone(Arc::new(verified)) })
    }

    /// Whether a token that was let in would be again.
    pub(super) fn still_accepts(&self, verified: &Verified) -> bool {
        !self.revoked.contains(verified.identity())
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

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: i64 = 1_790_000_000;

    fn standalone() -> Standalone {
        Standalone::new(Secret::new(&[7; 32]).expect("a secret"), "vibectl-server")
    }

    fn files(list: &str) -> Files {
        Files::from([(REVOCATION_FILE.to_owned(), list.as_bytes().to_vec())])
    }

    fn token(jti: &str) -> Verified {
        Verified {
            subject: "dev".to_owned(),
            jti: Some(jti.to_owned()),
            issued_at: Some(NOW),
            expires_at: NOW + 60,
            confirmation: None,
        }
    }

    #[test]
    fn a_list_that_is_bad_or_gone_leaves_the_one_in_force() {
        let (state, accepted) = standalone().follow(&Jwt::default(), &files("{\"jti\":\"1\",\"at\":1}"), NOW);
        assert_eq!(accepted.problems, Vec::<String>::new());

        for newest in [files("{\"jti\":\"2\""), Files::new()] {
            let (state, accepted) = state.follow(&Jwt::default(), &newest, NOW);

            assert!(accepted.problems[0].starts_with("revoked.jsonl: "), "{:?}", accepted.problems);
            assert!(!state.still_accepts(&token("1")) && state.still_accepts(&token("2")));
        }
    }

    #[test]
    fn an_empty_list_takes_back_what_was_revoked() {
        let (state, _) = standalone().follow(&Jwt::default(), &files("{\"jti\":\"1\",\"at\":1}"), NOW);

        let (state, accepted) = state.follow(&Jwt::default(), &files(""), NOW);

        assert!(accepted.problems.is_empty() && state.still_accepts(&token("1")));
    }

    #[test]
    fn a_list_that_the_config_names_has_to_be_there_and_another_one_need_not() {
        let named = Jwt { revocation_file: Some("/list".into()), ..Jwt::default() };

        let (_, accepted) = standalone().follow(&named, &Files::new(), NOW);

        assert!(accepted.problems[0].starts_with("/list: no such file"), "{:?}", accepted.problems);
        assert!(standalone().follow(&Jwt::default(), &Files::new(), NOW).1.problems.is_empty());
    }
}
