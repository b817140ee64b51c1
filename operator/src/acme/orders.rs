//! What the reconciles want of the worker, and what they have written for it. In memory, one per process.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::Notify;
use vibectl_pki::{
    Names, TrustBundle,
    acme::{Answer, ChallengeKind, Settings},
};

use crate::{llm_proxy::validate::AcmeAccess, names::short_digest};

/// One certificate that is wanted.
#[derive(Clone, Debug, PartialEq)]
pub struct Wanted {
    /// UID of the LlmProxy.
    pub uid: String,
    /// Its namespace.
    pub namespace: String,
    /// Its name.
    pub name: String,
    /// The ACME server.
    pub directory_url: String,
    /// Contact of the account.
    pub email: String,
    /// How names are proven.
    pub challenge: ChallengeKind,
    /// The names of the certificate.
    pub names: Names,
    /// What it takes to talk to the ACME server.
    pub access: AcmeAccess,
}

impl Wanted {
    /// Another one for anything that an ACME server could have complained of.
    pub(super) fn digest(&self) -> String {
        let account = self.access.external_account.as_ref();
        let key = account.map(|account| short_digest(&account.hmac_key, 32));
        let text = serde_json::json!([
            self.email,
            self.challenge.as_str(),
            self.names.to_lines(),
            account.map(|account| account.key_id.as_str()),
            key,
            self.access.ca_bundle.as_ref().map(TrustBundle::to_pem),
        ]);
        short_digest(text.to_string().as_bytes(), 16)
    }

    /// In the terms of the engine. That the terms of service are accepted was checked before.
    pub fn settings(&self) -> Settings {
        Settings {
            directory_url: self.directory_url.clone(),
            contact: Some(self.email.clone()),
            terms_agreed: true,
            external_account: self.access.external_account.clone(),
            names: self.names.clone(),
            challenge: self.challenge,
            auto_renew: true,
        }
    }
}

/// The answers that pods are to give, as a reconcile wrote them.
#[derive(Clone, Debug, PartialEq)]
pub struct Shown {
    /// All of them.
    pub answers: Vec<Answer>,
    /// What a pod reports that has them.
    pub revision: String,
}

/// Knows what is wanted and what is shown.
#[derive(Debug, Default)]
pub struct Orders {
    entries: Mutex<HashMap<String, Entry>>,
    changed: Notify,
}

#[derive(Debug, Default)]
struct Entry {
    wanted: Option<Arc<Wanted>>,
    shown: Option<Shown>,
    trouble: Option<String>,
}

impl Orders {
    /// A certificate is wanted, in just this way.
    pub fn want(&self, wanted: Wanted) {
        let mut entries = self.lock();
        let entry = entries.entry(wanted.uid.clone()).or_default();
        if entry.wanted.as_deref() != Some(&wanted) {
            entry.wanted = Some(Arc::new(wanted));
            self.changed.notify_one();
        }
    }

    /// None is wanted for the LlmProxy with this UID any more, or none can be had.
    pub fn unwanted(&self, uid: &str) {
        if self.lock().remove(uid).is_some() {
            self.changed.notify_one();
        }
    }

    /// Forgets the LlmProxies for which `keep` is false.
    pub fn keep(&self, keep: impl Fn(&str) -> bool) {
        self.lock().retain(|uid, _| keep(uid));
    }

    /// Everything that is wanted, by UID.
    pub fn wanted(&self) -> BTreeMap<String, Arc<Wanted>> {
        let entries = self.lock();
        let wanted =
            |(uid, entry): (&String, &Entry)| Some((uid.clone(), Arc::clone(entry.wanted.as_ref()?)));
        entries.iter().filter_map(wanted).collect()
    }

    /// Waits until something else is wanted than before.
    pub(super) async fn changed(&self) {
        self.changed.notified().await;
    }

    /// These answers are written for the pods.
    pub fn show(&self, uid: &str, shown: Shown) {
        if let Some(entry) = self.lock().get_mut(uid) {
            entry.shown = Some(shown);
        }
    }

    /// The answers that are written for the pods.
    pub fn shown(&self, uid: &str) -> Option<Shown> {
        self.lock().get(uid).and_then(|entry| entry.shown.clone())
    }

    /// Why nothing can be tried at all, if so.
    pub fn trouble(&self, uid: &str) -> Option<String> {
        self.lock().get(uid).and_then(|entry| entry.trouble.clone())
    }

    /// Notes why nothing can be tried, or that it can; tells whether that is new.
    pub(super) fn set_trouble(&self, uid: &str, trouble: Option<String>) -> bool {
        let mut entries = self.lock();
        let Some(entry) = entries.get_mut(uid) else { return false };
        let is_new = entry.trouble != trouble;
        entry.trouble = trouble;
        is_new
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<String, Entry>> {
        self.entries.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use futures::FutureExt;
    use tokio::time::timeout;

    use super::*;

    fn wanted(uid: &str, email: &str) -> Wanted {
        Wanted {
            uid: uid.into(),
            namespace: "ai".into(),
            name: "team".into(),
            directory_url: "https://a.example/dir".into(),
            email: email.into(),
            challenge: ChallengeKind::Http01,
            names: Names::parse(["llm.example.org"]).unwrap(),
            access: AcmeAccess::default(),
        }
    }

    #[tokio::test]
    async fn the_worker_wakes_for_what_is_new_and_not_for_the_same_again() {
        let orders = Orders::default();

        orders.want(wanted("u", "a@b.example"));
        timeout(Duration::from_secs(1), orders.changed()).await.unwrap();
        orders.want(wanted("u", "a@b.example"));
        assert!(orders.changed().now_or_never().is_none());
        orders.want(wanted("u", "c@b.example"));
        timeout(Duration::from_secs(1), orders.changed()).await.unwrap();

        assert_eq!(orders.wanted()["u"].email, "c@b.example");
        orders.unwanted("u");
        assert!(orders.wanted().is_empty());
    }

    #[test]
    fn what_an_acme_server_could_complain_of_changes_the_digest() {
        let same = wanted("u", "a@b.example");
        let mut other = same.clone();
        let account = |key: &[u8]| vibectl_pki::acme::ExternalAccount::from_base64url("kid", key);

        assert_eq!(same.digest(), wanted("v", "a@b.example").digest());
        assert_ne!(same.digest(), wanted("u", "c@b.example").digest());
        other.access.external_account = account(b"AAAA");
        let first = other.digest();
        other.access.external_account = account(b"AAAB");
        assert!(first != same.digest() && first != other.digest());
    }

    #[test]
    fn nothing_is_known_of_what_is_not_wanted() {
        let orders = Orders::default();

        orders.show("u", Shown { answers: Vec::new(), revision: "r".into() });

        assert_eq!(orders.shown("u"), None);
        assert!(!orders.set_trouble("u", Some("x".into())));
    }
}
