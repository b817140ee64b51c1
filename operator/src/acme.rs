//! Certificates from ACME servers: one order for each LlmProxy, however many replicas it has. The life cycle is
//! [`vibectl_pki::acme`]; here are the Secret, the network and the pods that it asks for.
//!
//! ```text
//! reconcile ─want▶ orders ─▶ worker (the leader's) ─step▶ engine ─▶ http_client (the ACME server)
//!     ▲                                                     ├───▶ store   (Secret acme-UID-…, operator's namespace)
//!     │                                                     └───▶ publish (waits until the pods show the answers)
//!     └── state ◀── watch of own Secrets ◀──────────────────────┘
//!     └─▶ ConfigMap and Secret NAME-acme: answers and certificate, mounted by the pods
//! ```
//!
//! Data goes one way: the engine writes its Secret and nothing else; the reconcile reads it from the cache and writes what pods
//! mount. The account key and the order never leave the operator's namespace.

pub mod http_client;
pub mod orders;
mod publish;
pub mod state;
pub mod store;
pub mod worker;
