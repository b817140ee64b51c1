//! A shard of the access table as bytes: gzip over one JSON row per line, sorted by UID.

use std::collections::{BTreeMap, BTreeSet};
use std::io::{self, Read, Write};

use aws_lc_rs::digest::{SHA256, digest};
use flate2::Compression;
use flate2::bufread::GzDecoder;
use flate2::write::GzEncoder;
use thiserror::Error;

use crate::table::row::Row;

/// How many shards there are. A change of one row rewrites a quarter of the table.
pub const SHARDS: usize = 4;
/// What a Secret holds at most, less some room for its metadata.
pub const MAX_ENCODED_BYTES: usize = 1_000_000;
/// What a shard may unfold to. Rows are mostly random UIDs, which do not compress tenfold.
const MAX_DECODED_BYTES: usize = 32 * 1024 * 1024;

/// The readable rows of a shard.
#[derive(Clone, Debug, Default)]
pub struct DecodedShard {
    /// Sound rows, sorted by UID.
    pub rows: Vec<Row>,
    /// Why other rows were refused, one reason each. They have no access.
    pub rejected: Vec<String>,
}

/// Why a shard was refused whole.
#[derive(Debug, Error)]
pub enum DecodeError {
    /// Damaged, cut off, or not gzip.
    #[error("failed to decompress the shard")]
    Gzip(#[source] io::Error),
    /// It unfolds to more than any table of ours.
    #[error("failed to decompress the shard: more than {MAX_DECODED_BYTES} bytes")]
    TooLarge,
    /// Something follows the shard's end.
    #[error("failed to read the shard: bytes follow its end")]
    TrailingBytes,
}

/// Why the table cannot be written.
#[derive(Debug, Error)]
pub enum EncodeError {
    /// A reader would refuse this row.
    #[error("failed to encode row {uid}: its uid, namespace or subject is not sound")]
    Row {
        /// The row's UID.
        uid: String,
    },
    /// Two rows with one UID.
    #[error("failed to encode row {uid}: it is there twice")]
    DuplicateRow {
        /// The rows' UID.
        uid: String,
    },
    /// More rows than fit.
    #[error("failed to encode shard {shard}: {bytes} bytes do not fit into a Secret")]
    TooLarge {
        /// The shard's place.
        shard: usize,
        /// Its size.
        bytes: usize,
    },
    /// A row does not become JSON.
    #[error("failed to write a row as JSON")]
    Json(#[source] serde_json::Error),
    /// Compression failed.
    #[error("failed to compress a shard")]
    Gzip(#[source] io::Error),
}

/// The shard that holds the row with this UID.
pub fn shard_of(uid: &str) -> usize {
    let first = digest(&SHA256, uid.as_bytes()).as_ref().first().copied().unwrap_or_default();
    usize::from(first) % SHARDS
}

/// The table as bytes. The same rows in any order give the same bytes.
pub fn encode_shards<'a>(rows: impl IntoIterator<Item = &'a Row>) -> Result<[Vec<u8>; SHARDS], EncodeError> {
    let mut shards: [BTreeMap<&str, &Row>; SHARDS] = Default::default();
    for row in rows {
        if !row.is_sound() {
            return Err(EncodeError::Row { uid: row.uid.clone() });
        }
        let shard = shards.get_mut(shard_of(&row.uid));
        if shard.and_then(|shard| shard.insert(&row.uid, row)).is_some() {
            return Err(EncodeError::DuplicateRow { uid: row.uid.clone() });
        }
    }
    let mut encoded: [Vec<u8>; SHARDS] = Default::default();
    for (index, (bytes, rows)) in encoded.iter_mut().zip(&shards).enumerate() {
        *bytes = encode(rows.values().copied())?;
        if bytes.len() > MAX_ENCODED_BYTES {
            return Err(EncodeError::TooLarge { shard: index, bytes: bytes.len() });
        }
    }
    Ok(encoded)
}

fn encode<'a>(rows: impl Iterator<Item = &'a Row>) -> Result<Vec<u8>, EncodeError> {
    // The encoder's own header has no time and no file name, so nothing but the rows decides the bytes.
    let mut encoder = GzEncoder::new(Vec::new(), Compression::best());
    for row in rows {
        let mut line = serde_json::to_vec(row).map_err(EncodeError::Json)?;
        line.push(b'\n');
        encoder.write_all(&line).map_err(EncodeError::Gzip)?;
    }
    encoder.finish().map_err(EncodeError::Gzip)
}

/// Reads a shard. One bad row costs that row; damage to the bytes costs the shard, so that the last good one stays.
pub fn decode_shard(bytes: &[u8]) -> Result<DecodedShard, DecodeError> {
    let text = decompress(bytes)?;
    let mut rows = BTreeMap::new();
    let mut twice = BTreeSet::new();
    let mut rejected = Vec::new();
    for (index, line) in text.split(|byte| *byte == b'\n').enumerate().filter(|(_, line)| !line.is_empty()) {
        match read_row(line) {
            Ok(row) => {
                if let Some(earlier) = rows.insert(row.uid.clone(), row) {
                    rejected.push(format!("line {}: uid {:?} is there twice", index + 1, earlier.uid));
                    twice.insert(earlier.uid);
                }
            }
            Err(reason) => rejected.push(format!("line {}: {reason}", index + 1)),
        }
    }
    // Which of two rows is meant is not ours to guess.
    rows.retain(|uid, _| !twice.contains(uid));
    Ok(DecodedShard { rows: rows.into_values().collect(), rejected })
}

fn read_row(line: &[u8]) -> Result<Row, String> {
    if !line.starts_with(b"{") {
        return Err("not a JSON object".to_owned());
    }
    let row: Row = serde_json::from_slice(line).map_err(|error| error.to_string())?;
    if row.is_sound() {
        Ok(row)
    } else {
        Err(format!("uid {:?}: uid, namespace or subject is not sound", row.uid))
    }
}

fn decompress(bytes: &[u8]) -> Result<Vec<u8>, DecodeError> {
    let mut decoder = GzDecoder::new(bytes);
    let mut text = Vec::new();
    let limit = u64::try_from(MAX_DECODED_BYTES).unwrap_or(u64::MAX);
    let read = decoder.by_ref().take(limit + 1).read_to_end(&mut text).map_err(DecodeError::Gzip)?;
    if read > MAX_DECODED_BYTES {
        return Err(DecodeError::TooLarge);
    }
    if decoder.into_inner().is_empty() { Ok(text) } else { Err(DecodeError::TrailingBytes) }
}
