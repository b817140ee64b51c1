//! The dialects' decoders as fuzzers call them.

use super::{anthropic, bedrock, gemini, openai};

/// A name, and what is fed with bytes.
pub type Target = (&'static str, fn(&[u8]));

/// Every dialect.
pub const DIALECTS: [Target; 4] = [
    ("openai", openai::fuzz::decode),
    ("anthropic", anthropic::fuzz::decode),
    ("gemini", gemini::fuzz::decode),
    ("bedrock", bedrock::fuzz::decode),
];
