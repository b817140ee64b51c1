//! The access table: one row per live `ProxyToken`, in four shards. No row, no access.
//!
//! The operator writes it, the server reads it; this module is the format of both.

mod row;
mod shard;

use std::collections::HashMap;
use std::sync::Arc;

pub use row::{Row, Scope, Scopes};
pub use shard::{
    DecodeError, DecodedShard, EncodeError, MAX_ENCODED_BYTES, SHARDS, decode_shard, encode_shards, shard_of,
};

/// The rows in force, by the UID of their `ProxyToken`.
#[derive(Clone, Debug, Default)]
pub struct AccessTable {
    rows: HashMap<String, Arc<Row>>,
}

impl AccessTable {
    /// The row of a `ProxyToken`.
    pub fn lookup(&self, uid: &str) -> Option<&Arc<Row>> {
        self.rows.get(uid)
    }

    /// All rows, in no order.
    pub fn rows(&self) -> impl Iterator<Item = &Arc<Row>> {
        self.rows.values()
    }

    /// How many rows there are.
    pub fn len(&self) -> usize {
        self.rows.len()
    }

    /// No row: nobody may call.
    pub fn is_empty(&self) -> bool {
        self.rows.is_empty()
    }
}

impl FromIterator<Row> for AccessTable {
    fn from_iter<I: IntoIterator<Item = Row>>(rows: I) -> Self {
        rows.into_iter().map(Arc::new).collect()
    }
}

impl FromIterator<Arc<Row>> for AccessTable {
    fn from_iter<I: IntoIterator<Item = Arc<Row>>>(rows: I) -> Self {
        Self { rows: rows.into_iter().map(|row| (row.uid.clone(), row)).collect() }
    }
}
