//! From the events of the YAML reader to the tree.

use std::{collections::HashMap, rc::Rc};

use serde_saphyr::granit_parser::{Event, ScalarStyle};

use super::{Document, Entry, Fault, MAX_DEPTH, MAX_NODES, Node, Scalar, Style, Value, too_deep};
use crate::mistake::Position;

/// Takes events in order and keeps what is open. A fault that leaves the structure clear is noted and passed over.
#[derive(Default)]
pub(super) struct Builder {
    open: Vec<Open>,
    anchors: HashMap<usize, Rc<Node>>,
    document: Document,
    documents: usize,
    /// How many nodes there are so far, aliases written out.
    nodes: usize,
}

/// A list or map whose end has not come yet.
struct Open {
    at: Position,
    anchor: usize,
    children: Children,
}

enum Children {
    List(Vec<Rc<Node>>),
    Map(OpenMap),
}

#[derive(Default)]
struct OpenMap {
    entries: Vec<Entry>,
    /// The line of each key so far.
    lines: HashMap<String, usize>,
    key: Option<Key>,
}

/// A key that waits for its value; without text when it cannot be one.
struct Key {
    at: Position,
    text: Option<String>,
}

impl Builder {
    /// Takes the next event. An error ends the reading.
    pub(super) fn add(&mut self, event: Event<'_>, at: Position) -> Result<(), Fault> {
        match event {
            Event::DocumentStart(..) => self.start_document(at),
            Event::Scalar(text, style, anchor, tag) => {
                self.refuse_tag(tag.is_some(), at);
                let style = if matches!(style, ScalarStyle::Plain) { Style::Plain } else { Style::Quoted };
                self.complete(at, anchor, Value::Scalar(Scalar { text: text.into_owned(), style }))
            }
            Event::SequenceStart(_, anchor, tag) => {
                self.refuse_tag(tag.is_some(), at);
                self.start(at, anchor, Children::List(Vec::new()))
            }
            Event::MappingStart(_, anchor, tag) => {
                self.refuse_tag(tag.is_some(), at);
                self.start(at, anchor, Children::Map(OpenMap::default()))
            }
            Event::SequenceEnd | Event::MappingEnd => self.end(),
            Event::Alias(anchor) => self.alias(anchor, at),
            Event::UnresolvedAlias(_) => {
                Err(Fault::new(at, "an alias without its anchor; quote text that starts with *"))
            }
            _ => Ok(()),
        }
    }

    /// The document, once all events are in.
    pub(super) fn finish(self) -> Document {
        self.document
    }

    fn start_document(&mut self, at: Position) -> Result<(), Fault> {
        self.documents += 1;
        match self.documents {
            1 => Ok(()),
            _ => Err(Fault::new(at, "a second document; a config file is one document")),
        }
    }

    fn start(&mut self, at: Position, anchor: usize, children: Children) -> Result<(), Fault> {
        if self.open.len() >= MAX_DEPTH {
            return Err(too_deep(at));
        }
        self.open.push(Open { at, anchor, children });
        Ok(())
    }

    fn end(&mut self) -> Result<(), Fault> {
        let Some(Open { at, anchor, children }) = self.open.pop() else { return Ok(()) };
        let value = match children {
            Children::List(items) => Value::List(items),
            Children::Map(map) => Value::Map(map.entries),
        };
        self.complete(at, anchor, value)
    }

    fn alias(&mut self, anchor: usize, at: Position) -> Result<(), Fault> {
        match self.anchors.get(&anchor) {
            Some(node) => {
                let node = Rc::clone(node);
                self.count(node.size, at)?;
                self.attach(node, at)
            }
            None => Err(Fault::new(at, "an alias inside of what it stands for")),
        }
    }

    /// Finishes a node: remembers it for aliases and puts it where it belongs.
    fn complete(&mut self, at: Position, anchor: usize, value: Value) -> Result<(), Fault> {
        self.count(1, at)?;
        let node = Rc::new(Node::new(at, value));
        if anchor > 0 {
            self.anchors.insert(anchor, Rc::clone(&node));
        }
        self.attach(node, at)
    }

    fn count(&mut self, nodes: usize, at: Position) -> Result<(), Fault> {
        self.nodes = self.nodes.saturating_add(nodes);
        if self.nodes > MAX_NODES {
            return Err(Fault::new(at, format!("more than {MAX_NODES} values")));
        }
        Ok(())
    }

    /// Puts a node into what is open. `at` is where it was used, which for an alias is not where it was written.
    fn attach(&mut self, node: Rc<Node>, at: Position) -> Result<(), Fault> {
        if self.open.len() + node.depth > MAX_DEPTH {
            return Err(too_deep(at));
        }
        match self.open.last_mut().map(|open| &mut open.children) {
            None => self.document.root = Some(node),
            Some(Children::List(items)) => items.push(node),
            Some(Children::Map(map)) => map.add(node, at, &mut self.document.faults),
        }
        Ok(())
    }

    fn refuse_tag(&mut self, tagged: bool, at: Position) {
        if tagged {
            self.document
                .faults
                .push(Fault::new(at, "YAML tags are not supported; remove what starts with !"));
        }
    }
}

fn read_key(node: &Node, at: Position, faults: &mut Vec<Fault>) -> Key {
    let text = match &node.value {
        Value::Scalar(Scalar { text, style: Style::Plain }) if text == "<<" => {
            faults.push(Fault::new(at, "merge keys are not supported; write the keys out"));
            None
        }
        Value::Scalar(scalar) => Some(scalar.text.clone()),
        Value::List(_) | Value::Map(_) => {
            faults.push(Fault::new(at, "a key must be text; quote text that starts with { or ["));
            None
        }
    };
    Key { at, text }
}

impl OpenMap {
    /// Takes a key and its value in turn; of two equal keys the first is kept.
    fn add(&mut self, node: Rc<Node>, at: Position, faults: &mut Vec<Fault>) {
        let Some(Key { at, text }) = self.key.take() else {
            self.key = Some(read_key(&node, at, faults));
            return;
        };
        let Some(key) = text else { return };
        if let Some(line) = self.lines.get(&key) {
            faults.push(Fault::new(at, format!("this key is already in line {line}")));
        } else {
            self.lines.insert(key.clone(), at.line);
            self.entries.push(Entry { key, at, node });
        }
    }
}

impl Node {
    pub(super) fn new(at: Position, value: Value) -> Self {
        let (size, depth) = match &value {
            Value::Scalar(_) => (0, 0),
            Value::List(items) => extent(items.iter()),
            Value::Map(entries) => extent(entries.iter().map(|entry| &entry.node)),
        };
        Self { at, value, size: size.saturating_add(1), depth: depth + 1 }
    }
}

fn extent<'a>(children: impl Iterator<Item = &'a Rc<Node>>) -> (usize, usize) {
    children.fold((0, 0), |(size, depth), child| (size.saturating_add(child.size), depth.max(child.depth)))
}
