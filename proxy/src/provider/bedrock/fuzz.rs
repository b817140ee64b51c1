//! What a fuzzer feeds: bytes as a whole answer, and as a stream of messages.

use super::{
    decode::{self, Decoder},
    event_stream::Splitter,
};

/// Decodes the bytes both ways; what comes of it does not matter, only that it comes.
pub(in super::super) fn decode(bytes: &[u8]) {
    for structured in [false, true] {
        let _ = decode::answer(bytes, structured);
        let (mut splitter, mut decoder) = (Splitter::default(), Decoder::new(structured));
        splitter.push(bytes);
        while let Ok(Some(message)) = splitter.next_message() {
            let _ = decoder.message(&message);
        }
    }
}
