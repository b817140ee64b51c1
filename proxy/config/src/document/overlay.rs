//! Putting values over a document: what stands at a key afterwards, and nothing else changes.

use std::rc::Rc;

use super::{Document, Entry, Fault, Node, Scalar, Style, Value};
use crate::mistake::{Position, Text};

impl Document {
    /// Puts the value of a variable at a key such as `server.port`, as it is.
    pub(crate) fn put_text(&mut self, key: &str, text: &str, number: usize) {
        let scalar = Scalar { text: text.to_owned(), style: Style::Variable };
        let at = Position::variable(number);
        self.put(key, &Rc::new(Node::new(at, Value::Scalar(scalar))), at);
    }

    /// Puts the value of a variable at a key, as the YAML that it is. Faults of that YAML become faults of the document.
    pub(crate) fn put_yaml(&mut self, key: &str, text: &str, number: usize) {
        let Self { root, faults } = Self::from_yaml(text);
        let of_variable = |at: Position| Position { text: Text::Variable(number), ..at };
        self.faults.extend(faults.into_iter().map(|fault| Fault { at: of_variable(fault.at), ..fault }));
        if let Some(root) = root {
            self.put(key, &moved(&root, number), Position::variable(number));
        }
    }

    /// Takes away what stands at a key.
    pub(crate) fn remove(&mut self, key: &str) {
        if let Some(root) = &self.root {
            self.root = Some(without(root, key));
        }
    }

    /// Where the file has something else than a map above the key, that is for the reader of the key to refuse.
    fn put(&mut self, key: &str, node: &Rc<Node>, at: Position) {
        self.root = Some(with(self.root.as_ref(), key, node, at));
    }
}

fn with(node: Option<&Rc<Node>>, key: &str, value: &Rc<Node>, at: Position) -> Rc<Node> {
    let (first, rest) = key.split_once('.').map_or((key, None), |(first, rest)| (first, Some(rest)));
    let mut entries = match node.map(|node| &node.value) {
        Some(Value::Map(entries)) => copies(entries),
        Some(Value::List(_)) => return node.map_or_else(|| Rc::clone(value), Rc::clone),
        Some(Value::Scalar(scalar)) if scalar.kind() != super::Kind::Null => {
            return node.map_or_else(|| Rc::clone(value), Rc::clone);
        }
        Some(Value::Scalar(_)) | None => Vec::new(),
    };
    let there = entries.iter().position(|entry| entry.key == first);
    let below = there.and_then(|index| entries.get(index)).map(|entry| Rc::clone(&entry.node));
    let node = match rest {
        Some(rest) => with(below.as_ref(), rest, value, at),
        None => Rc::clone(value),
    };
    let entry = Entry { key: first.to_owned(), at: rest.and(node_place(below.as_ref())).unwrap_or(at), node };
    match there.and_then(|index| entries.get_mut(index)) {
        Some(there) => *there = entry,
        None => entries.push(entry),
    }
    Rc::new(Node::new(node_at(&entries, at), Value::Map(entries)))
}

fn node_place(node: Option<&Rc<Node>>) -> Option<Position> {
    node.map(|node| node.at)
}

/// A map is where its first entry is.
fn node_at(entries: &[Entry], otherwise: Position) -> Position {
    entries.first().map_or(otherwise, |entry| entry.at)
}

fn without(node: &Rc<Node>, key: &str) -> Rc<Node> {
    let Value::Map(entries) = &node.value else { return Rc::clone(node) };
    let (first, rest) = key.split_once('.').map_or((key, None), |(first, rest)| (first, Some(rest)));
    let kept = copies(entries).into_iter().filter_map(|entry| match rest {
        _ if entry.key != first => Some(entry),
        Some(rest) => Some(Entry { node: without(&entry.node, rest), ..entry }),
        None => None,
    });
    Rc::new(Node::new(node.at, Value::Map(kept.collect())))
}

fn copies(entries: &[Entry]) -> Vec<Entry> {
    let copy = |entry: &Entry| Entry { key: entry.key.clone(), at: entry.at, node: Rc::clone(&entry.node) };
    entries.iter().map(copy).collect()
}

/// The same value, in the text of a variable.
fn moved(node: &Rc<Node>, number: usize) -> Rc<Node> {
    let at = |at: Position| Position { text: Text::Variable(number), ..at };
    let value = match &node.value {
        Value::Scalar(scalar) => Value::Scalar(scalar.clone()),
        Value::List(items) => Value::List(items.iter().map(|item| moved(item, number)).collect()),
        Value::Map(entries) => Value::Map(
            entries
                .iter()
                .map(|entry| Entry {
                    key: entry.key.clone(),
                    at: at(entry.at),
                    node: moved(&entry.node, number),
                })
                .collect(),
        ),
    };
    Rc::new(Node::new(at(node.at), value))
}
