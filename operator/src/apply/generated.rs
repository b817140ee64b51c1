//! Secrets with generated keys. They are created, and updated only from the version that was read: two leaders that each drew
//! a key can never overwrite one another, which a forced apply would do.

use k8s_openapi::api::core::v1::Secret;
use kube::{ResourceExt, api::PostParams};

use super::{Applier, Kind, described};
use crate::{error::Error, names::FIELD_MANAGER};

impl Applier<'_> {
    /// Creates the Secret, or brings the one that was read up to date.
    pub(super) async fn ensure_generated(
        &mut self,
        desired: &Secret,
        observed: &Kind<Secret>,
    ) -> Result<(), Error> {
        let name = desired.name_any();
        match observed.get(&name) {
            None => self.create(&name, desired).await,
            Some(live) => {
                self.check_owner(live.as_ref())?;
                let wanted = merged(live, desired);
                if wanted == **live { Ok(()) } else { self.replace(&name, &wanted).await }
            }
        }
    }

    async fn create(&mut self, name: &str, desired: &Secret) -> Result<(), Error> {
        match self.api::<Secret>().create(&params(), desired).await {
            Ok(_) => {
                self.writes += 1;
                Ok(())
            }
            // Somebody's own, or ours and not in the cache yet: then the keys in it count, and the next round reads them.
            Err(kube::Error::Api(status)) if status.is_already_exists() => {
                if let Some(live) = self.read::<Secret>(name).await? {
                    self.check_owner(&live)?;
                }
                Err(Error::api("create", described::<Secret>(name))(kube::Error::Api(status)))
            }
            Err(error) => Err(Error::api("create", described::<Secret>(name))(error)),
        }
    }

    async fn replace(&mut self, name: &str, wanted: &Secret) -> Result<(), Error> {
        let replaced = self.api::<Secret>().replace(name, &params(), wanted).await;
        replaced.map_err(Error::api("update", described::<Secret>(name)))?;
        self.writes += 1;
        Ok(())
    }
}

/// The Secret as read, with our content and labels.
fn merged(live: &Secret, desired: &Secret) -> Secret {
    let mut wanted = live.clone();
    wanted.data.clone_from(&desired.data);
    wanted.metadata.labels.get_or_insert_default().extend(desired.labels().clone());
    wanted
}

fn params() -> PostParams {
    PostParams { field_manager: Some(FIELD_MANAGER.to_owned()), dry_run: false }
}
