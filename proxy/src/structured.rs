//! Structured answers: the JSON Schema that a caller sends, the check of an answer against it, and the making of an
//! instance of it (for the echo provider).
//!
//! Both the schema (from the caller) and the answer (from a model) are hostile input. A check therefore has a budget of
//! steps and a bound on depth, patterns are matched in linear time, and no reference leaves the document. The general
//! validators have no budget: a schema of 3 kB (forty definitions, each naming the next one twice) kept the jsonschema
//! crate 0.60 busy for longer than we cared to wait.
//!
//! Supported are the assertions of draft 2020-12 that structured output is described with. An assertion that is not
//! supported is refused by name and place, never skipped.

mod candidates;
mod check;
mod compile;
mod instance;
mod rules;

use serde_json::Value;
use thiserror::Error;

use self::rules::{Node, NodeId, Root};

/// Longest schema that is looked at.
pub const MAX_SCHEMA_BYTES: usize = 256 * 1024;

/// A schema that is well formed and whose references all lead somewhere.
#[derive(Debug)]
pub struct Schema {
    source: Value,
    nodes: Vec<Node>,
    root: NodeId,
}

/// Why a schema cannot be used; tells the place as a JSON Pointer.
#[derive(Debug, Error, PartialEq, Eq)]
#[error("{}: {problem}", if .place.is_empty() { "at the top" } else { .place })]
pub struct InvalidSchema {
    place: String,
    problem: String,
}

/// Why an answer is not an instance of the schema.
#[derive(Debug, Error, PartialEq, Eq)]
pub enum Unsatisfied {
    /// The answer is not JSON at all.
    #[error("the answer is not JSON")]
    NotJson,
    /// The answer breaks a rule.
    #[error("the answer breaks `{keyword}` {}", if .place.is_empty() { "at the top" } else { .place })]
    Broken {
        /// Where in the answer, as a JSON Pointer.
        place: String,
        /// The schema's keyword.
        keyword: &'static str,
    },
    /// The check was given up: schema and answer together need too many steps.
    #[error("the answer takes too long to check")]
    TooCostly,
}

impl Unsatisfied {
    /// Whether another answer may do better; a check that was given up says nothing that a model could mend.
    pub fn can_be_mended(&self) -> bool {
        match self {
            Self::NotJson | Self::Broken { .. } => true,
            Self::TooCostly => false,
        }
    }
}

impl Schema {
    /// Reads a schema from its JSON text.
    pub fn parse(text: &str) -> Result<Self, InvalidSchema> {
        if text.len() > MAX_SCHEMA_BYTES {
            return Err(InvalidSchema::new("", format!("longer than {MAX_SCHEMA_BYTES} bytes")));
        }
        let source = serde_json::from_str(text).map_err(|error| {
            InvalidSchema::new("", format!("not JSON (line {}, column {})", error.line(), error.column()))
        })?;
        Self::from_value(source)
    }

    /// Takes a schema that is JSON already.
    pub fn from_value(source: Value) -> Result<Self, InvalidSchema> {
        let Root { nodes, root } = compile::compile(&source)?;
        Ok(Self { source, nodes, root })
    }

    /// The schema as the caller wrote it, for a provider that takes one.
    pub fn source(&self) -> &Value {
        &self.source
    }

    /// Whether `answer` is JSON and satisfies the schema.
    pub fn check(&self, answer: &str) -> Result<(), Unsatisfied> {
        let value: Value = serde_json::from_str(answer).map_err(|_| Unsatisfied::NotJson)?;
        check::check(self, &value)
    }

    /// An instance of this schema, the same one every time; `text` fills its free text. `None` where none was found.
    pub fn instance(&self, text: &str) -> Option<Value> {
        instance::instance(self, text).filter(|value| check::check(self, value).is_ok())
    }

    fn node(&self, id: NodeId) -> &Node {
        &self.nodes[id.index()]
    }
}

impl InvalidSchema {
    fn new(place: &str, problem: impl Into<String>) -> Self {
        Self { place: place.to_owned(), problem: problem.into() }
    }
}
