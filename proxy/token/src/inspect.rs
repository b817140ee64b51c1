//! What a token says of itself, without a word on whether it is true: for people, never for decisions.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::{Map, Value};

use crate::verify::MAX_TOKEN_BYTES;

/// Header and claims of a token that nobody verified.
#[derive(Clone, Debug, PartialEq)]
pub struct Inspected {
    /// The header's members.
    pub header: Map<String, Value>,
    /// The claims.
    pub claims: Map<String, Value>,
}

/// Takes a token apart; none when it is not three parts of which the first two are JSON objects.
pub fn inspect(token: &str) -> Option<Inspected> {
    if token.len() > MAX_TOKEN_BYTES {
        return None;
    }
    let mut parts = token.split('.');
    let (header, claims, _signature) = (parts.next()?, parts.next()?, parts.next()?);
    if parts.next().is_some() {
        return None;
    }
    Some(Inspected { header: object(header)?, claims: object(claims)? })
}

impl Inspected {
    /// A claim that is a text and not an empty one.
    pub fn text(&self, claim: &str) -> Option<&str> {
        self.claims.get(claim)?.as_str().filter(|text| !text.is_empty())
    }

    /// A claim that is a time in whole seconds.
    pub fn seconds(&self, claim: &str) -> Option<i64> {
        self.claims.get(claim)?.as_i64()
    }
}

fn object(part: &str) -> Option<Map<String, Value>> {
    serde_json::from_slice(&URL_SAFE_NO_PAD.decode(part).ok()?).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn token(header: &str, claims: &str) -> String {
        format!("{}.{}.c2ln", URL_SAFE_NO_PAD.encode(header), URL_SAFE_NO_PAD.encode(claims))
    }

    #[test]
    fn any_signed_token_tells_its_claims() {
        let inspected =
            inspect(&token(r#"{"alg":"none","x5u":"y"}"#, r#"{"sub":"a","exp":7,"jti":""}"#)).unwrap();

        assert_eq!(
            (inspected.text("sub"), inspected.text("jti"), inspected.text("exp")),
            (Some("a"), None, None)
        );
        assert_eq!((inspected.seconds("exp"), inspected.seconds("iat")), (Some(7), None));
        assert_eq!(inspected.header["alg"], "none");
    }

    #[test]
    fn anything_else_tells_nothing() {
        let good = token("{}", "{}");
        for text in ["", "a.b.c", "..", &token("[]", "{}"), &format!("{good}.x"), &"a".repeat(10_000)] {
            assert_eq!(inspect(text), None, "{text}");
        }
        assert!(inspect(&good).is_some());
    }
}
