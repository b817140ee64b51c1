//! Tokens of a server that runs alone: HS256 with one shared secret, as the Python original makes them.
//!
//! The original accepts tokens without `exp` or `sub`; here both are required.

mod lifetime;
mod secret;

use serde::{Deserialize, Serialize};

use crate::jws::{Header, Unverified, assemble, signing_input};
use crate::mint::MintError;
use crate::rejection::Rejection;
use crate::token::Token;
use crate::verify::{LEEWAY_SECONDS, MAX_TOKEN_BYTES};

pub use lifetime::{Lifetime, LifetimeError};
pub use secret::{Secret, SecretError};

const ALGORITHM: &str = "HS256";
const TOKEN_TYPE: &str = "JWT";

/// What such a token says, in the original's order.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Claims {
    /// Whom it is for.
    pub sub: String,
    /// Who issued it: `jwt.issuer` of the config.
    pub iss: String,
    /// When, in seconds since 1970.
    pub iat: i64,
    /// When it ends.
    pub exp: i64,
    /// The identifier of this one token.
    pub jti: String,
}

/// What is known of the holder of a verified token.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Verified {
    /// Whom the token is for.
    pub subject: String,
    /// The token's identifier, where it has one.
    pub jti: Option<String>,
    /// When it was issued, where it says so.
    pub issued_at: Option<i64>,
    /// When it ends.
    pub expires_at: i64,
}

#[derive(Deserialize)]
struct Presented {
    sub: String,
    iss: String,
    exp: i64,
    iat: Option<i64>,
    nbf: Option<i64>,
    jti: Option<String>,
    aud: Option<serde::de::IgnoredAny>,
}

/// Signs a token.
pub fn generate(secret: &Secret, claims: &Claims) -> Result<Token, MintError> {
    if claims.sub.is_empty() || claims.iss.is_empty() || claims.exp <= claims.iat {
        return Err(MintError::Claims);
    }
    let header = Header { alg: ALGORITHM.to_owned(), kid: None, typ: Some(TOKEN_TYPE.to_owned()) };
    let input = signing_input(&header, claims).map_err(MintError::Json)?;
    let tag = secret.sign(input.as_bytes());
    let token = assemble(input, tag.as_ref());
    if token.len() > MAX_TOKEN_BYTES {
        return Err(MintError::TooLong);
    }
    Ok(Token::new(token))
}

/// Who holds `token`, if the secret signed it for this issuer and it is in time.
///
/// It ends at its very second, as with the original. A start may lie ahead by the leeway, for a token that was made
/// on another machine.
pub fn verify(secret: &Secret, issuer: &str, token: &str, now: i64) -> Result<Verified, Rejection> {
    let unverified = Unverified::parse(token, MAX_TOKEN_BYTES)?;
    if unverified.header.typ.as_deref().is_some_and(|typ| !typ.eq_ignore_ascii_case(TOKEN_TYPE)) {
        return Err(Rejection::Header);
    }
    if unverified.header.alg != ALGORITHM {
        return Err(Rejection::Algorithm);
    }
    if !secret.verify(unverified.signed.as_bytes(), &unverified.signature) {
        return Err(Rejection::Signature);
    }
    let claims: Presented = unverified.claims()?;
    check(&claims, issuer, now)?;
    Ok(Verified { subject: claims.sub, jti: claims.jti, issued_at: claims.iat, expires_at: claims.exp })
}

fn check(claims: &Presented, issuer: &str, now: i64) -> Result<(), Rejection> {
    let starts = [claims.iat, claims.nbf].into_iter().flatten();
    if claims.sub.is_empty() || claims.exp < 0 || starts.clone().any(|time| time < 0) {
        return Err(Rejection::Claims);
    }
    if claims.iss != issuer {
        return Err(Rejection::Issuer);
    }
    if claims.aud.is_some() {
        return Err(Rejection::Audience);
    }
    if claims.exp <= now {
        return Err(Rejection::Expired);
    }
    if starts.max().is_some_and(|start| start > now.saturating_add(LEEWAY_SECONDS)) {
        return Err(Rejection::NotYetValid);
    }
    Ok(())
}
