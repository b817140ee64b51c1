//! The Certificate that cert-manager works on, and the Secret that it writes.
//!
//! cert-manager gives its Secret no owner, so that it would outlive the LlmProxy. We add ourselves as one (not as its
//! controller: the Secret stays cert-manager's to write), and the garbage collector does the rest.

use k8s_openapi::api::core::v1::Secret;
use kube::{
    ResourceExt,
    api::{Patch, PatchParams},
};
use serde_json::json;

use super::{Applier, Observed, described};
use crate::{
    cert_manager::Certificate,
    error::Error,
    names::{FIELD_MANAGER, PROXY_UID_LABEL},
};

impl Applier<'_> {
    /// Applies the Certificate where cert-manager is there, and becomes an owner of its Secret once that is labelled as ours.
    pub(super) async fn ensure_certificate(
        &mut self,
        desired: Option<&Certificate>,
        observed: &Observed,
    ) -> Result<(), Error> {
        let (Some(desired), Some(certificates)) = (desired, &observed.certificates) else { return Ok(()) };
        self.ensure(desired, certificates).await?;
        match observed.secrets.get(&desired.spec.secret_name) {
            Some(secret) if self.is_ordered(secret) && !self.owns(secret) => {
                self.adopt(desired, secret).await
            }
            _ => Ok(()),
        }
    }

    /// Whether cert-manager wrote it at the request of our owner.
    pub(super) fn is_ordered(&self, secret: &Secret) -> bool {
        secret.labels().get(PROXY_UID_LABEL).is_some_and(|uid| uid == self.owner_uid)
    }

    fn owns(&self, secret: &Secret) -> bool {
        secret.owner_references().iter().any(|owner| owner.uid == self.owner_uid)
    }

    async fn adopt(&mut self, certificate: &Certificate, secret: &Secret) -> Result<(), Error> {
        let name = secret.name_any();
        let owners: Vec<_> = certificate
            .owner_references()
            .iter()
            .map(|owner| json!({"apiVersion": owner.api_version, "kind": owner.kind, "name": owner.name, "uid": owner.uid}))
            .collect();
        let patch = json!({
            "apiVersion": "v1", "kind": "Secret",
            // The UID keeps the patch from making a Secret that has just gone.
            "metadata": {"name": name, "uid": secret.uid(), "ownerReferences": owners},
        });
        let params = PatchParams::apply(FIELD_MANAGER).force();
        let patched = self.api::<Secret>().patch(&name, &params, &Patch::Apply(&patch)).await;
        match patched {
            Ok(_) => self.writes += 1,
            // Gone, or made anew: the next round sees it.
            Err(kube::Error::Api(status)) if status.is_conflict() || status.is_not_found() => {}
            Err(error) => return Err(Error::api("own", described::<Secret>(&name))(error)),
        }
        Ok(())
    }
}
