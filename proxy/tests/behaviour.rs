//! Behaviour of the whole server, over real sockets: the binary is started as a user would, one behaviour per file.

#![expect(clippy::expect_used, reason = "a test that cannot set up its case fails")]

#[path = "behaviour/support.rs"]
mod support;

#[path = "behaviour/calls.rs"]
mod calls;
#[path = "behaviour/certificate_files.rs"]
mod certificate_files;
#[path = "behaviour/client_certificates.rs"]
mod client_certificates;
#[path = "behaviour/config_commands.rs"]
mod config_commands;
#[path = "behaviour/draining.rs"]
mod draining;
#[path = "behaviour/health_and_metrics.rs"]
mod health_and_metrics;
#[path = "behaviour/hostile_frames.rs"]
mod hostile_frames;
#[path = "behaviour/hostile_peers.rs"]
mod hostile_peers;
#[path = "behaviour/hostile_requests.rs"]
mod hostile_requests;
#[path = "behaviour/hostile_tokens.rs"]
mod hostile_tokens;
#[path = "behaviour/logs.rs"]
mod logs;
#[path = "behaviour/other_issuers.rs"]
mod other_issuers;
#[path = "behaviour/pod.rs"]
mod pod;
#[path = "behaviour/real_client.rs"]
mod real_client;
#[path = "behaviour/reflection.rs"]
mod reflection;
#[path = "behaviour/refused_certificates.rs"]
mod refused_certificates;
#[path = "behaviour/refused_starts.rs"]
mod refused_starts;
#[path = "behaviour/reloading.rs"]
mod reloading;
#[path = "behaviour/revoking.rs"]
mod revoking;
#[path = "behaviour/rotation_under_load.rs"]
mod rotation_under_load;
#[path = "behaviour/scanners.rs"]
mod scanners;
#[path = "behaviour/serving_modes.rs"]
mod serving_modes;
#[path = "behaviour/signing_keys.rs"]
mod signing_keys;
#[path = "behaviour/status.rs"]
mod status;
#[path = "behaviour/tls_edges.rs"]
mod tls_edges;
#[path = "behaviour/webhook.rs"]
mod webhook;
