//! Secrets in the operator's namespace: read from the cache, created, replaced by version.

use std::{collections::BTreeMap, sync::Arc};

use k8s_openapi::{ByteString, api::core::v1::Secret};
use kube::{
    Api, ResourceExt,
    api::{ObjectMeta, PostParams},
};

use super::KeysError;
use crate::{
    context::Context,
    names::{FIELD_MANAGER, MANAGED_BY, MANAGED_BY_LABEL},
};

/// The content of a Secret.
pub type Data = BTreeMap<String, ByteString>;

/// The Secret of this name: as the cache has it, else as the API server does. One that is not ours is an error.
pub async fn read(context: &Context, name: &str) -> Result<Option<Arc<Secret>>, KeysError> {
    if let Some(secret) = context.stores.own_secrets.get(&context.settings.operator_namespace, name) {
        return Ok(Some(secret));
    }
    Ok(fetch(context, name).await?.map(Arc::new))
}

/// The Secret of this name as the API server has it now. One that is not ours is an error.
pub async fn fetch(context: &Context, name: &str) -> Result<Option<Secret>, KeysError> {
    match api(context).get_opt(name).await? {
        Some(secret) if is_ours(&secret) => Ok(Some(secret)),
        Some(_) => Err(KeysError::Foreign(name.to_owned())),
        None => Ok(None),
    }
}

/// Creates the Secret; a conflict when there is one already.
pub async fn create(
    context: &Context,
    name: &str,
    labels: BTreeMap<String, String>,
    annotations: BTreeMap<String, String>,
    data: Data,
) -> Result<Secret, KeysError> {
    let mut labels = labels;
    labels.insert(MANAGED_BY_LABEL.to_owned(), MANAGED_BY.to_owned());
    let secret = Secret {
        metadata: ObjectMeta {
            name: Some(name.to_owned()),
            labels: Some(labels),
            annotations: Some(annotations),
            ..ObjectMeta::default()
        },
        data: Some(data),
        ..Secret::default()
    };
    Ok(api(context).create(&parameters(), &secret).await?)
}

/// Replaces the content of exactly this version of the Secret.
pub async fn replace(context: &Context, read: &Secret, data: Data) -> Result<Secret, KeysError> {
    let mut secret = read.clone();
    secret.metadata.managed_fields = None;
    secret.data = Some(data);
    Ok(api(context).replace(&read.name_any(), &parameters(), &secret).await?)
}

/// One key of the Secret as text.
pub fn text<'s>(secret: &'s Secret, key: &str) -> Result<&'s str, KeysError> {
    let unreadable = |problem: &str| KeysError::Unreadable {
        name: secret.name_any(),
        problem: format!("{key} {problem}"),
    };
    let bytes =
        secret.data.as_ref().and_then(|data| data.get(key)).ok_or_else(|| unreadable("is missing"))?;
    std::str::from_utf8(&bytes.0).map_err(|_| unreadable("is not text"))
}

fn is_ours(secret: &Secret) -> bool {
    secret.labels().get(MANAGED_BY_LABEL).is_some_and(|value| value == MANAGED_BY)
}

fn api(context: &Context) -> Api<Secret> {
    Api::namespaced(context.client.clone(), &context.settings.operator_namespace)
}

fn parameters() -> PostParams {
    PostParams { field_manager: Some(FIELD_MANAGER.to_owned()), ..PostParams::default() }
}
