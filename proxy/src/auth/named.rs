//! Rows by the identities that they name: who another issuer's caller is here.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use vibectl_token::foreign::{ForeignClaims, SUBJECT};
use vibectl_token::table::Identity;

/// The identities of all rows: by issuer, then by claim, then by value.
#[derive(Debug, Default)]
pub(super) struct Named {
    issuers: HashMap<String, BTreeMap<String, Values>>,
}

type Values = HashMap<String, Entry>;

#[derive(Debug)]
struct Entry {
    identity: Arc<Identity>,
    uid: String,
}

impl Named {
    /// Identities with the UIDs of their rows. One that two rows name is that of the first.
    pub(super) fn of<'a>(rows: impl Iterator<Item = &'a (Identity, String)>) -> Self {
        let mut named = Self::default();
        for (identity, uid) in rows {
            let claims = named.issuers.entry(identity.issuer.clone()).or_default();
            let values = claims.entry(identity.claim.clone()).or_default();
            let entry = || Entry { identity: Arc::new(identity.clone()), uid: uid.clone() };
            values.entry(identity.value.clone()).or_insert_with(entry);
        }
        named
    }

    /// The identity that these claims of this issuer prove. The subject comes first, other claims in the order of
    /// their names, so that it is always the same one.
    pub(super) fn find(&self, issuer: &str, claims: &ForeignClaims) -> Option<&Arc<Identity>> {
        let known = self.issuers.get(issuer)?;
        let others = known.iter().filter(|(claim, _)| *claim != SUBJECT);
        known.get_key_value(SUBJECT).into_iter().chain(others).find_map(|(claim, values)| {
            claims.values(claim).find_map(|value| values.get(value)).map(|entry| &entry.identity)
        })
    }

    /// The identity of this subject of this issuer.
    pub(super) fn of_subject(&self, issuer: &str, subject: &str) -> Option<&Arc<Identity>> {
        self.issuers.get(issuer)?.get(SUBJECT)?.get(subject).map(|entry| &entry.identity)
    }

    /// The UID of the row that names this identity.
    pub(super) fn uid_of(&self, identity: &Identity) -> Option<&str> {
        let entry = self.issuers.get(&identity.issuer)?.get(&identity.claim)?.get(&identity.value)?;
        Some(&entry.uid)
    }
}
