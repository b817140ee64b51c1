//! What is wrong with a file, and what is merely worth saying about it.

use std::{error::Error, fmt, sync::Arc};

/// A place in a text; line and column count from 1, columns in characters.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct Position {
    pub(crate) text: Text,
    pub(crate) line: usize,
    pub(crate) column: usize,
}

/// One of the texts that a config is made of.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) enum Text {
    /// The file.
    File,
    /// The environment variable of this number.
    Variable(usize),
}

impl Position {
    /// Where the file starts.
    pub(crate) const START: Self = Self::in_file(1, 1);

    /// A place in the file.
    pub(crate) const fn in_file(line: usize, column: usize) -> Self {
        Self { text: Text::File, line, column }
    }

    /// An environment variable as a whole.
    pub(crate) const fn variable(number: usize) -> Self {
        Self { text: Text::Variable(number), line: 1, column: 1 }
    }
}

/// One thing that makes a file unusable.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mistake {
    place: Place,
    problem: String,
}

/// One thing in a usable file that its owner should know: a key with another name by now, or without effect.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Notice {
    place: Place,
    text: String,
}

/// Where in which file or variable, at which key; the key is empty for the whole of it.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Place {
    source: Arc<str>,
    position: Position,
    key: String,
}

impl fmt::Display for Place {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { source, position, key } = self;
        match position.text {
            Text::File => write!(formatter, "{source}:{}:{}: ", position.line, position.column)?,
            Text::Variable(_) => write!(formatter, "environment variable {source}: ")?,
        }
        if key.is_empty() { Ok(()) } else { write!(formatter, "{key}: ") }
    }
}

macro_rules! placed {
    ($type:ident, $text:ident) => {
        impl $type {
            pub(crate) fn new(source: &Arc<str>, position: Position, key: &str, $text: String) -> Self {
                Self { place: Place { source: Arc::clone(source), position, key: key.to_owned() }, $text }
            }

            /// The line in the file or in the value of the variable, from 1.
            pub fn line(&self) -> usize {
                self.place.position.line
            }

            /// The column in the line, from 1.
            pub fn column(&self) -> usize {
                self.place.position.column
            }

            pub(crate) fn position(&self) -> Position {
                self.place.position
            }

            /// The key, such as `models[0].name`; empty for the file as a whole.
            pub fn key(&self) -> &str {
                &self.place.key
            }

            /// The text without its place.
            pub fn text(&self) -> &str {
                &self.$text
            }
        }

        impl fmt::Display for $type {
            fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(formatter, "{}{}", self.place, self.$text)
            }
        }
    };
}

placed!(Mistake, problem);
placed!(Notice, text);

/// Everything that is wrong with a file, in the order of the file; never empty.
///
/// Displayed as one line each: `FILE:LINE:COLUMN: KEY: what is wrong`, or `environment variable NAME: KEY: what is wrong`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mistakes(Vec<Mistake>);

impl Mistakes {
    /// How many are shown; the rest of a hopeless file is counted only.
    const SHOWN: usize = 50;

    /// Nothing when there is no mistake.
    pub(crate) fn of(mut mistakes: Vec<Mistake>) -> Option<Self> {
        mistakes.sort_by_key(Mistake::position);
        (!mistakes.is_empty()).then_some(Self(mistakes))
    }

    /// A single mistake about the file as a whole.
    pub(crate) fn one(source: &str, at: Position, problem: &str) -> Self {
        Self(vec![Mistake::new(&Arc::from(source), at, "", problem.to_owned())])
    }

    /// The mistakes in the order of the file.
    pub fn iter(&self) -> impl Iterator<Item = &Mistake> {
        self.0.iter()
    }
}

impl fmt::Display for Mistakes {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, mistake) in self.0.iter().take(Self::SHOWN).enumerate() {
            if index > 0 {
                formatter.write_str("\n")?;
            }
            write!(formatter, "{mistake}")?;
        }
        match self.0.len().saturating_sub(Self::SHOWN) {
            0 => Ok(()),
            more => write!(formatter, "\nand {more} more"),
        }
    }
}

impl Error for Mistakes {}
