//! What reads bytes of strangers, as fuzzers call it: one function for each target, which must return for any bytes at all.
//!
//! The targets for libFuzzer are in `fuzz/` at the root of the repository; `proxy/tests/fuzz_corpus.rs` runs the same functions
//! over the same corpora with a stable compiler. A new target is a line here, a file in `fuzz/fuzz_targets` and a folder in
//! `fuzz/corpus`.

use std::sync::LazyLock;

use bytes::Bytes;
use vibectl_config::Config;
use vibectl_token::{Expectation, KeySet, inspect, standalone, verify};

use crate::provider::anthropic::MessagesBody;
use crate::provider::embeddings::EmbeddingsRequest;
use crate::provider::fuzz::{DIALECTS, Target};
use crate::provider::openai::{ChatBody, responses};
use crate::provider::sse::Splitter;

/// Everything but the dialects.
const OWN: [Target; 5] = [
    ("token", token),
    ("key_set", |bytes| drop(KeySet::parse(bytes))),
    ("config", |bytes| drop(Config::parse_bytes(bytes, "fuzz.yaml"))),
    ("sse", sse),
    ("request", request),
];

/// Every target with its name.
pub fn targets() -> impl Iterator<Item = Target> {
    OWN.into_iter().chain(DIALECTS)
}

/// Feeds the target of this name; false when there is none.
pub fn run(name: &str, bytes: &[u8]) -> bool {
    let target = targets().find(|(known, _)| *known == name);
    target.is_some_and(|(_, feed)| {
        feed(bytes);
        true
    })
}

/// A token of either kind, against keys that signed none of them.
fn token(bytes: &[u8]) {
    static SECRET: LazyLock<Option<standalone::Secret>> =
        LazyLock::new(|| standalone::Secret::new(b"a secret that signs nothing, only for fuzzing").ok());
    let Ok(text) = std::str::from_utf8(bytes) else { return };
    let keys = KeySet::from_keys([]).unwrap_or_default();
    let _ = verify(&keys, &Expectation { issuer: "i", audience: "a" }, text, 1_800_000_000);
    if let Some(secret) = &*SECRET {
        let _ = standalone::verify(secret, "i", text, 1_800_000_000);
    }
    let _ = inspect(text);
}

/// A stream that comes whole and one that comes byte by byte have the same events.
fn sse(bytes: &[u8]) {
    let (mut whole, mut single) = (Splitter::default(), Splitter::default());
    whole.push(bytes);
    for byte in bytes {
        single.push(&[*byte]);
    }
    loop {
        let (from_whole, from_single) = (whole.next_frame(), single.next_frame());
        assert_eq!(from_whole, from_single, "pieces make a difference");
        if !matches!(from_whole, Ok(Some(_))) {
            return;
        }
    }
}

/// A body on each of the HTTP fronts.
fn request(bytes: &[u8]) {
    let body = Bytes::copy_from_slice(bytes);
    let _ = ChatBody::parse(&body);
    let _ = responses::parse(&body);
    let _ = MessagesBody::parse(&body, None);
    let _ = EmbeddingsRequest::parse(&body);
}
