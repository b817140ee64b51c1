//! The list of other issuers that are trusted, as a file: the operator writes it, the server reads it.

use std::fmt;

use serde::{Deserialize, Serialize};
use thiserror::Error;

use super::key_set::{ForeignKeySet, ForeignKeySetError};

const MAX_BYTES: usize = 1024 * 1024;
/// Each costs a look at every token that is not ours.
pub const MAX_ISSUERS: usize = 8;

/// An issuer whose tokens tell who calls.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "Written", into = "Written")]
pub struct Issuer {
    /// What rows call it.
    pub name: String,
    /// The exact `iss` of its tokens.
    pub issuer: String,
    /// A token must be for one of these.
    pub audiences: Vec<String>,
    /// Where its keys come from.
    pub keys: KeySource,
    /// PEM certificates that its own server is checked against; without them the public roots.
    pub ca_bundle: Option<String>,
}

/// Where the keys of an issuer come from.
#[derive(Clone, PartialEq, Eq)]
pub enum KeySource {
    /// They are in the list itself.
    Inline(serde_json::Value),
    /// A key set at this address.
    Url(String),
    /// The key set that the discovery document of the issuer names (OpenID Connect Discovery 1.0, 4).
    Discovery,
}

/// An issuer as it stands in the list.
///
/// A member that this version does not know refuses the list: it could be a restriction.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Written {
    name: String,
    issuer: String,
    audiences: Vec<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    jwks: Option<serde_json::Value>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    jwks_url: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    ca_bundle: Option<String>,
}

impl TryFrom<Written> for Issuer {
    type Error = &'static str;

    fn try_from(written: Written) -> Result<Self, Self::Error> {
        let Written { name, issuer, audiences, jwks, jwks_url, ca_bundle } = written;
        let keys = match (jwks, jwks_url) {
            (Some(_), Some(_)) => return Err("an issuer has jwks or jwks_url, not both"),
            (Some(keys), None) => KeySource::Inline(keys),
            (None, Some(url)) => KeySource::Url(url),
            (None, None) => KeySource::Discovery,
        };
        Ok(Self { name, issuer, audiences, keys, ca_bundle })
    }
}

impl From<Issuer> for Written {
    fn from(issuer: Issuer) -> Self {
        let Issuer { name, issuer, audiences, keys, ca_bundle } = issuer;
        let (jwks, jwks_url) = match keys {
            KeySource::Inline(keys) => (Some(keys), None),
            KeySource::Url(url) => (None, Some(url)),
            KeySource::Discovery => (None, None),
        };
        Self { name, issuer, audiences, jwks, jwks_url, ca_bundle }
    }
}

/// Why a list was refused. It is refused whole: the one in force stays.
#[derive(Debug, Error)]
pub enum IssuersError {
    /// Larger than any list of ours.
    #[error("failed to read the list of issuers: more than {MAX_BYTES} bytes or {MAX_ISSUERS} issuers")]
    TooLarge,
    /// Not such a list.
    #[error("failed to read the list of issuers as JSON")]
    Json(#[source] serde_json::Error),
    /// An issuer that nothing could be verified for.
    #[error("failed to use issuer {issuer:?}: {problem}")]
    Issuer {
        /// Which.
        issuer: String,
        /// What is wrong with it.
        problem: &'static str,
    },
    /// Its keys are in the list, and are no key set.
    #[error("failed to use issuer {issuer:?}")]
    Keys {
        /// Which.
        issuer: String,
        /// What is wrong with them.
        source: ForeignKeySetError,
    },
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Document<I> {
    issuers: Vec<I>,
}

/// Reads a list.
pub fn parse_issuers(json: &[u8]) -> Result<Vec<Issuer>, IssuersError> {
    if json.len() > MAX_BYTES {
        return Err(IssuersError::TooLarge);
    }
    let Document { issuers } = serde_json::from_slice(json).map_err(IssuersError::Json)?;
    if issuers.len() > MAX_ISSUERS {
        return Err(IssuersError::TooLarge);
    }
    for (index, issuer) in issuers.iter().enumerate() {
        check(issuer)?;
        let same = |earlier: &Issuer| earlier.issuer == issuer.issuer || earlier.name == issuer.name;
        if issuers.iter().take(index).any(same) {
            let problem = "an earlier one has the same name or issuer";
            return Err(IssuersError::Issuer { issuer: issuer.issuer.clone(), problem });
        }
    }
    Ok(issuers)
}

/// The list as JSON: the same issuers give the same bytes.
pub fn render_issuers(issuers: &[Issuer]) -> Result<String, serde_json::Error> {
    serde_json::to_string(&Document { issuers: issuers.to_vec() })
}

fn check(issuer: &Issuer) -> Result<(), IssuersError> {
    let refused = |problem| Err(IssuersError::Issuer { issuer: issuer.issuer.clone(), problem });
    if issuer.issuer.is_empty() || issuer.name.is_empty() {
        return refused("it has no name or no issuer");
    }
    if issuer.audiences.is_empty() || issuer.audiences.iter().any(String::is_empty) {
        return refused("it has no audiences, so any token of it would do");
    }
    let https = |url: &str| url.starts_with("https://");
    match &issuer.keys {
        KeySource::Inline(keys) => match ForeignKeySet::parse(keys.to_string().as_bytes()) {
            Ok(_) => Ok(()),
            Err(source) => Err(IssuersError::Keys { issuer: issuer.issuer.clone(), source }),
        },
        KeySource::Url(url) if !https(url) => refused("the address of its keys is not an https URL"),
        KeySource::Discovery if !https(&issuer.issuer) => {
            refused("it is not an https URL, so nothing says where its keys are")
        }
        KeySource::Url(_) | KeySource::Discovery => Ok(()),
    }
}

impl fmt::Debug for KeySource {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Inline(_) => formatter.write_str("Inline(..)"),
            Self::Url(url) => formatter.debug_tuple("Url").field(url).finish(),
            Self::Discovery => formatter.write_str("Discovery"),
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::{Algorithm, SigningKey};

    fn inline() -> serde_json::Value {
        let key = SigningKey::generate(Algorithm::Es256).unwrap();
        json!({"name": "a", "issuer": "https://a", "audiences": ["llm"], "jwks": {"keys": [serde_json::to_value(key.public_jwk()).unwrap()]}})
    }

    fn parse(issuers: &[serde_json::Value]) -> Result<Vec<Issuer>, IssuersError> {
        parse_issuers(json!({"issuers": issuers}).to_string().as_bytes())
    }

    #[test]
    fn what_is_written_is_read_back() {
        let issuers = parse(&[
            inline(),
            json!({"name": "b", "issuer": "https://b", "audiences": ["x", "y"], "jwks_url": "https://b/keys", "ca_bundle": "PEM"}),
            json!({"name": "c", "issuer": "https://c", "audiences": ["x"]}),
        ])
        .unwrap();

        let again = parse_issuers(render_issuers(&issuers).unwrap().as_bytes()).unwrap();

        assert_eq!(again, issuers);
    }

    #[test]
    fn an_issuer_that_would_let_too_many_in_or_nobody_refuses_the_list() {
        let with = |name: &str, value: serde_json::Value| {
            let mut issuer = inline();
            issuer[name] = value;
            issuer
        };
        let url = |issuer: &str, url: &str| json!({"name": issuer, "issuer": issuer, "audiences": ["x"], "jwks_url": url});
        let many: Vec<_> =
            (0..=MAX_ISSUERS).map(|index| url(&format!("https://{index}"), "https://k")).collect();

        for bad in [
            vec![with("audiences", json!([]))],
            vec![with("audiences", json!([""]))],
            vec![with("issuer", json!(""))],
            vec![with("jwks", json!({"keys": []}))],
            vec![with("subjects", json!(["only-me"]))],
            vec![inline(), inline()],
            vec![url("https://a", "http://a/keys")],
            vec![json!({"name": "c", "issuer": "http://c", "audiences": ["x"]})],
            vec![inline(), with("name", json!("b"))],
            vec![inline(), with("issuer", json!("https://b"))],
            vec![with("jwks_url", json!("https://a/keys"))],
            many,
        ] {
            assert!(parse(&bad).is_err(), "{bad:?}");
        }
    }
}
