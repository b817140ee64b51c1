//! The access table: one row per live `ProxyToken`, in four shards. No row, no access.
//!
//! The operator writes it, the server reads it; this module is the format of both.

mod row;
mod shard;

pub use row::{Identity, Row, Scope, Scopes};
pub use shard::{
    DecodeError, DecodedShard, EncodeError, MAX_ENCODED_BYTES, SHARDS, decode_shard, encode_shards, shard_of,
};
