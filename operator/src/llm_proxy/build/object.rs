//! What all objects of a proxy have in common.

use std::collections::BTreeMap;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::{ObjectMeta, OwnerReference};
use kube::Resource;

use crate::{api::LlmProxy, llm_proxy::validate::ValidatedProxy};

/// Name, namespace, labels and owner.
pub(super) fn metadata(proxy: &ValidatedProxy, name: String) -> ObjectMeta {
    ObjectMeta {
        name: Some(name),
        namespace: Some(proxy.namespace.clone()),
        labels: Some(proxy.names.labels()),
        owner_references: Some(vec![owner(proxy)]),
        ..ObjectMeta::default()
    }
}

/// The same with annotations, if there are any.
pub(super) fn annotated(
    proxy: &ValidatedProxy,
    name: String,
    annotations: &BTreeMap<String, String>,
) -> ObjectMeta {
    ObjectMeta {
        annotations: (!annotations.is_empty()).then(|| annotations.clone()),
        ..metadata(proxy, name)
    }
}

fn owner(proxy: &ValidatedProxy) -> OwnerReference {
    OwnerReference {
        api_version: LlmProxy::api_version(&()).into_owned(),
        kind: LlmProxy::kind(&()).into_owned(),
        name: proxy.name.clone(),
        uid: proxy.uid.clone(),
        controller: Some(true),
        block_owner_deletion: Some(true),
    }
}
