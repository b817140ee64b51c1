//! What decoding finds out beside the config: mistakes, notices, and where each key is.

use std::{
    cell::RefCell,
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use crate::mistake::{Mistake, Mistakes, Notice, Position};

/// Collects while one file is decoded.
pub(crate) struct Report {
    source: Arc<str>,
    mistakes: RefCell<Vec<Mistake>>,
    notices: RefCell<Vec<Notice>>,
    places: RefCell<BTreeMap<String, Position>>,
    asked: RefCell<BTreeSet<String>>,
}

impl Report {
    /// An empty report on the file that messages call `source`.
    pub(crate) fn new(source: &str) -> Self {
        Self {
            source: Arc::from(source),
            mistakes: RefCell::default(),
            notices: RefCell::default(),
            places: RefCell::default(),
            asked: RefCell::default(),
        }
    }

    /// Notes a mistake.
    pub(crate) fn mistake(&self, at: Position, key: &str, problem: String) {
        self.mistakes.borrow_mut().push(Mistake::new(&self.source, at, key, problem));
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
        self.notices.borrow_mut().push(Notice::new(&self.source, at, key, text));
    }

    /// Like [`Self::notice`], at a key that was decoded before.
    pub(crate) fn notice_at(&self, key: &str, text: impl Into<String>) {
        self.notice(self.place_of(key), key, text.into());
    }

    /// Remembers where a key is.
    pub(super) fn place(&self, key: &str, at: Position) {
        self.places.borrow_mut().insert(key.to_owned(), at);
    }

    /// Remembers that the schema knows a key.
    pub(super) fn asked(&self, key: String) {
        self.asked.borrow_mut().insert(key);
    }

    /// Every key that the schema asked for, whether the file has it or not.
    pub(crate) fn into_asked(self) -> BTreeSet<String> {
        self.asked.into_inner()
    }

    /// The notices in the order of the file, or the mistakes.
    pub(crate) fn finish(self) -> Result<Vec<Notice>, Mistakes> {
        if let Some(mistakes) = Mistakes::of(self.mistakes.into_inner()) {
            return Err(mistakes);
        }
        let mut notices = self.notices.into_inner();
        notices.sort_by_key(|notice| (notice.line(), notice.column()));
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
