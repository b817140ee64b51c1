//! `vibectl-server`: one binary between callers and model providers.
//!
//! ```text
//!            listener          service                          call
//!  bytes ──▶ accept, TLS,  ──▶ request id ▸ access log ▸    ──▶ limits ▸ router ▸ provider ──▶ frames + usage
//!            caps, HTTP/1+2    catch panic ▸ deadline ▸          (Permit) (Route)  (Upstream)
//!                              body cap ▸ auth (Caller) ▸
//!                              grpc | http
//!
//!  files ──▶ reload ──▶ state::Active, swapped whole           signal ──▶ shutdown ──▶ every listener drains
//!  admin (health, metrics) and fleet (operator's questions) have ports of their own
//! ```
//!
//! One subject per file: `cli` decides what to run, `settings` what the config is, `serve` starts and ends it.
//! `limits`, `usage` and `parts` are pure state; `listener`, `service`, `grpc`, `http` and `provider` do I/O.

pub mod acme;
pub mod admin;
pub mod auth;
pub mod call;
pub mod caller;
pub mod certificate_events;
pub mod cli;
pub mod cost;
pub mod error;
pub mod fleet;
pub mod fuzz;
pub mod grpc;
pub mod http;
pub mod limits;
pub mod listener;
pub mod metrics;
mod outgoing;
pub mod parts;
pub mod provider;
pub mod reload;
pub mod router;
pub mod serve;
pub mod service;
pub mod settings;
pub mod shutdown;
pub mod state;
pub mod structured;
pub mod telemetry;
pub mod tls;
pub mod usage;
