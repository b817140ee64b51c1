//! What the end-to-end tests, the demo and the benchmarks share: a one-node Kubernetes cluster, the built tools, the images.
//!
//! Tests of behaviour live in `tests/tests/`, one file per behaviour.

pub mod bench;
pub mod cache;
pub mod cert_manager;
pub mod cluster;
pub mod command;
pub mod demo;
pub mod fingerprint;
pub mod images;
pub mod install;
pub mod oci;
pub mod progress;
pub mod python;
pub mod tools;
pub mod world;
