//! What a credential says. Pure: the same issuance gives the same claims, whoever completes it.

use kube::ResourceExt;
use vibectl_token::{Claims, audience_of, issuer_of};

use super::rotate::Issuance;
use crate::{api::ProxyToken, names::short_digest};

/// The claims of this issuance for the LlmProxy with this UID.
pub fn claims(token: &ProxyToken, proxy_uid: &str, issuance: &Issuance) -> Claims {
    let uid = token.uid().unwrap_or_default();
    Claims {
        iss: issuer_of(proxy_uid),
        aud: audience_of(proxy_uid),
        sub: format!("{}/{}", token.namespace().unwrap_or_default(), token.name_any()),
        iat: issuance.iat,
        nbf: issuance.iat,
        exp: issuance.exp,
        jti: identifier(&uid, issuance),
        uid,
    }
}

/// Names this one credential in logs and audits.
fn identifier(uid: &str, issuance: &Issuance) -> String {
    let Issuance { kid, iat, exp } = issuance;
    let text = format!("{uid}\n{kid}\n{iat}\n{exp}");
    short_digest(text.as_bytes(), 16)
}
