//! From text to a tree whose every node knows its place. Nothing here knows a key of the schema.
//!
//! YAML is taken in its plain part only: one document, no tags, no directives, no merge keys. Aliases work within
//! the budget of nodes. A scalar keeps its text as written; what it means is up to the reader of a key.

mod build;
mod json;
mod overlay;
mod scalar;
#[cfg(test)]
mod tests;

use std::rc::Rc;

use serde_saphyr::granit_parser::{self, ErrorKind, Options, Parser, Span};

use self::build::Builder;
pub(crate) use self::scalar::{Kind, Scalar, Style};
use crate::mistake::Position;

/// The largest file that is read; a config map holds no more either.
const MAX_BYTES: usize = 1024 * 1024;
/// How many nodes a file may have once its aliases are written out.
const MAX_NODES: usize = 100_000;
/// How deep nodes may be nested once its aliases are written out.
const MAX_DEPTH: usize = 32;

/// One value and its place.
#[derive(Debug)]
pub(crate) struct Node {
    /// Where the value starts.
    pub(crate) at: Position,
    pub(crate) value: Value,
    /// How many nodes this is with all that is below it.
    size: usize,
    /// How many levels this is with all that is below it.
    depth: usize,
}

#[derive(Debug)]
pub(crate) enum Value {
    Scalar(Scalar),
    List(Vec<Rc<Node>>),
    Map(Vec<Entry>),
}

/// One key of a map with its value.
#[derive(Debug)]
pub(crate) struct Entry {
    pub(crate) key: String,
    /// Where the key starts.
    pub(crate) at: Position,
    pub(crate) node: Rc<Node>,
}

/// Something wrong with the text itself, at a place.
#[derive(Debug)]
pub(crate) struct Fault {
    pub(crate) at: Position,
    pub(crate) problem: String,
}

impl Fault {
    fn new(at: Position, problem: impl Into<String>) -> Self {
        Self { at, problem: problem.into() }
    }
}

/// What a text says, as far as it could be understood, and what is wrong with it.
#[derive(Debug, Default)]
pub(crate) struct Document {
    /// Absent for an empty text, and for one that could not be read to its end.
    pub(crate) root: Option<Rc<Node>>,
    pub(crate) faults: Vec<Fault>,
}

impl Document {
    /// Reads YAML.
    pub(crate) fn from_yaml(text: &str) -> Self {
        if text.len() > MAX_BYTES {
            return Self::unreadable(Fault::new(Position::START, format!("larger than {MAX_BYTES} bytes")));
        }
        let mut builder = Builder::default();
        for event in Parser::new_from_str_with_options(text, parser_options()) {
            let added = event
                .map_err(|error| syntax_fault(&error))
                .and_then(|(event, span)| builder.add(event, position(&span)));
            if let Err(fault) = added {
                return Self::unreadable(fault);
            }
        }
        builder.finish()
    }

    /// Reads JSON: YAML's reader gives the places once the text is known to be JSON.
    pub(crate) fn from_json(text: &str) -> Self {
        match json::check(text) {
            Ok(()) => Self::from_yaml(text),
            Err(fault) => Self::unreadable(fault),
        }
    }

    fn unreadable(fault: Fault) -> Self {
        Self { root: None, faults: vec![fault] }
    }
}

fn parser_options() -> Options {
    granit_parser::options! {
        disallow_directives: true,
        emit_comments: false,
        emit_unresolved_aliases: true,
        flow_nesting_limit: MAX_DEPTH + 1,
        block_nesting_limit: MAX_DEPTH + 1,
    }
}

fn position(span: &Span) -> Position {
    Position::in_file(span.start.line(), span.start.col() + 1)
}

fn syntax_fault(error: &granit_parser::ScanError) -> Fault {
    let at = Position::in_file(error.marker().line(), error.marker().col() + 1);
    match error.kind() {
        ErrorKind::RecursionLimitExceeded => too_deep(at),
        ErrorKind::TabNotAllowed | ErrorKind::TabInBlockIndentation | ErrorKind::TabInIndentation => {
            Fault::new(at, "a tab cannot indent YAML; use spaces")
        }
        _ => Fault::new(at, format!("not valid YAML: {}", error.info())),
    }
}

fn too_deep(at: Position) -> Fault {
    Fault::new(at, format!("nested deeper than {MAX_DEPTH} levels"))
}
