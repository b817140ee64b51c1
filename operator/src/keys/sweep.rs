//! Removes signing keys of LlmProxies that are gone. They live in another namespace, so no owner reference can.

use k8s_openapi::api::core::v1::Secret;
use kube::{
    Api, ResourceExt,
    api::{DeleteParams, Preconditions},
};

use super::KeysError;
use crate::{
    api::LlmProxy,
    context::Context,
    names::{PROXY_ANNOTATION, PROXY_UID_LABEL},
};

/// Deletes the key Secrets of LlmProxies that do not exist any more; tells how many.
///
/// An LlmProxy that the cache lacks may be one that cannot be read: the API server is asked before anything is deleted,
/// and only its "not found", or an LlmProxy with another UID, counts.
pub async fn sweep(context: &Context) -> Result<usize, KeysError> {
    let orphans = context
        .stores
        .own_secrets
        .filter(|secret| secret.labels().get(PROXY_UID_LABEL).is_some_and(|uid| !is_known(context, uid)));
    let mut removed = 0;
    for secret in orphans {
        if is_gone(context, &secret).await? {
            remove(context, &secret).await?;
            removed += 1;
            tracing::info!(
                secret = secret.name_any(),
                "removed the signing keys of an LlmProxy that is gone"
            );
        }
    }
    Ok(removed)
}

fn is_known(context: &Context, uid: &str) -> bool {
    context.stores.proxies.by_uid(uid).is_some() || context.stores.proxies.gaps().objects.contains_key(uid)
}

async fn is_gone(context: &Context, secret: &Secret) -> Result<bool, KeysError> {
    let place = secret.annotations().get(PROXY_ANNOTATION).and_then(|place| place.split_once('/'));
    let Some((namespace, name)) = place else { return Ok(false) };
    let api: Api<LlmProxy> = Api::namespaced(context.client.clone(), namespace);
    match api.get_metadata_opt(name).await? {
        None => Ok(true),
        Some(found) => Ok(found.uid().as_ref() != secret.labels().get(PROXY_UID_LABEL)),
    }
}

async fn remove(context: &Context, secret: &Secret) -> Result<(), KeysError> {
    let api: Api<Secret> = Api::namespaced(context.client.clone(), &context.settings.operator_namespace);
    let preconditions = Preconditions { uid: secret.uid(), resource_version: secret.resource_version() };
    let parameters = DeleteParams { preconditions: Some(preconditions), ..DeleteParams::default() };
    match api.delete(&secret.name_any(), &parameters).await {
        Err(kube::Error::Api(status)) if status.is_not_found() => Ok(()),
        other => other.map(|_| ()).map_err(KeysError::from),
    }
}
