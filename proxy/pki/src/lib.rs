//! Certificate authorities, leaf certificates and trust bundles.
//!
//! Text in, text out: this crate opens no file and no socket and reads no clock (`now` is passed in).
//! It draws randomness only for private keys and serial numbers.
//!
//! ```text
//! Names ──▶ Ca::{root, intermediate, constrained} ──▶ Ca::issue(IssueRequest) ──▶ Leaf (chain + key)
//!                         │                                                        │
//!                         ▼                                                        ▼
//!               CaState ──rollover──▶ Step, revocation_list ──▶ Crl     CertificateFacts, renewal::Lifetime
//!                         │
//!                         ▼
//!                    TrustBundle (what clients get)
//! ```
//!
//! [`acme`] gets certificates from an ACME server, with its I/O passed in.
//!
//! Every key that is made here is ECDSA on P-256. Keys that are read may also be RSA, P-384, P-521 or Ed25519, so that a
//! directory or Secret made by another tool keeps working.

pub mod acme;
pub mod bundle;
pub mod ca;
pub mod certificate;
mod constraints;
pub mod crl;
pub mod key;
pub mod leaf;
pub mod names;
mod pem;
pub mod renewal;
pub mod rollover;

pub use self::{
    bundle::TrustBundle,
    ca::{Ca, CaError, Subject},
    certificate::{CertificateError, CertificateFacts, Chain},
    crl::{Crl, CrlError, Crls, RevocationReason, Revoked},
    key::{KeyError, PrivateKey},
    leaf::{IssueError, IssueRequest, Leaf, Usage},
    names::{Name, NameError, Names},
    renewal::Lifetime,
    rollover::{AnchorState, CaState, PairState, Step, next_step, overlap_step},
};
