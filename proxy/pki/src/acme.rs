//! Certificates from an ACME server (RFC 8555): one engine, for the server alone and for the operator.
//!
//! ```text
//!             Store (durable)            Host (clock, randomness)
//!                  │                          │
//! Engine::step ──▶ schedule ──▶ wait │ renewal info (RFC 9773) │ order ──▶ check ──▶ Step
//!                  (pure)                                        │
//!                                      HttpClient (the ACME server), Publisher (answers to challenges)
//! ```
//!
//! Everything outside is passed in: this module opens no file and no socket. What has to survive a crash is written to the
//! [`Store`] **before** the network is touched, so that a process that is killed at any point resumes the same account
//! and the same order. One process at a time works on a store ([`Store::open`]); the others are told so.
//!
//! The protocol itself (signatures, nonces, resources) is `instant-acme`; registration is ours ([`registration`]), because
//! the key has to be stored before the server hears of it.

pub mod answer;
pub mod backoff;
pub mod check;
mod client;
mod engine;
mod jws;
pub mod limiter;
mod order;
mod registration;
pub mod renewal_info;
pub mod schedule;
pub mod state;
pub mod store;
pub mod transport;

use std::fmt;
use std::time::Duration;

use base64::{Engine as _, prelude::BASE64_URL_SAFE_NO_PAD};
use jiff::Timestamp;
use zeroize::Zeroizing;

pub use self::{
    answer::{Answer, ChallengeKind, Publisher},
    engine::{Engine, EngineError, KeyChangeError, Step},
    state::Held,
    store::{Record, Session, Store, StoreError},
    transport::{MAX_BODY, Origin, OriginError},
};
use crate::names::Names;

/// The HTTP side, as `instant-acme` has it. It follows no redirects, bounds time, and reads at most [`MAX_BODY`].
pub use instant_acme::{BodyWrapper, BytesResponse, Error as ClientError, HttpClient};

/// Let's Encrypt, where certificates are trusted by everybody.
pub const LETS_ENCRYPT: &str = "https://acme-v02.api.letsencrypt.org/directory";
/// Let's Encrypt's test environment: no certificate of it is trusted, and its limits are generous.
pub const LETS_ENCRYPT_STAGING: &str = "https://acme-staging-v02.api.letsencrypt.org/directory";

/// What is asked of which ACME server.
#[derive(Debug)]
pub struct Settings {
    /// The directory. Account, order, back-off and certificate belong to it and are never used with another one.
    pub directory_url: String,
    /// Address for notices of the ACME server, an e-mail address.
    pub contact: Option<String>,
    /// Whether the operator of this server has accepted the terms of service of the ACME server.
    pub terms_agreed: bool,
    /// Binds the account to one that exists at the ACME server's owner (RFC 8555, 7.3.4).
    pub external_account: Option<ExternalAccount>,
    /// The names of the certificate, all of them DNS names.
    pub names: Names,
    /// How they are proven.
    pub challenge: ChallengeKind,
    /// Whether a certificate is replaced before it ends.
    pub auto_renew: bool,
}

/// A key that the owner of the ACME server handed out.
#[derive(Clone, PartialEq, Eq)]
pub struct ExternalAccount {
    /// Its name.
    pub key_id: String,
    /// The key itself, decoded.
    pub hmac_key: Zeroizing<Vec<u8>>,
}

impl ExternalAccount {
    /// With the key as it is handed out, in base64url, padded or not; none when it is something else.
    pub fn from_base64url(key_id: &str, text: &[u8]) -> Option<Self> {
        let text = text.trim_ascii();
        let end = text.iter().rposition(|byte| *byte != b'=').map_or(0, |last| last + 1);
        let key = BASE64_URL_SAFE_NO_PAD.decode(text.get(..end).unwrap_or_default()).map(Zeroizing::new);
        let hmac_key = key.ok().filter(|key| !key.is_empty())?;
        Some(Self { key_id: key_id.to_owned(), hmac_key })
    }
}

impl fmt::Debug for ExternalAccount {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ExternalAccount").field("key_id", &self.key_id).finish_non_exhaustive()
    }
}

/// Clock and randomness.
pub trait Host: Send + Sync {
    /// The time.
    fn now(&self) -> Timestamp;
    /// Completes after this time.
    fn sleep(&self, time: Duration) -> impl Future<Output = ()> + Send;
    /// Any number, each as likely as the others.
    fn random(&self) -> u16;
}
