//! Behaviour of the operator against an API server in memory.
#![expect(
    clippy::unwrap_used,
    clippy::panic,
    reason = "clippy takes only test functions for tests, not what they share"
)]

mod acme;
mod election;
mod fake_api;
mod fleet;
mod identities;
mod keys;
mod poller;
mod tokens;
mod world;
