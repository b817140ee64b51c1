//! Starts everything that runs, and ends when one of it ends.

pub mod client;
pub mod heartbeat;
pub mod triggers;
pub mod watch;
