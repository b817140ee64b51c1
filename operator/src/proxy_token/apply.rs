//! Brings the Secret of a ProxyToken into the cluster. Created, or replaced by version; never taken over.

use k8s_openapi::api::core::v1::Secret;
use kube::{
    Api, ResourceExt,
    api::{DeleteParams, PostParams, Preconditions},
};

use super::{
    Error,
    dereference::Found,
    secret::{self, Credential},
};
use crate::{
    api::ProxyToken,
    context::Context,
    names::{FIELD_MANAGER, TOKEN_UID_LABEL},
};

/// How it went.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Applied {
    /// Name of the Secret.
    pub name: String,
    /// Something was written.
    pub written: bool,
    /// A Secret of that name is there and is not ours.
    pub foreign: bool,
}

/// Writes the Secret where it differs, and removes one of a former name.
pub async fn apply(
    context: &Context,
    token: &ProxyToken,
    found: &Found,
    credential: &Credential,
) -> Result<Applied, Error> {
    let wanted = secret::build(token, found, credential)?;
    let name = wanted.name_any();
    let api: Api<Secret> = Api::namespaced(context.client.clone(), &token.namespace().unwrap_or_default());
    let parameters = PostParams { field_manager: Some(FIELD_MANAGER.to_owned()), ..PostParams::default() };
    let present = match &found.secret {
        Some(present) => Some(present.as_ref().clone()),
        None => match api.create(&parameters, &wanted).await {
            Ok(_) => {
                return finish(context, token, &api, Applied { name, written: true, foreign: false }).await;
            }
            Err(kube::Error::Api(status)) if status.is_already_exists() => {
                api.get_opt(&name).await.map_err(failed("read the Secret"))?
            }
            Err(error) => return Err(failed("create the Secret")(error)),
        },
    };
    // One that vanished between two calls is made by the next reconcile.
    let Some(present) = present else { return Err(Error::Overtaken) };
    if !secret::is_owned(&present, token) {
        return Ok(Applied { name, written: false, foreign: true });
    }
    let written = match secret::merged(&present, wanted) {
        Some(changed) => {
            api.replace(&name, &parameters, &changed).await.map_err(failed("update the Secret"))?;
            true
        }
        None => false,
    };
    finish(context, token, &api, Applied { name, written, foreign: false }).await
}

/// Removes Secrets that were written under a former `spec.secretName`.
async fn finish(
    context: &Context,
    token: &ProxyToken,
    api: &Api<Secret>,
    applied: Applied,
) -> Result<Applied, Error> {
    let removed = remove_but(context, token, api, Some(&applied.name)).await?;
    Ok(Applied { written: applied.written || removed, ..applied })
}

/// Removes every Secret that was written for this ProxyToken; true when there was one.
pub async fn remove(context: &Context, token: &ProxyToken) -> Result<bool, Error> {
    let api: Api<Secret> = Api::namespaced(context.client.clone(), &token.namespace().unwrap_or_default());
    remove_but(context, token, &api, None).await
}

async fn remove_but(
    context: &Context,
    token: &ProxyToken,
    api: &Api<Secret>,
    kept: Option<&str>,
) -> Result<bool, Error> {
    let namespace = token.namespace().unwrap_or_default();
    let uid = token.uid().unwrap_or_default();
    let ours = context.stores.secrets.labelled(&namespace, TOKEN_UID_LABEL, &uid);
    let former = ours.iter().filter(|present| Some(present.name_any().as_str()) != kept);
    let mut removed = false;
    for present in former.filter(|present| secret::is_owned(present, token)) {
        let preconditions = Preconditions { uid: present.uid(), resource_version: None };
        let parameters = DeleteParams { preconditions: Some(preconditions), ..DeleteParams::default() };
        match api.delete(&present.name_any(), &parameters).await {
            Ok(_) => removed = true,
            Err(kube::Error::Api(status)) if status.is_not_found() => {}
            Err(error) => return Err(failed("delete the former Secret")(error)),
        }
    }
    Ok(removed)
}

/// A conflict means that the cache was behind: the next attempt has the newest version.
pub(super) fn failed(what: &'static str) -> impl FnOnce(kube::Error) -> Error {
    move |error| match &error {
        kube::Error::Api(status) if status.is_conflict() => Error::Overtaken,
        _ => Error::Api(what, Box::new(error)),
    }
}
