//! Reading a tree by a schema, collecting every mistake on the way.
//!
//! A [`Cursor`] is one value with its key; its readers answer `None` after noting what is wrong, so that decoding
//! goes on with a placeholder: a config with mistakes is never handed out. A [`Section`] is a map of known keys.

mod base_url;
mod nearest;
mod read;
mod report;
mod section;

pub(crate) use self::{
    nearest::nearest,
    read::{MODEL_NAME, is_model_name},
    report::{Keys, Report, join},
    section::Section,
};
use crate::{
    document::{Entry, Kind, Node, Value},
    mistake::Position,
};

/// One value, the key that it stands at, and where to note what is wrong with it.
#[derive(Clone)]
pub(crate) struct Cursor<'a> {
    /// Absent for what the file leaves out.
    node: Option<&'a Node>,
    at: Position,
    key: String,
    report: &'a Report,
}

impl<'a> Cursor<'a> {
    /// The whole file.
    pub(crate) fn root(node: Option<&'a Node>, report: &'a Report) -> Self {
        Self { node, at: node.map_or(Position::START, |node| node.at), key: String::new(), report }
    }

    /// Says that the value is that of another key too.
    pub(crate) fn stands_for(&self, key: &str) {
        self.report.place(key, self.at);
    }

    /// Notes what is wrong with the value.
    pub(crate) fn mistake(&self, problem: impl Into<String>) {
        self.report.mistake(self.at, &self.key, problem.into());
    }

    /// Notes what should be known about the value.
    pub(crate) fn notice(&self, text: impl Into<String>) {
        self.report.notice(self.at, &self.key, text.into());
    }

    /// The map of known keys that this value should be; nothing is a map without keys.
    pub(crate) fn section(&self) -> Section<'a> {
        if let Some(Value::Map(entries)) = self.value() {
            return Section::new(self.clone(), entries);
        }
        let empty = self.expect_nothing("a map");
        Section::unreadable(self.clone(), empty)
    }

    /// The items that this value should be a list of; nothing is a list without items.
    pub(crate) fn items(&self) -> Vec<Self> {
        self.report.holds_many(&self.key);
        let Some(Value::List(items)) = self.value() else {
            self.expect_nothing("a list");
            return Vec::new();
        };
        let items = items.iter().enumerate();
        items.map(|(index, node)| self.child(format!("{}[{index}]", self.key), node.at, node)).collect()
    }

    /// The items of a list that must have some.
    pub(crate) fn some_items(&self) -> Vec<Self> {
        let items = self.items();
        if matches!(self.value(), Some(Value::List(items)) if items.is_empty()) {
            self.mistake("expected at least one item, found an empty list");
        }
        items
    }

    /// The keys and values that this value should be a map of, whatever its keys; nothing is a map without keys.
    pub(crate) fn entries(&self) -> Vec<(&'a str, Self)> {
        self.report.holds_many(&self.key);
        let Some(Value::Map(entries)) = self.value() else {
            self.expect_nothing("a map");
            return Vec::new();
        };
        let child = |entry: &'a Entry| self.child(join(&self.key, &entry.key), entry.at, &entry.node);
        entries.iter().map(|entry| (entry.key.as_str(), child(entry))).collect()
    }

    fn value(&self) -> Option<&'a Value> {
        self.node.map(|node| &node.value)
    }

    fn child(&self, key: String, at: Position, node: &'a Node) -> Self {
        self.report.place(&key, at);
        Self { node: Some(node), at: node.at, key, report: self.report }
    }

    /// Whether there is nothing here; anything else is a mistake.
    fn expect_nothing(&self, expected: &str) -> bool {
        let nothing = self.is_nothing();
        if !nothing {
            self.mistake(format!("expected {expected}, found {}", self.kind_found()));
        }
        nothing
    }

    /// Whether the value is absent or null.
    fn is_nothing(&self) -> bool {
        match self.value() {
            None => true,
            Some(Value::Scalar(scalar)) => scalar.kind() == Kind::Null,
            Some(Value::List(_) | Value::Map(_)) => false,
        }
    }

    /// What the value is, without showing it.
    fn kind_found(&self) -> &'static str {
        match self.value() {
            None => "nothing",
            Some(Value::List(_)) => "a list",
            Some(Value::Map(_)) => "a map",
            Some(Value::Scalar(scalar)) => match scalar.kind() {
                Kind::Null => "nothing",
                Kind::Boolean(_) => "a boolean",
                Kind::Number => "a number",
                Kind::AlmostBoolean | Kind::Text => "text",
            },
        }
    }
}
