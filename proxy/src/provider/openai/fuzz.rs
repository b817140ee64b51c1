//! What a fuzzer feeds: bytes as a whole answer, and as the events of a stream.

use super::{super::sse, decode};

/// Decodes the bytes both ways; what comes of it does not matter, only that it comes.
pub(in super::super) fn decode(bytes: &[u8]) {
    let _ = decode::answer(bytes);
    sse::for_each(bytes, |data| {
        let _ = decode::chunk(data);
    });
}
