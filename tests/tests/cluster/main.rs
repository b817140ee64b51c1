//! The operator and the server of this tree on a real cluster, one file for each promise.

mod acme;
mod alone;
mod bad_objects;
mod cert_manager;
mod certificates;
mod demonstrations;
mod drift;
mod identities;
mod isolation;
mod key_rotation;
mod leaks;
mod live_changes;
mod migration;
mod modes;
mod objects;
#[path = "../acme/pebble.rs"]
#[allow(dead_code, clippy::expect_used, reason = "shared with the tests of a server alone")]
mod pebble;
#[path = "../acme/process.rs"]
#[allow(dead_code, clippy::expect_used, reason = "shared with the tests of a server alone")]
mod process;
mod quickstart;
mod quiet;
mod rbac;
mod real_client;
mod renewal;
mod revocation;
mod rollover;
mod rollover_held;
