//! The operator: turns `LlmProxy` and `ProxyToken` objects into running, secured, metered endpoints and credentials.
//!
//! ```text
//! LlmProxy ─dereference▶ Referenced ─validate▶ ValidatedProxy ─build▶ Resources<Prepared> ─apply▶ Resources<Applied> ─report▶ Status
//!            (client, read)           (pure)                 (pure)              (client, SSA + prune)       (pure, one write on difference)
//! ```
//!
//! Dependencies point one way: `api` ← `llm_proxy::validate` ← `build` ← `apply` ← `report`. Only `dereference`, `apply` and the
//! write of `report` hold a client; everything else takes what it needs as values, time included.

pub mod access;
pub mod acme;
pub mod admin;
pub mod api;
pub mod apply;
pub mod args;
pub mod backoff;
pub mod cert_manager;
pub mod context;
pub mod error;
pub mod events;
pub mod fleet;
pub mod keys;
pub mod lease;
pub mod llm_proxy;
pub mod metrics;
pub mod names;
pub mod proxy_token;
pub mod runtime;
pub mod telemetry;
