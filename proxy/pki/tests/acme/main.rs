//! The ACME engine against a small server in memory, with a clock that is set by hand: what it does, what it survives.

#![expect(clippy::expect_used, clippy::panic, reason = "a test that cannot set up its case fails")]

mod crashes;
mod failures;
mod life;
mod renewal_info;
mod server;
mod world;
