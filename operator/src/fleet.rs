//! What the operator knows of the running proxies, and how it asks them.
//!
//! ```text
//! reconcile ──expect──▶ book ◀──heard── poller ──ask──▶ client ──mTLS──▶ pod:9443
//!                        │                 └──refresh──▶ annotation of the pod
//!                        └──▶ status of LlmProxy, acknowledgement and usage of ProxyTokens
//! ```
//!
//! Nothing here is kept across restarts: totals live in the status of the ProxyTokens, and everything else is asked
//! again. When the pods cannot be reached they serve and count on; only what is shown ages.

pub mod book;
pub mod client;
pub mod lag;
pub mod pods;
pub mod poller;
pub mod refresh;
pub mod refusal;
pub mod schedule;
pub mod usage;
