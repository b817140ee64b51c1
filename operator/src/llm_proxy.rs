//! The reconcile of an `LlmProxy`: dereference, validate, build, apply, report.

pub mod authority;
pub mod build;
pub mod dereference;
pub mod endpoint;
pub mod report;
pub mod validate;

#[cfg(test)]
pub(crate) mod fixtures;
