//! What a token of a cluster says. Identity only: what it may do stands in the access table.

use serde::{Deserialize, Serialize};

use crate::rejection::Rejection;

/// How far clocks may be apart. The operator signs on one node and a proxy verifies on another: synchronised
/// clocks differ by milliseconds, a node that has lost its time source for a day by some seconds.
pub const LEEWAY_SECONDS: i64 = 30;

/// The claims of a token for one `LlmProxy`. Every one is required.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Claims {
    /// Who issued it: [`issuer_of`] the proxy.
    pub iss: String,
    /// For whom: [`audience_of`] the proxy. One string; a list is refused.
    pub aud: String,
    /// The `ProxyToken` as `namespace/name`, for people and logs.
    pub sub: String,
    /// When it was issued, in seconds since 1970.
    pub iat: i64,
    /// From when it is good.
    pub nbf: i64,
    /// When it ends.
    pub exp: i64,
    /// The identifier of this one token.
    pub jti: String,
    /// The UID of the `ProxyToken`: what access, limits and usage go by.
    #[serde(rename = "vibectl.dev/uid")]
    pub uid: String,
}

impl Claims {
    /// What [`crate::verify`] asks of claims whose signature is right. Whoever remembers a verified token asks again.
    pub fn check(&self, expected: &Expectation<'_>, now: i64) -> Result<(), Rejection> {
        if !self.are_sound() {
            return Err(Rejection::Claims);
        }
        self.common().check(expected, now)
    }

    /// No text is empty, no time before 1970, and it lasts at all.
    pub(crate) fn are_sound(&self) -> bool {
        let texts = [&self.iss, &self.aud, &self.sub, &self.jti, &self.uid];
        texts.iter().all(|text| !text.is_empty()) && self.common().is_sound()
    }

    fn common(&self) -> Common<'_> {
        let Self { iss, aud, iat, nbf, exp, .. } = self;
        Common { iss, aud, iat: *iat, nbf: *nbf, exp: *exp }
    }
}

/// What every token of ours says.
pub(crate) struct Common<'a> {
    pub(crate) iss: &'a str,
    pub(crate) aud: &'a str,
    pub(crate) iat: i64,
    pub(crate) nbf: i64,
    pub(crate) exp: i64,
}

impl Common<'_> {
    /// No time before 1970, and it lasts at all.
    pub(crate) fn is_sound(&self) -> bool {
        [self.iat, self.nbf, self.exp].iter().all(|time| *time >= 0)
            && self.exp > self.iat
            && self.exp > self.nbf
    }

    /// Issuer and audience are the expected ones, and it is in time.
    pub(crate) fn check(&self, expected: &Expectation<'_>, now: i64) -> Result<(), Rejection> {
        if self.iss != expected.issuer {
            return Err(Rejection::Issuer);
        }
        if self.aud != expected.audience {
            return Err(Rejection::Audience);
        }
        if self.exp.saturating_add(LEEWAY_SECONDS) <= now {
            return Err(Rejection::Expired);
        }
        if self.iat.max(self.nbf) > now.saturating_add(LEEWAY_SECONDS) {
            return Err(Rejection::NotYetValid);
        }
        Ok(())
    }
}

/// Whose tokens a verifier accepts.
#[derive(Clone, Copy, Debug)]
pub struct Expectation<'a> {
    /// The exact `iss`.
    pub issuer: &'a str,
    /// The exact `aud`.
    pub audience: &'a str,
}

/// The issuer of tokens for the `LlmProxy` with this UID.
pub fn issuer_of(proxy_uid: &str) -> String {
    format!("https://vibectl.dev/proxies/{proxy_uid}")
}

/// The audience of tokens for the `LlmProxy` with this UID.
pub fn audience_of(proxy_uid: &str) -> String {
    proxy_uid.to_owned()
}
