//! Starts everything that runs, and ends when one of it ends.

pub mod chance;
pub mod client;
pub mod controller;
pub mod heartbeat;
pub mod references;
pub mod tasks;
pub mod triggers;
pub mod watch;
