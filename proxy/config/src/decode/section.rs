//! A map whose keys the schema knows.

use super::{Cursor, nearest::nearest, report::join};
use crate::document::Entry;

/// A map of known keys. Every key is asked for once; what was never asked for is unknown.
pub(crate) struct Section<'a> {
    cursor: Cursor<'a>,
    entries: &'a [Entry],
    asked: Vec<&'static str>,
    /// Keys that are still understood and that nobody is pointed to.
    retired: Vec<&'static str>,
    /// Whether there was a map, or nothing; else its keys are not missing but out of sight.
    readable: bool,
}

/// What to say about a key that people are known to look for in the wrong place: key, advice.
pub(crate) type Advice = (&'static str, &'static str);

impl<'a> Section<'a> {
    pub(super) fn new(cursor: Cursor<'a>, entries: &'a [Entry]) -> Self {
        Self { cursor, entries, asked: Vec::new(), retired: Vec::new(), readable: true }
    }

    pub(super) fn unreadable(cursor: Cursor<'a>, empty: bool) -> Self {
        Self { cursor, entries: &[], asked: Vec::new(), retired: Vec::new(), readable: empty }
    }

    /// The value at a key, null too; nothing when the file leaves the key out.
    pub(crate) fn present(&mut self, key: &'static str) -> Option<Cursor<'a>> {
        let path = join(&self.cursor.key, key);
        self.cursor.report.asked(path.clone());
        self.asked.push(key);
        self.entry(key, path)
    }

    /// As [`Self::read`], for a key that is still understood but has no future: `why` goes into a notice.
    pub(crate) fn retired<T>(
        &mut self,
        key: &'static str,
        why: &str,
        read: impl FnOnce(&Cursor<'a>) -> Option<T>,
    ) -> Option<T> {
        let path = join(&self.cursor.key, key);
        self.cursor.report.retired(path.clone());
        self.retired.push(key);
        let cursor = self.entry(key, path)?;
        cursor.notice(why);
        if cursor.is_nothing() { None } else { read(&cursor) }
    }

    fn entry(&self, key: &str, path: String) -> Option<Cursor<'a>> {
        let entry = self.entries.iter().find(|entry| entry.key == key)?;
        Some(self.cursor.child(path, entry.at, &entry.node))
    }

    /// Whether there is a value at a key, right or wrong.
    pub(crate) fn has(&self, key: &str) -> bool {
        self.entry(key, join(&self.cursor.key, key)).is_some_and(|cursor| !cursor.is_nothing())
    }

    /// What `read` makes of the value at a key; nothing when there is none, when it is null or when it is wrong.
    pub(crate) fn read<T>(
        &mut self,
        key: &'static str,
        read: impl FnOnce(&Cursor<'a>) -> Option<T>,
    ) -> Option<T> {
        self.present(key).filter(|cursor| !cursor.is_nothing()).and_then(|cursor| read(&cursor))
    }

    /// As [`Self::read`], for a key that must be there.
    pub(crate) fn required<T>(
        &mut self,
        key: &'static str,
        read: impl FnOnce(&Cursor<'a>) -> Option<T>,
    ) -> Option<T> {
        match self.present(key) {
            Some(cursor) if !cursor.is_nothing() => read(&cursor),
            _ => {
                self.mistake(&format!("the key {key} is missing"));
                None
            }
        }
    }

    /// What `decode` makes of the value at a key, present or not.
    pub(crate) fn decode<T>(&mut self, key: &'static str, decode: impl FnOnce(&Cursor<'a>) -> T) -> T {
        let cursor = self.present(key).unwrap_or_else(|| Cursor {
            node: None,
            at: self.cursor.at,
            key: join(&self.cursor.key, key),
            report: self.cursor.report,
        });
        decode(&cursor)
    }

    /// Notes what is wrong with the section as a whole.
    pub(crate) fn mistake(&self, problem: &str) {
        if self.readable {
            self.cursor.mistake(problem);
        }
    }

    /// Notes every key that was not asked for.
    pub(crate) fn finish(self) {
        self.finish_with(&[]);
    }

    /// As [`Self::finish`], with advice on keys that are known to be looked for here.
    pub(crate) fn finish_with(self, advice: &[Advice]) {
        let known = |key: &str| self.asked.contains(&key) || self.retired.contains(&key);
        for entry in self.entries.iter().filter(|entry| !known(&entry.key)) {
            let text = match advice.iter().find(|(key, _)| *key == entry.key) {
                Some((_, text)) => (*text).to_owned(),
                None => self.suggestion(&entry.key),
            };
            let named = is_presentable(&entry.key);
            let key = if named { join(&self.cursor.key, &entry.key) } else { self.cursor.key.clone() };
            self.cursor.report.mistake(entry.at, &key, format!("unknown key; {text}"));
        }
    }

    fn suggestion(&self, key: &str) -> String {
        match nearest(key, &self.asked) {
            Some(known) => format!("did you mean {known}?"),
            None => format!("known here: {}", self.asked.join(", ")),
        }
    }
}

/// Whether a key can be shown. A forgotten colon turns a secret into a part of a key: `secret_key hunter2`.
fn is_presentable(key: &str) -> bool {
    (1..=64).contains(&key.len())
        && key.chars().all(|char| char.is_ascii_alphanumeric() || "_-.".contains(char))
}
