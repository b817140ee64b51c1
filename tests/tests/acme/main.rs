//! Certificates from a real ACME server (Pebble) for the real `vibectl-server`, on loopback. DNS-01 goes through a real bind9.

#![expect(clippy::expect_used, reason = "a test that cannot set up its case fails")]

mod accounts;
mod bind;
mod challenges;
mod crashes;
mod http_listener;
mod mounted;
mod nonces;
mod pebble;
mod process;
mod renewal;
mod secrets;
mod server;
mod sharing;
mod waiting;
