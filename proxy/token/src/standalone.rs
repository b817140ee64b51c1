//! Tokens of a server that runs alone: HS256 with one shared secret, as the Python original makes them, or signed with one
//! of its keys.
//!
//! The original accepts tokens without `exp` or `sub`; here both are required.

mod lifetime;
pub mod revocation;
mod secret;
mod signed;

use serde::{Deserialize, Serialize};

use self::revocation::Identity;
use crate::claims::LEEWAY_SECONDS;
use crate::confirmation::Confirmation;
use crate::jws::{Header, Unverified, assemble, signing_input};
use crate::mint::MintError;
use crate::rejection::Rejection;
use crate::token::Token;
use crate::verify::MAX_TOKEN_BYTES;

pub use lifetime::{Lifetime, LifetimeError};
pub use secret::{Secret, SecretError};
pub use signed::{Signed, SignedClaims, sign, verify_signed};

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
    /// The certificate that its holder has to show.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cnf: Option<Confirmation>,
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
    /// The certificate that the holder has to show; [`verify`] cannot tell whether that was done.
    pub confirmation: Option<Confirmation>,
    /// The key that signed it; none for the shared secret.
    pub kid: Option<String>,
}

impl Verified {
    /// What a revocation list goes by.
    pub fn identity(&self) -> Identity<'_> {
        Identity { subject: &self.subject, jti: self.jti.as_deref(), issued_at: self.issued_at }
    }
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
    cnf: Option<Confirmation>,
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
    let unverified: Unverified<'_> = Unverified::parse(token, MAX_TOKEN_BYTES)?;
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
    Ok(Verified {
        subject: claims.sub,
        jti: claims.jti,
        issued_at: claims.iat,
        expires_at: claims.exp,
        confirmation: claims.cnf,
        kid: None,
    })
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

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    const NOW: i64 = 1_790_000_000;
    const ISSUER: &str = "vibectl-server";

    fn secret() -> Secret {
        Secret::new(b"0123456789abcdef0123456789abcdef").unwrap()
    }

    fn good() -> Value {
        json!({"sub": "dev", "iss": ISSUER, "iat": NOW, "exp": NOW + 60, "jti": "1"})
    }

    fn with(name: &str, value: Value) -> Value {
        let mut claims = good();
        claims[name] = value;
        claims
    }

    fn verify_with(alg: &str, typ: Option<&str>, claims: &Value) -> Result<String, Rejection> {
        let header = Header { alg: alg.to_owned(), kid: None, typ: typ.map(str::to_owned) };
        let input = signing_input(&header, claims).unwrap();
        let tag = secret().sign(input.as_bytes());
        verify(&secret(), ISSUER, &assemble(input, tag.as_ref()), NOW).map(|verified| verified.subject)
    }

    fn verify_claims(claims: &Value) -> Result<String, Rejection> {
        verify_with(ALGORITHM, Some("JWT"), claims)
    }

    #[test]
    fn a06_a08_the_originals_own_tokens_without_an_audience_and_of_type_jwt_are_the_exception_and_accepted_alone()
     {
        assert_eq!(verify_claims(&good()), Ok("dev".to_owned()));
        assert_eq!(
            verify_claims(&json!({"sub": "dev", "iss": ISSUER, "exp": NOW + 1})),
            Ok("dev".to_owned())
        );
        assert_eq!(verify_with(ALGORITHM, None, &good()), Ok("dev".to_owned()));
    }

    #[test]
    fn a04_a07_a_token_without_an_end_or_a_subject_is_refused() {
        for name in ["exp", "sub", "iss"] {
            let mut claims = good();
            claims.as_object_mut().unwrap().remove(name);

            assert_eq!(verify_claims(&claims), Err(Rejection::Claims), "{name}");
        }
        assert_eq!(verify_claims(&with("sub", json!(""))), Err(Rejection::Claims));
        for time in
            [json!(1e10), json!("1790000060"), json!(-1), json!(9_223_372_036_854_775_808_u64), json!([NOW])]
        {
            for name in ["exp", "iat", "nbf"] {
                assert_eq!(
                    verify_claims(&with(name, time.clone())),
                    Err(Rejection::Claims),
                    "{name} = {time}"
                );
            }
        }
    }

    #[test]
    fn a05_a_token_ends_at_its_very_second_and_starts_within_the_leeway() {
        assert_eq!(verify_claims(&with("exp", json!(NOW))), Err(Rejection::Expired));
        assert_eq!(verify_claims(&with("exp", json!(NOW + 1))), Ok("dev".to_owned()));
        for name in ["iat", "nbf"] {
            assert_eq!(verify_claims(&with(name, json!(NOW + LEEWAY_SECONDS))), Ok("dev".to_owned()));
            let later = with(name, json!(NOW + LEEWAY_SECONDS + 1));
            assert_eq!(verify_claims(&later), Err(Rejection::NotYetValid), "{name}");
        }
    }

    #[test]
    fn a02_a06_a07_a08_a_token_of_or_for_someone_else_or_of_another_kind_is_refused() {
        for other in ["Vibectl-Server", "vibectl-server/", "vibectl-s\u{435}rver", ""] {
            assert_eq!(verify_claims(&with("iss", json!(other))), Err(Rejection::Issuer), "{other}");
        }
        for audience in [json!(ISSUER), json!([ISSUER]), json!([])] {
            assert_eq!(verify_claims(&with("aud", audience)), Err(Rejection::Audience));
        }
        assert_eq!(verify_with(ALGORITHM, Some("at+jwt"), &good()), Err(Rejection::Header));
        for alg in ["none", "HS512", "ES256", ""] {
            assert_eq!(verify_with(alg, Some("JWT"), &good()), Err(Rejection::Algorithm), "{alg}");
        }
    }

    #[test]
    fn a_bound_token_tells_its_certificate_and_a_binding_that_cannot_be_checked_is_refused() {
        let bound = with("cnf", json!({"x5t#S256": "x"}));
        let header = Header { alg: ALGORITHM.to_owned(), kid: None, typ: None };
        let input = signing_input(&header, &bound).unwrap();
        let tag = secret().sign(input.as_bytes());

        let verified = verify(&secret(), ISSUER, &assemble(input, tag.as_ref()), NOW).unwrap();

        assert!(verified.confirmation.is_some());
        for cnf in [json!({"jkt": "x"}), json!({}), json!("x"), json!({"x5t#S256": "x", "jkt": "y"})] {
            assert_eq!(verify_claims(&with("cnf", cnf.clone())), Err(Rejection::Claims), "{cnf}");
        }
    }

    #[test]
    fn another_secret_does_not_verify() {
        let (sub, iss, jti) = ("dev".to_owned(), ISSUER.to_owned(), "1".to_owned());
        let token =
            generate(&secret(), &Claims { sub, iss, iat: NOW, exp: NOW + 60, jti, cnf: None }).unwrap();
        let other = Secret::new(b"0123456789abcdef0123456789abcdeF").unwrap();

        assert_eq!(verify(&other, ISSUER, token.expose(), NOW), Err(Rejection::Signature));
    }

    #[test]
    fn a03_a_secret_is_stripped_and_neither_empty_nor_a_key() {
        assert_eq!(Secret::new(b" \n").err(), Some(SecretError::Empty));
        assert_eq!(Secret::new(b"-----BEGIN PUBLIC KEY-----").err(), Some(SecretError::IsKey));
        assert_eq!(Secret::new(b"ssh-ed25519 AAAA").err(), Some(SecretError::IsKey));
        assert!(Secret::new(b"short\n").unwrap().is_short());
        assert_eq!(Secret::strong(b"short\n").err(), Some(SecretError::TooShort));
        assert!(Secret::strong(b"0123456789abcdef0123456789abcdef\n").is_ok());
        assert!(!secret().is_short());
    }
}
