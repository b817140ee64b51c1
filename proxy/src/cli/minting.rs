//! Makes tokens that a server that runs alone accepts: with its shared secret, or with its signing key.

use vibectl_token::standalone::{self, Lifetime, SignedClaims};
use vibectl_token::{Algorithm, Confirmation, Token};

use crate::auth::secret;
use crate::cli::alone::Alone;
use crate::cli::outcome::{Failure, say};
use crate::cli::token::revocation_file::RevocationFile;
use crate::cli::token::signing_keys::SigningKeys;

/// What a token is to say.
#[derive(Debug)]
pub(super) struct Order {
    /// Whom it is for.
    pub(super) subject: String,
    /// How long it is good for; as configured where it is not said.
    pub(super) lifetime: Option<Lifetime>,
    /// The certificate that its holder has to show, where it is bound to one.
    pub(super) confirmation: Option<Confirmation>,
    /// Its identifier.
    pub(super) jti: String,
}

impl Alone {
    /// Signs a token.
    pub(super) fn mint(&self, order: Order, now: i64) -> Result<Token, Failure> {
        let jwt = &self.config.jwt;
        let configured = || Lifetime::from_days(jwt.expiration_days);
        let lifetime = order.lifetime.map_or_else(configured, Ok).map_err(|error| Failure::usage(&error))?;
        let iat = self.issued_at(&order.subject, now)?;
        let exp = iat.saturating_add(lifetime.seconds());
        match jwt.algorithm.of_signing_keys() {
            None => self.sign_with_secret(order, iat, exp),
            Some(algorithm) => self.sign_with_key(order, algorithm, iat, exp),
        }
    }

    fn sign_with_secret(&self, order: Order, iat: i64, exp: i64) -> Result<Token, Failure> {
        let jwt = &self.config.jwt;
        let secret = secret::find(jwt).map_err(|error| Failure::unusable(&error))?;
        if secret.is_short() {
            say(&format!("warning: {}", secret::SHORT));
        }
        let Order { subject: sub, confirmation: cnf, jti, lifetime: _ } = order;
        let claims = standalone::Claims { sub, iss: jwt.issuer.clone(), iat, exp, jti, cnf };
        standalone::generate(&secret, &claims).map_err(Failure::running)
    }

    fn sign_with_key(
        &self,
        order: Order,
        algorithm: Algorithm,
        iat: i64,
        exp: i64,
    ) -> Result<Token, Failure> {
        let jwt = &self.config.jwt;
        let keys = SigningKeys::new(self.signing_keys_dir()?);
        let key = keys.signer(algorithm, exp.saturating_sub(iat), iat).map_err(Failure::Running)?;
        let Order { subject: sub, confirmation: cnf, jti, lifetime: _ } = order;
        let (iss, aud) = (jwt.issuer.clone(), jwt.audience.clone());
        let claims = SignedClaims { iss, aud, sub, iat, nbf: iat, exp, jti, cnf };
        standalone::sign(&key, &claims).map_err(Failure::running)
    }

    /// Now; or the next second, if what the subject was given in this one is revoked.
    fn issued_at(&self, subject: &str, now: i64) -> Result<i64, Failure> {
        let Some(path) = self.revocation_file() else { return Ok(now) };
        let file = RevocationFile::new(path);
        let list = file.read().map_err(Failure::Running)?;
        match list.issued_before(subject).unwrap_or(now) {
            before if before <= now.saturating_add(1) => Ok(now.max(before)),
            _ => Err(Failure::Running(anyhow::anyhow!(
                "what {subject} is given before a moment in the future is revoked by {}: a token would be refused; \
                 see `vibectl-server token list`",
                file.path().display()
            ))),
        }
    }
}
