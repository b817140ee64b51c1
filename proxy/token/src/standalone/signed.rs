//! Tokens of a server that runs alone, signed with one of its keys: typed (RFC 9068) and for one audience, so that a token
//! of the one kind is never good as one of the other (RFC 8725, 3.11 and 3.12).

use serde::{Deserialize, Serialize};

use super::Verified;
use crate::claims::{Common, Expectation};
use crate::confirmation::Confirmation;
use crate::key_set::KeySet;
use crate::mint::{MintError, sign_claims};
use crate::rejection::Rejection;
use crate::signing_key::SigningKey;
use crate::token::Token;
use crate::verify::verify_signature;

/// What such a token says. Every claim but the last is required.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SignedClaims {
    /// Who issued it: `jwt.issuer` of the config.
    pub iss: String,
    /// For whom: `jwt.audience` of the config. One string; a list is refused.
    pub aud: String,
    /// Whom it is for.
    pub sub: String,
    /// When it was issued, in seconds since 1970.
    pub iat: i64,
    /// From when it is good.
    pub nbf: i64,
    /// When it ends.
    pub exp: i64,
    /// The identifier of this one token.
    pub jti: String,
    /// The certificate that its holder has to show.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cnf: Option<Confirmation>,
}

/// A token whose signature is right.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Signed {
    /// What it says.
    pub claims: SignedClaims,
    /// The key that signed it: the token is good only while that key is.
    pub kid: String,
}

/// Signs a token. What this makes, [`verify_signed`] accepts in its time.
pub fn sign(key: &SigningKey, claims: &SignedClaims) -> Result<Token, MintError> {
    if !claims.are_sound() {
        return Err(MintError::Claims);
    }
    sign_claims(key, claims)
}

/// What `token` says, if a key of the set signed it for the expected audience and it is in time.
pub fn verify_signed(
    keys: &KeySet,
    expected: &Expectation<'_>,
    token: &str,
    now: i64,
) -> Result<Signed, Rejection> {
    let (claims, kid) = verify_signature(keys, token)?;
    let signed = Signed { claims, kid };
    signed.check(expected, now)?;
    Ok(signed)
}

impl Signed {
    /// What [`verify_signed`] asks once the signature is right. Whoever remembers a verified token asks again.
    pub fn check(&self, expected: &Expectation<'_>, now: i64) -> Result<(), Rejection> {
        if !self.claims.are_sound() {
            return Err(Rejection::Claims);
        }
        self.claims.common().check(expected, now)
    }

    /// What is known of its holder.
    pub fn verified(&self) -> Verified {
        let SignedClaims { sub, jti, iat, exp, cnf, .. } = &self.claims;
        Verified {
            subject: sub.clone(),
            jti: Some(jti.clone()),
            issued_at: Some(*iat),
            expires_at: *exp,
            confirmation: cnf.clone(),
            kid: Some(self.kid.clone()),
        }
    }
}

impl SignedClaims {
    fn are_sound(&self) -> bool {
        [&self.iss, &self.aud, &self.sub, &self.jti].iter().all(|text| !text.is_empty())
            && self.common().is_sound()
    }

    fn common(&self) -> Common<'_> {
        let Self { iss, aud, iat, nbf, exp, .. } = self;
        Common { iss, aud, iat: *iat, nbf: *nbf, exp: *exp }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::algorithm::Algorithm;
    use crate::claims::{Claims, LEEWAY_SECONDS};

    const NOW: i64 = 1_790_000_000;
    const EXPECTED: Expectation<'static> = Expectation { issuer: "vibectl-server", audience: "here" };

    fn claims() -> SignedClaims {
        let text = str::to_owned;
        SignedClaims {
            iss: text("vibectl-server"),
            aud: text("here"),
            sub: text("dev"),
            iat: NOW,
            nbf: NOW,
            exp: NOW + 600,
            jti: text("1"),
            cnf: None,
        }
    }

    fn signer(algorithm: Algorithm) -> (SigningKey, KeySet) {
        let key = SigningKey::generate(algorithm).unwrap();
        let keys = KeySet::from_keys([key.public_jwk().clone()]).unwrap();
        (key, keys)
    }

    #[test]
    fn what_is_signed_verifies_with_every_algorithm_binding_included() {
        let claims = SignedClaims { cnf: Some(Confirmation::of_certificate(b"mine")), ..claims() };
        for algorithm in Algorithm::ALL {
            let (key, keys) = signer(algorithm);

            let token = sign(&key, &claims).unwrap();
            let signed = verify_signed(&keys, &EXPECTED, token.expose(), NOW).unwrap();

            assert_eq!((&signed.claims, signed.kid.as_str()), (&claims, key.kid()), "{algorithm}");
            assert_eq!(signed.verified().confirmation, claims.cnf);
        }
    }

    #[test]
    fn a04_a05_a06_a07_what_does_not_fit_is_refused() {
        let (key, keys) = signer(Algorithm::EdDsa);
        let verify = |claims: &SignedClaims, now| {
            let token = sign_claims(&key, claims).unwrap();
            verify_signed(&keys, &EXPECTED, token.expose(), now).map(drop)
        };
        let other = || "other".to_owned();

        assert_eq!(verify(&claims(), NOW), Ok(()));
        assert_eq!(verify(&SignedClaims { iss: other(), ..claims() }, NOW), Err(Rejection::Issuer));
        assert_eq!(verify(&SignedClaims { aud: other(), ..claims() }, NOW), Err(Rejection::Audience));
        assert_eq!(verify(&claims(), NOW + 600 + LEEWAY_SECONDS), Err(Rejection::Expired));
        assert_eq!(verify(&claims(), NOW - LEEWAY_SECONDS - 1), Err(Rejection::NotYetValid));
        for wrong in [
            SignedClaims { sub: String::new(), ..claims() },
            SignedClaims { jti: String::new(), ..claims() },
            SignedClaims { exp: NOW, ..claims() },
            SignedClaims { iat: -1, ..claims() },
        ] {
            assert_eq!(verify(&wrong, NOW), Err(Rejection::Claims), "{wrong:?}");
            assert!(sign(&key, &wrong).is_err());
        }
    }

    #[test]
    fn a08_a_token_of_a_cluster_and_one_of_the_secret_are_not_of_this_kind() {
        let (key, keys) = signer(Algorithm::Es256);
        let text = str::to_owned;
        let of_cluster = Claims {
            iss: text("vibectl-server"),
            aud: text("here"),
            sub: text("dev"),
            iat: NOW,
            nbf: NOW,
            exp: NOW + 600,
            jti: text("1"),
            uid: text("row"),
        };
        let of_here = sign(&key, &claims()).unwrap();

        // A cluster needs more than this says; the other way round issuer and audience tell them apart.
        let verified = crate::verify(&keys, &EXPECTED, of_here.expose(), NOW);
        assert_eq!(verified.err(), Some(Rejection::Claims));
        let of_cluster = crate::mint(&key, &Claims { aud: text("0a5e9b7c"), ..of_cluster }).unwrap();
        let verified = verify_signed(&keys, &EXPECTED, of_cluster.expose(), NOW);
        assert_eq!(verified.err(), Some(Rejection::Audience));
        let secret = super::super::Secret::new(b"0123456789abcdef0123456789abcdef").unwrap();
        let refused = super::super::verify(&secret, "vibectl-server", of_here.expose(), NOW);
        assert_eq!(refused.err(), Some(Rejection::Header));
    }
}
