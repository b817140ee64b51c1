//! What clients trust together with its overlap, and how one Secret keeps it.

use std::collections::BTreeMap;

use jiff::Timestamp;
use zeroize::Zeroizing;

use super::Anchor;
use crate::{
    bundle::TrustBundle,
    ca::Ca,
    certificate::{CertificateError, Chain},
    leaf::Leaf,
};

/// The active certificate and key, and what clients trust: the keys that are mounted where these are used.
const ACTIVE: (&str, &str) = ("tls.crt", "tls.key");
const BUNDLE: &str = "ca.crt";
const NEXT: (&str, &str) = ("next.crt", "next.key");
const NEXT_SINCE: &str = "next.since";
const PREVIOUS: &str = "previous.crt";
const PREVIOUS_SINCE: &str = "previous.since";

/// Why stored data is not such a state. Names the key of the Secret.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum StateError {
    /// A key of the Secret is absent while another one needs it.
    #[error("`{0}` is missing")]
    Missing(&'static str),
    /// A value is not text.
    #[error("`{0}` is not text")]
    NotText(&'static str),
    /// A certificate with its key cannot be used.
    #[error("`{0}`: {1}")]
    Unusable(&'static str, String),
    /// The previous certificate cannot be read.
    #[error("`{PREVIOUS}`: {0}")]
    Previous(CertificateError),
    /// A time cannot be read.
    #[error("`{0}` is not a time")]
    Time(&'static str),
}

/// What clients are being told about and is not used yet.
#[derive(Debug)]
pub struct Next<A> {
    /// It.
    pub anchor: A,
    /// Since when it is in the bundle.
    pub since: Timestamp,
}

/// What is no longer used; its key is gone.
#[derive(Debug)]
pub struct Previous {
    /// Its certificate, with the known issuers.
    pub chain: Chain,
    /// Since when it is not used.
    pub since: Timestamp,
}

/// The one that is used, and during a roll-over the one before or after it.
#[derive(Debug)]
pub struct AnchorState<A> {
    active: A,
    next: Option<Next<A>>,
    previous: Option<Previous>,
}

/// A CA with its overlap.
pub type CaState = AnchorState<Ca>;
/// A self-signed certificate with its overlap.
pub type PairState = AnchorState<Leaf>;

impl<A: Anchor> AnchorState<A> {
    /// One that replaces none.
    pub fn new(active: A) -> Self {
        Self { active, next: None, previous: None }
    }

    /// Reads the state from the keys of a Secret.
    pub fn from_data<'d>(get: impl Fn(&str) -> Option<&'d [u8]>) -> Result<Self, StateError> {
        let text = |key| match get(key).map(std::str::from_utf8) {
            None => Ok(None),
            Some(text) => text.map(Some).map_err(|_| StateError::NotText(key)),
        };
        let needed = |key| text(key)?.ok_or(StateError::Missing(key));
        let time = |key| needed(key)?.trim().parse().map_err(|_| StateError::Time(key));
        let anchor = |(certificate, key)| {
            A::read(needed(certificate)?, needed(key)?)
                .map_err(|error| StateError::Unusable(certificate, error))
        };

        let active = anchor(ACTIVE)?;
        let next = match text(NEXT.0)? {
            Some(_) => Some(Next { anchor: anchor(NEXT)?, since: time(NEXT_SINCE)? }),
            None => None,
        };
        let previous = match text(PREVIOUS)? {
            Some(chain) => Some(Previous {
                chain: Chain::from_pem(chain).map_err(StateError::Previous)?,
                since: time(PREVIOUS_SINCE)?,
            }),
            None => None,
        };
        Ok(Self { active, next, previous })
    }

    /// The data of the Secret. The same state gives the same bytes.
    pub fn to_data(&self) -> BTreeMap<&'static str, Zeroizing<Vec<u8>>> {
        let Self { active, next, previous } = self;
        let mut data = BTreeMap::new();
        let mut put = |key, value: &[u8]| data.insert(key, Zeroizing::new(value.to_vec()));
        put(ACTIVE.0, active.chain().to_pem().as_bytes());
        put(ACTIVE.1, active.key_pem().as_bytes());
        put(BUNDLE, self.bundle().to_pem().as_bytes());
        if let Some(Next { anchor, since }) = next {
            put(NEXT.0, anchor.chain().to_pem().as_bytes());
            put(NEXT.1, anchor.key_pem().as_bytes());
            put(NEXT_SINCE, since.to_string().as_bytes());
        }
        if let Some(Previous { chain, since }) = previous {
            put(PREVIOUS, chain.to_pem().as_bytes());
            put(PREVIOUS_SINCE, since.to_string().as_bytes());
        }
        data
    }

    /// The one that is used.
    pub fn active(&self) -> &A {
        &self.active
    }

    /// The one that will be used.
    pub fn next(&self) -> Option<&Next<A>> {
        self.next.as_ref()
    }

    /// The next, or else the active one.
    pub fn newest(&self) -> &A {
        self.next.as_ref().map_or(&self.active, |next| &next.anchor)
    }

    /// The one that was used before.
    pub fn previous(&self) -> Option<&Previous> {
        self.previous.as_ref()
    }

    /// What clients are told to trust: active, next, previous.
    pub fn bundle(&self) -> TrustBundle {
        let mut bundle = TrustBundle::default();
        bundle.extend(self.active.chain().certificates().iter().cloned());
        bundle.extend(self.next.iter().flat_map(|next| next.anchor.chain().certificates()).cloned());
        bundle.extend(self.previous.iter().flat_map(|previous| previous.chain.certificates()).cloned());
        bundle
    }

    /// Puts a new one into the bundle, in place of one that was prepared before.
    #[must_use]
    pub fn prepare(self, anchor: A, now: Timestamp) -> Self {
        Self { next: Some(Next { anchor, since: now }), ..self }
    }

    /// Takes one that was prepared out of the bundle again.
    #[must_use]
    pub fn drop_next(self) -> Self {
        Self { next: None, ..self }
    }

    /// Uses the prepared one. Forgets the key of the old one, keeps its certificate in the bundle.
    #[must_use]
    pub fn switch(self, now: Timestamp) -> Self {
        match self.next {
            Some(next) => Self {
                previous: Some(Previous { chain: self.active.chain().clone(), since: now }),
                active: next.anchor,
                next: None,
            },
            None => self,
        }
    }

    /// Takes the previous one out of the bundle.
    #[must_use]
    pub fn drop_previous(self) -> Self {
        Self { previous: None, ..self }
    }
}
