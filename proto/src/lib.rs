//! Generated gRPC types: the public proxy contract and the fleet port between operator and proxy.
//!
//! Nothing is written by hand here; the `.proto` files beside this crate are the source.

/// `vibectl.llm_proxy`, the contract that `vibectl` clients speak.
#[allow(missing_docs, clippy::pedantic, unreachable_pub, unused_qualifications, reason = "generated code")]
pub mod llm_proxy {
    tonic::include_proto!("vibectl.llm_proxy");

    /// The contract itself as an encoded `FileDescriptorSet`, for server reflection.
    pub const DESCRIPTORS: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/llm_proxy.descriptors"));

    /// Version string that clients of the original accept without a warning (they compare for equality).
    pub const COMPATIBLE_SERVER_VERSION: &str = "0.11.6";
}

/// `vibectl.fleet`, what an operator asks the proxies it runs.
pub mod fleet {
    /// Version 1 of the fleet contract.
    #[allow(
        missing_docs,
        clippy::pedantic,
        unreachable_pub,
        unused_qualifications,
        reason = "generated code"
    )]
    pub mod v1 {
        tonic::include_proto!("vibectl.fleet.v1");
    }
}
