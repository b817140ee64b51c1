//! The Secret that a ProxyToken becomes. Pure but for the signature.

use std::collections::BTreeMap;

use k8s_openapi::{ByteString, api::core::v1::Secret};
use kube::{Resource, ResourceExt, api::ObjectMeta};
use vibectl_token::mint;
use zeroize::Zeroizing;

use super::{
    Error,
    claims::claims,
    dereference::{CA_KEY, Found},
    rotate::Issuance,
};
use crate::{
    api::ProxyToken,
    keys::{KeysError, signing::Signing},
    llm_proxy::endpoint::Endpoint,
    names::{APP_NAME, MANAGED_BY, MANAGED_BY_LABEL, TOKEN_UID_LABEL},
    runtime::references::secret_of,
};

/// Key of the credential itself.
pub const TOKEN_KEY: &str = "token";
/// Key of the address for `vibectl`.
const URL_KEY: &str = "url";
/// The same two as environment variables that existing tools read (`envFrom`).
const VIBECTL_TOKEN_VARIABLE: &str = "VIBECTL_JWT_TOKEN";
const OPENAI_URL_VARIABLE: &str = "OPENAI_BASE_URL";
const OPENAI_KEY_VARIABLE: &str = "OPENAI_API_KEY";

/// The text of a credential. It cannot be printed.
pub struct Credential(Zeroizing<String>);

impl Credential {
    /// The one that the Secret holds already.
    pub fn kept(text: Zeroizing<String>) -> Self {
        Self(text)
    }

    /// A new one.
    pub fn minted(token: &ProxyToken, found: &Found, issuance: &Issuance) -> Result<Self, Error> {
        let proxy = found.proxy.as_ref().and_then(|proxy| proxy.uid()).ok_or(Error::NoIdentity)?;
        let active = found.signing.as_ref().and_then(Signing::active);
        // The plan named the key that signed at that moment; another one would contradict the record.
        let (key, _) = active.filter(|(key, _)| key.kid() == issuance.kid).ok_or(KeysError::Conflict)?;
        let text = mint(key, &claims(token, &proxy, issuance))?;
        Ok(Self(Zeroizing::new(text.expose().to_owned())))
    }
}

/// The Secret with this credential.
pub fn build(token: &ProxyToken, found: &Found, credential: &Credential) -> Result<Secret, Error> {
    let proxy = found.proxy.as_ref().ok_or(Error::NoIdentity)?;
    let owner = token.controller_owner_ref(&()).ok_or(Error::NoIdentity)?;
    let labels = [
        ("app.kubernetes.io/name", APP_NAME),
        (MANAGED_BY_LABEL, MANAGED_BY),
        (TOKEN_UID_LABEL, owner.uid.as_str()),
    ];
    let labels = labels.map(|(key, value)| (key.to_owned(), value.to_owned()));
    let template = token.spec.secret_template.clone().unwrap_or_default();
    // Ours last: what the template says of them does not count.
    let labels = template.labels.into_iter().filter(|(key, _)| is_free(key)).chain(labels).collect();
    let annotations: BTreeMap<_, _> =
        template.annotations.into_iter().filter(|(key, _)| is_free(key)).collect();
    Ok(Secret {
        metadata: ObjectMeta {
            name: Some(secret_of(token).to_owned()),
            namespace: token.namespace(),
            labels: Some(labels),
            annotations: (!annotations.is_empty()).then_some(annotations),
            owner_references: Some(vec![owner]),
            ..ObjectMeta::default()
        },
        data: Some(data(&Endpoint::of(proxy), found.ca.as_deref(), credential)),
        type_: Some("Opaque".to_owned()),
        ..Secret::default()
    })
}

fn data(endpoint: &Endpoint, ca: Option<&str>, credential: &Credential) -> BTreeMap<String, ByteString> {
    let base_url = format!("{}/v1", endpoint.url());
    let entries = [
        (TOKEN_KEY, credential.0.as_str()),
        (URL_KEY, &endpoint.vibectl_url()),
        (VIBECTL_TOKEN_VARIABLE, credential.0.as_str()),
        (OPENAI_URL_VARIABLE, &base_url),
        (OPENAI_KEY_VARIABLE, credential.0.as_str()),
    ];
    let ca = ca.filter(|_| endpoint.encrypted).map(|bundle| (CA_KEY, bundle));
    let bytes = |(key, text): (&str, &str)| (key.to_owned(), ByteString(text.as_bytes().to_vec()));
    entries.into_iter().chain(ca).map(bytes).collect()
}

/// The schema refuses the others too; a definition in the cluster may be older.
fn is_free(key: &str) -> bool {
    !key.starts_with("vibectl.dev/") && !key.starts_with("app.kubernetes.io/")
}

/// Whether `present` was made for this ProxyToken.
pub fn is_owned(present: &Secret, token: &ProxyToken) -> bool {
    let uid = token.uid();
    present
        .owner_references()
        .iter()
        .any(|owner| owner.controller == Some(true) && Some(&owner.uid) == uid.as_ref())
}

/// `present` with what `wanted` says, or `None` when nothing differs. Labels and annotations of others stay.
pub fn merged(present: &Secret, wanted: Secret) -> Option<Secret> {
    let mut merged = present.clone();
    merged.metadata.labels.get_or_insert_default().extend(wanted.metadata.labels.unwrap_or_default());
    if let Some(annotations) = wanted.metadata.annotations {
        merged.metadata.annotations.get_or_insert_default().extend(annotations);
    }
    merged.data = wanted.data;
    (merged != *present).then(|| {
        merged.metadata.managed_fields = None;
        merged
    })
}
