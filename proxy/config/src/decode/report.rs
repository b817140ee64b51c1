//! What decoding finds out beside the config: mistakes, notices, and where each key is.

use std::{
    cell::RefCell,
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use crate::{
    layers::Origin,
    mistake::{Mistake, Mistakes, Notice, Position, Text},
};

/// Collects while one config is decoded.
pub(crate) struct Report {
    source: Arc<str>,
    /// The names of the variables, by their numbers.
    variables: Vec<Arc<str>>,
    mistakes: RefCell<Vec<Mistake>>,
    notices: RefCell<Vec<Notice>>,
    places: RefCell<BTreeMap<String, Position>>,
    keys: RefCell<Keys>,
}

/// What the schema asked for, whether a config has it or not.
#[derive(Debug, Default)]
pub(crate) struct Keys {
    /// Every key, retired ones too.
    pub(crate) asked: BTreeSet<String>,
    /// Those that are still understood and have no future.
    pub(crate) retired: BTreeSet<String>,
    /// Those that hold a list, or a map of names that a person chooses.
    pub(crate) many: BTreeSet<String>,
}

impl Report {
    /// An empty report on the file that messages call `source`, and on variables of these names.
    pub(crate) fn new(source: &str, variables: Vec<Arc<str>>) -> Self {
        Self {
            source: Arc::from(source),
            variables,
            mistakes: RefCell::default(),
            notices: RefCell::default(),
            places: RefCell::default(),
            keys: RefCell::default(),
        }
    }

    /// Notes a mistake.
    pub(crate) fn mistake(&self, at: Position, key: &str, problem: String) {
        self.mistakes.borrow_mut().push(Mistake::new(self.source_of(at), at, key, problem));
    }

    /// Notes a mistake at a key that was decoded before, or at the nearest one around it.
    pub(crate) fn mistake_at(&self, key: &str, problem: impl Into<String>) {
        self.mistake(self.place_of(key), key, problem.into());
    }

    /// Whether nothing is wrong so far at a key and below it.
    pub(crate) fn is_clean(&self, key: &str) -> bool {
        let below = |other: &str| {
            other.strip_prefix(key).is_some_and(|rest| rest.is_empty() || rest.starts_with(['.', '[']))
        };
        !self.mistakes.borrow().iter().any(|mistake| below(mistake.key()))
    }

    /// Notes what the owner of the file should know.
    pub(crate) fn notice(&self, at: Position, key: &str, text: String) {
        self.notices.borrow_mut().push(Notice::new(self.source_of(at), at, key, text));
    }

    /// Like [`Self::notice`], at a key that was decoded before.
    pub(crate) fn notice_at(&self, key: &str, text: impl Into<String>) {
        self.notice(self.place_of(key), key, text.into());
    }

    /// Remembers where a key is.
    pub(crate) fn place(&self, key: &str, at: Position) {
        self.places.borrow_mut().insert(key.to_owned(), at);
    }

    /// Remembers that the schema knows a key.
    pub(super) fn asked(&self, key: String) {
        self.keys.borrow_mut().asked.insert(key);
    }

    /// Remembers that the schema still understands a key.
    pub(super) fn retired(&self, key: String) {
        self.keys.borrow_mut().retired.insert(key.clone());
        self.asked(key);
    }

    /// Remembers that a key holds a list, or a map of chosen names.
    pub(super) fn holds_many(&self, key: &str) {
        self.keys.borrow_mut().many.insert(key.to_owned());
    }

    /// The keys of the schema.
    pub(crate) fn into_keys(self) -> Keys {
        self.keys.into_inner()
    }

    /// Where each key that is there comes from.
    pub(crate) fn origins(&self) -> BTreeMap<String, Origin> {
        let places = self.places.borrow();
        places.iter().map(|(key, at)| (key.clone(), self.origin(*at))).collect()
    }

    fn origin(&self, at: Position) -> Origin {
        match at.text {
            Text::File => Origin::File { line: at.line },
            Text::Variable(_) => Origin::Variable(self.source_of(at).to_string()),
        }
    }

    fn source_of(&self, at: Position) -> &Arc<str> {
        match at.text {
            Text::File => &self.source,
            Text::Variable(number) => self.variables.get(number).unwrap_or(&self.source),
        }
    }

    /// The notices in the order of the file, or the mistakes.
    pub(crate) fn finish(self) -> Result<Vec<Notice>, Mistakes> {
        if let Some(mistakes) = Mistakes::of(self.mistakes.into_inner()) {
            return Err(mistakes);
        }
        let mut notices = self.notices.into_inner();
        notices.sort_by_key(Notice::position);
        Ok(notices)
    }

    fn place_of(&self, key: &str) -> Position {
        let places = self.places.borrow();
        let mut key = key;
        while !key.is_empty() {
            if let Some(position) = places.get(key) {
                return *position;
            }
            key = key.rfind(['.', '[']).and_then(|end| key.get(..end)).unwrap_or_default();
        }
        Position::START
    }
}

/// The key of a value below `parent`; a key that is no plain word is quoted, with nothing unprintable left in it.
pub(crate) fn join(parent: &str, key: &str) -> String {
    let plain =
        !key.is_empty() && key.chars().all(|char| char.is_ascii_alphanumeric() || "_-".contains(char));
    match (parent.is_empty(), plain) {
        (true, true) => key.to_owned(),
        (false, true) => format!("{parent}.{key}"),
        (_, false) => format!("{parent}[{key:?}]"),
    }
}
