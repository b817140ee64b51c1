//! The engine's records in one Secret of the operator's namespace. Every write names the version that was read: of two processes
//! that both believe to lead, one gets a conflict and asks the network for nothing.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

use k8s_openapi::{ByteString, api::core::v1::Secret};
use kube::{
    Api, ResourceExt,
    api::{DeleteParams, Preconditions},
};
use vibectl_pki::acme::{Record, Session, Store, StoreError, state::History};
use zeroize::Zeroizing;

use super::orders::Wanted;
use crate::{
    context::Context,
    keys::{KeysError, own_secret},
    names::{ACME_SECRETS, PROXY_ANNOTATION, PROXY_UID_LABEL, acme_secret},
};

/// Beside the records: a digest of the settings that they are of.
const SETTINGS: &str = "settings";

/// The Secret of one LlmProxy and one ACME server.
pub struct SecretStore {
    place: Arc<Place>,
}

/// The version that was read or written last.
pub struct SecretSession {
    place: Arc<Place>,
}

struct Place {
    context: Arc<Context>,
    wanted: Arc<Wanted>,
    name: String,
    held: Mutex<Option<Secret>>,
}

impl SecretStore {
    /// For what is wanted.
    pub fn new(context: &Arc<Context>, wanted: &Arc<Wanted>) -> Self {
        let name = acme_secret(&wanted.uid, &wanted.directory_url);
        let (context, wanted) = (Arc::clone(context), Arc::clone(wanted));
        Self { place: Arc::new(Place { context, wanted, name, held: Mutex::default() }) }
    }
}

impl Place {
    fn held(&self) -> Option<Secret> {
        self.held.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn hold(&self, secret: Option<Secret>) {
        let secret = secret.map(|secret| self.settled(secret));
        *self.held.lock().unwrap_or_else(PoisonError::into_inner) = secret;
    }

    /// Whoever has mended what the ACME server complained of does not wait for the next attempt. Limits for each name and for
    /// orders stay.
    fn settled(&self, mut secret: Secret) -> Secret {
        let Some(data) = &mut secret.data else { return secret };
        let digest = self.wanted.digest();
        if data.get(SETTINGS).is_some_and(|known| known.0 == digest.as_bytes()) {
            return secret;
        }
        let known =
            data.get(Record::History.as_str()).map(|bytes| serde_json::from_slice::<History>(&bytes.0));
        if let Some(Ok(known)) = known {
            let history = History { failures: 0, not_before: None, last_error: None, ..known };
            if let Ok(text) = serde_json::to_vec(&history) {
                data.insert(Record::History.to_string(), ByteString(text));
            }
        }
        secret
    }

    async fn write(&self, record: Record, content: Option<&[u8]>) -> Result<(), KeysError> {
        let held = self.held();
        let mut data = held.as_ref().and_then(|secret| secret.data.clone()).unwrap_or_default();
        let before = match content {
            Some(content) => data.insert(record.to_string(), ByteString(content.to_vec())),
            None => data.remove(record.as_str()),
        };
        let digest = ByteString(self.wanted.digest().into_bytes());
        let known = data.insert(SETTINGS.to_owned(), digest.clone());
        if before.as_ref().map(|bytes| bytes.0.as_slice()) == content && known == Some(digest) {
            return Ok(());
        }
        let written = if let Some(secret) = held {
            own_secret::replace(&self.context, &secret, data).await?
        } else {
            let Wanted { uid, namespace, name, .. } = self.wanted.as_ref();
            let labels = BTreeMap::from([(PROXY_UID_LABEL.to_owned(), uid.clone())]);
            let annotations = BTreeMap::from([(PROXY_ANNOTATION.to_owned(), format!("{namespace}/{name}"))]);
            own_secret::create(&self.context, &self.name, labels, annotations, data).await?
        };
        self.hold(Some(written));
        Ok(())
    }
}

impl Store for SecretStore {
    type Session = SecretSession;

    /// Never busy: who else writes is noticed at the next write.
    async fn open(&self) -> Result<Option<SecretSession>, StoreError> {
        let place = &self.place;
        place.hold(own_secret::fetch(&place.context, &place.name).await.map_err(failed)?);
        Ok(Some(SecretSession { place: Arc::clone(place) }))
    }

    async fn read(&self, record: Record) -> Result<Option<Zeroizing<Vec<u8>>>, StoreError> {
        let held = self.place.held();
        let bytes = held.as_ref().and_then(|secret| secret.data.as_ref()?.get(record.as_str()));
        Ok(bytes.map(|bytes| Zeroizing::new(bytes.0.clone())))
    }
}

impl Session for SecretSession {
    async fn write(&mut self, record: Record, content: Option<&[u8]>) -> Result<(), StoreError> {
        self.place.write(record, content).await.map_err(failed)
    }
}

fn failed(error: KeysError) -> StoreError {
    StoreError(Box::new(error))
}

/// Removes what belongs to the LlmProxy with this UID, but for the Secret of the ACME server in `keep`; tells how many.
pub async fn forget(context: &Context, uid: &str, keep: Option<&str>) -> Result<usize, KeysError> {
    let keep = keep.map(|directory_url| acme_secret(uid, directory_url));
    let left = context.stores.own_secrets.filter(|secret| {
        secret.labels().get(PROXY_UID_LABEL).is_some_and(|of| of == uid)
            && secret.metadata.name.as_deref().is_some_and(|name| name.starts_with(ACME_SECRETS))
            && secret.metadata.name != keep
    });
    let api: Api<Secret> = Api::namespaced(context.client.clone(), &context.settings.operator_namespace);
    for secret in &left {
        let preconditions = Preconditions { uid: secret.uid(), resource_version: None };
        let parameters = DeleteParams { preconditions: Some(preconditions), ..DeleteParams::default() };
        match api.delete(&secret.name_any(), &parameters).await {
            Err(kube::Error::Api(status)) if status.is_not_found() || status.is_conflict() => {}
            other => drop(other?),
        }
    }
    Ok(left.len())
}
