//! What a fuzzer feeds: bytes as a whole answer, and as the events of a stream.

use super::{
    super::sse,
    decode::{self, Decoder},
};

/// Decodes the bytes both ways; what comes of it does not matter, only that it comes.
pub(in super::super) fn decode(bytes: &[u8]) {
    let _ = decode::answer(bytes);
    let mut decoder = Decoder::default();
    sse::for_each(bytes, |data| {
        let _ = decoder.event(data);
    });
}
