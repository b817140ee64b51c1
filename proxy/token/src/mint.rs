//! Signs a token of a cluster.

use serde::Serialize;
use thiserror::Error;

use crate::claims::Claims;
use crate::jws::{Header, assemble, signing_input};
use crate::signing_key::{KeyError, SigningKey};
use crate::token::Token;
use crate::verify::{MAX_TOKEN_BYTES, TOKEN_TYPE};

/// Why no token was made.
#[derive(Debug, Error)]
pub enum MintError {
    /// Claims that no verifier would accept.
    #[error("failed to mint a token: a claim is empty or the times make no sense")]
    Claims,
    /// Longer than a verifier accepts.
    #[error("failed to mint a token: it would be longer than {MAX_TOKEN_BYTES} bytes")]
    TooLong,
    /// The claims do not become JSON.
    #[error("failed to write the claims as JSON")]
    Json(#[source] serde_json::Error),
    /// The key does not sign.
    #[error("failed to sign a token")]
    Sign(#[source] KeyError),
}

/// The token with these claims. What this makes, [`crate::verify`] accepts in its time.
pub fn mint(key: &SigningKey, claims: &Claims) -> Result<Token, MintError> {
    if !claims.are_sound() {
        return Err(MintError::Claims);
    }
    sign_claims(key, claims)
}

/// A token of our type with these claims, which the caller has judged.
pub(crate) fn sign_claims(key: &SigningKey, claims: &impl Serialize) -> Result<Token, MintError> {
    let header = Header {
        alg: key.algorithm().name().to_owned(),
        kid: Some(key.kid().to_owned()),
        typ: Some(TOKEN_TYPE.to_owned()),
    };
    let input = signing_input(&header, claims).map_err(MintError::Json)?;
    let signature = key.sign(input.as_bytes()).map_err(MintError::Sign)?;
    let token = assemble(input, &signature);
    if token.len() > MAX_TOKEN_BYTES {
        return Err(MintError::TooLong);
    }
    Ok(Token::new(token))
}
