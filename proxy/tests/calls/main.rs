//! Calls through the whole service over real sockets, to providers that behave and to providers that do not.

#![expect(clippy::expect_used, clippy::panic, reason = "a test ends where its preparation fails")]

mod anthropic;
mod azure_openai;
mod bedrock;
mod canaries;
mod cancelling;
mod concurrency;
mod contract;
mod cost;
mod deadlines;
mod ejection;
mod failover;
mod fake_provider;
mod faults;
mod gemini;
mod hostile_providers;
mod keys;
mod openai_front;
mod pass_through;
mod proxy;
#[path = "../behaviour/support/python.rs"]
mod python;
mod retries;
mod revoked;
mod scopes;
mod sdks;
mod structured;
mod token_limits;
mod upstream;
mod vertex;
