//! Which certificates of callers are accepted: the CA that issued them, and the lists of what it has revoked.
//!
//! A list that is stale counts as no list, and where lists are asked for, no list means no caller: a server that does not
//! hear of revocations any longer must not go on as if there were none.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use jiff::Timestamp;
use rustls::{
    RootCertStore,
    server::{WebPkiClientVerifier, danger::ClientCertVerifier},
};
use vibectl_config::mount::{CA_FILE, CRL_FILE};
use vibectl_pki::{Crls, Lifetime, TrustBundle};

use super::{TlsError, server_config::provider, text};

/// The CA of callers, and what it has revoked where that is asked for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ClientTrust {
    bundle: TrustBundle,
    lists: Option<Crls>,
}

impl ClientTrust {
    /// Reads the content of a folder: `ca.crt`, and `crl.pem` where lists are asked for. Stale lists are refused.
    pub fn read(files: &BTreeMap<String, Vec<u8>>, lists: bool, now: Timestamp) -> Result<Self, TlsError> {
        let bundle = TrustBundle::from_pem(text(files, CA_FILE)?).map_err(TlsError::ClientCa)?;
        let lists = if lists {
            let lists = Crls::from_pem(text(files, CRL_FILE)?).map_err(TlsError::ClientCrl)?;
            lists.check_time(now).map_err(TlsError::ClientCrl)?;
            Some(lists)
        } else {
            None
        };
        Ok(Self { bundle, lists })
    }

    /// From when until when the list is good that is the first to become stale; none without lists.
    pub fn lists_lifetime(&self) -> Option<Lifetime> {
        let first = self.lists.iter().flat_map(Crls::iter).min_by_key(|list| list.next_update)?;
        Some(Lifetime { not_before: first.this_update, not_after: first.next_update })
    }

    /// Serial numbers that are on these lists and were on none of those.
    pub fn revoked_since(&self, before: Option<&Self>) -> Vec<String> {
        let serials = |trust: &Self| -> BTreeSet<String> {
            let lists = trust.lists.iter().flat_map(Crls::iter);
            lists.flat_map(|list| &list.revoked).map(|revoked| revoked.serial.clone()).collect()
        };
        serials(self).difference(&before.map(serials).unwrap_or_default()).cloned().collect()
    }

    /// True when callers are checked against lists.
    pub fn has_lists(&self) -> bool {
        self.lists.is_some()
    }

    /// What the TLS library asks about each caller. With lists, the issuer of every caller needs one that is not stale.
    pub(super) fn verifier(&self) -> Result<Arc<dyn ClientCertVerifier>, TlsError> {
        let mut roots = RootCertStore::empty();
        for certificate in self.bundle.certificates() {
            roots.add(certificate.clone()).map_err(|error| TlsError::Setup(error.to_string()))?;
        }
        let mut builder = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider());
        if let Some(lists) = &self.lists {
            builder = builder
                .with_crls(lists.iter().map(|list| list.der().clone()))
                // Roots are not revoked by a list but taken out of the bundle, and an intermediate's issuer is often off-line.
                .only_check_end_entity_revocation()
                .enforce_revocation_expiration();
        }
        builder.build().map_err(|error| TlsError::Setup(error.to_string()))
    }
}

impl From<TrustBundle> for ClientTrust {
    fn from(bundle: TrustBundle) -> Self {
        Self { bundle, lists: None }
    }
}
