//! What survives a crash, as it is written. Every record is JSON; unknown fields are refused, so that a newer version's
//! state is not half understood.

use std::collections::BTreeMap;
use std::fmt;

use jiff::Timestamp;
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use zeroize::Zeroizing;

use super::answer::Answer;
use super::store::{Record, Session, Store, StoreError};
use crate::certificate::parse;
use crate::leaf::{Leaf, PairError};
use crate::names::Names;
use crate::renewal::Lifetime;

/// A record that is there and cannot be understood.
#[derive(Debug, thiserror::Error)]
#[error("the stored {record} cannot be understood: {source}; move it away to begin anew")]
pub struct Damaged {
    record: Record,
    source: serde_json::Error,
}

/// PEM of a private key. Printing it prints nothing, dropping it zeroes it.
#[derive(Clone, PartialEq, Eq)]
pub struct KeyPem(pub Zeroizing<String>);

impl fmt::Debug for KeyPem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("KeyPem(..)")
    }
}

impl Serialize for KeyPem {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.0)
    }
}

impl<'de> Deserialize<'de> for KeyPem {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer).map(|text| Self(Zeroizing::new(text)))
    }
}

/// An account, or one that is about to be.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Account {
    /// The server that it is for.
    pub directory_url: String,
    /// Its key; of nothing else.
    pub key: KeyPem,
    /// Its URL; absent until the server has answered. Asking again with the same key yields the same account.
    pub url: Option<String>,
    /// The key that takes the place of the other, while the server is asked to change it.
    #[serde(default)]
    pub next: Option<KeyPem>,
}

/// An order, or one that is about to be.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Order {
    /// The names that it is for.
    pub names: Vec<String>,
    /// The key of the certificate.
    pub key: KeyPem,
    /// Its URL; absent until the server has answered.
    pub url: Option<String>,
    /// When it was begun.
    pub begun_at: Timestamp,
    /// How often the server was asked for it.
    pub attempts: u32,
    /// What was or is about to be published for it.
    pub answers: Vec<Answer>,
}

/// What happened, as far as it decides what may happen next.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct History {
    /// Failures since the last success.
    pub failures: u32,
    /// Nothing is asked of the server before this time.
    pub not_before: Option<Timestamp>,
    /// Why the last attempt failed.
    pub last_error: Option<String>,
    /// Failed authorizations by name, oldest first.
    pub failed_authorizations: BTreeMap<String, Vec<Timestamp>>,
    /// When orders were asked for, oldest first.
    pub orders: Vec<Timestamp>,
    /// When certificates were issued, oldest first.
    pub issued: Vec<Timestamp>,
    /// What the server said about renewing the certificate.
    pub renewal: Option<Renewal>,
}

/// What the server said about renewing one certificate (RFC 9773).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Renewal {
    /// Serial number of the certificate, as [`crate::CertificateFacts`] has it.
    pub serial: String,
    /// The suggested window; absent when there is none that can be used.
    pub window: Option<(Timestamp, Timestamp)>,
    /// When to ask again.
    pub ask_at: Timestamp,
}

/// A certificate as it is kept.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Certificate {
    /// The server that issued it.
    pub directory_url: String,
    /// The chain, the leaf first.
    pub chain: String,
    /// The key of the leaf.
    pub key: KeyPem,
    /// When we got it. The certificate itself may be backdated.
    pub obtained_at: Timestamp,
    /// Decides where in a window it is renewed; drawn once.
    pub random: u16,
}

/// What the schedule wants to know about the certificate that there is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Held {
    /// From when until when it is of use: from when we got it, if it says that it is older.
    pub lifetime: Lifetime,
    /// Its names.
    pub names: Vec<String>,
    /// Its serial number.
    pub serial: String,
    /// Decides where in a window it is renewed.
    pub random: u16,
}

impl Certificate {
    /// The pair that is served.
    pub fn leaf(&self) -> Result<Leaf, PairError> {
        Leaf::from_pem(&self.chain, &self.key.0)
    }

    /// What the schedule wants to know.
    pub fn held(&self) -> Result<Held, PairError> {
        let facts = self.leaf()?.facts().clone();
        let not_before = facts.lifetime.not_before.max(self.obtained_at).min(facts.lifetime.not_after);
        Ok(Held {
            lifetime: Lifetime { not_before, ..facts.lifetime },
            names: facts.names,
            serial: facts.serial,
            random: self.random,
        })
    }
}

impl Held {
    /// True when it is for exactly these names.
    pub fn is_for(&self, names: &Names) -> bool {
        same_names(&self.names, names)
    }
}

/// Whether the names of a certificate are these, in any order.
pub(super) fn same_names(found: &[String], wanted: &Names) -> bool {
    let mut found: Vec<_> = found.iter().map(|name| name.to_ascii_lowercase()).collect();
    let mut wanted: Vec<_> = wanted.iter().map(ToString::to_string).collect();
    found.sort();
    found.dedup();
    wanted.sort();
    found == wanted
}

/// The identifier of a certificate in renewal information (RFC 9773, 4.1), where it has one.
pub(super) fn has_authority_key_id(leaf: &Leaf) -> bool {
    parse(leaf.chain().leaf(), 1).is_ok() && leaf.facts().issuer_key_id.is_some()
}

/// Why a record is not there to be used.
#[derive(Debug, thiserror::Error)]
pub enum StateError {
    /// The store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The record is not of this program.
    #[error(transparent)]
    Damaged(#[from] Damaged),
}

/// Reads a record.
pub async fn load<T: for<'de> Deserialize<'de>>(
    store: &impl Store,
    record: Record,
) -> Result<Option<T>, StateError> {
    let Some(bytes) = store.read(record).await? else { return Ok(None) };
    let read = serde_json::from_slice(&bytes);
    read.map(Some).map_err(|source| Damaged { record, source }.into())
}

/// Writes a record; when this returns it is durable.
pub(super) async fn save<T: Serialize>(
    session: &mut impl Session,
    record: Record,
    value: &T,
) -> Result<(), StoreError> {
    let bytes = serde_json::to_vec(value).map(Zeroizing::new).map_err(|error| StoreError(error.into()))?;
    session.write(record, Some(&bytes)).await
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn h14_a_record_that_is_printed_shows_no_key() {
        let key = crate::PrivateKey::generate().expect("a key").to_pem();
        let account = Account {
            directory_url: "https://a.example".to_owned(),
            key: KeyPem(key.clone()),
            url: None,
            next: None,
        };

        let shown = format!("{account:?}");

        assert!(shown.contains("KeyPem(..)") && !shown.contains("PRIVATE KEY"), "{shown}");
        assert!(serde_json::to_string(&account).expect("JSON").contains("PRIVATE KEY"));
    }

    #[test]
    fn a_record_of_a_newer_version_is_refused_and_an_older_one_is_not() {
        assert!(serde_json::from_str::<History>(r#"{"failures": 1, "new_thing": 2}"#).is_err());
        assert_eq!(serde_json::from_str::<History>(r#"{"failures": 1}"#).expect("read").failures, 1);
    }

    #[test]
    fn names_are_compared_as_a_set() {
        let names = Names::parse(["a.example", "b.example"]).expect("names");
        let list = |names: &[&str]| names.iter().map(|&name| name.to_owned()).collect::<Vec<_>>();

        assert!(same_names(&list(&["B.example", "a.example"]), &names));
        assert!(!same_names(&list(&["a.example"]), &names));
        assert!(!same_names(&list(&["a.example", "b.example", "c.example"]), &names));
    }
}
