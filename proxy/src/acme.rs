//! Certificates from an ACME server, for a server that runs alone. The life cycle is [`vibectl_pki::acme`]; here are the
//! files, the network and the answers that it asks for.
//!
//! ```text
//!   config ─▶ plan ─▶ worker ──step──▶ engine ──▶ http_client (the ACME server)
//!                       │                 ├─────▶ store       (acme/ of the server's config directory, one writer)
//!                       ▼                 └─────▶ publish ─▶ answers (files) ◀── http01 listener, handshake (alpn)
//!              TlsState (in force)                   └──▶ dns (update or hook)
//! ```
//!
//! In a pod the operator orders: the answers come with its mounts ([`pending`]), and so does the certificate.
//!
//! Processes that share the config directory share account, order and certificate: one works, all of them answer
//! challenges and take over the certificate.

pub mod alpn;
pub mod answers;
pub mod dns;
pub mod http01;
pub mod http_client;
pub mod pending;
pub mod plan;
mod publish;
mod secret_file;
pub mod store;
mod worker;

pub use self::{
    plan::{AcmePlan, PlanError},
    worker::Worker,
};
