//! The operator and the server of this tree on a real cluster, one file for each promise.

mod bad_objects;
mod cert_manager;
mod certificates;
mod demonstrations;
mod drift;
mod identities;
mod isolation;
mod leaks;
mod live_changes;
mod migration;
mod modes;
mod objects;
mod outage;
mod quickstart;
mod quiet;
mod rbac;
mod real_client;
mod renewal;
mod revocation;
mod rollover;
mod rollover_held;
