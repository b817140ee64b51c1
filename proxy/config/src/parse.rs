//! From text and variables to [`Config`].

use std::{collections::BTreeMap, sync::Arc};

use crate::{
    check,
    decode::{Cursor, Report},
    document::Document,
    environment::Overlay,
    layers::Origin,
    locate::Environment,
    mistake::{Mistakes, Notice, Position},
    schema::Config,
};

/// A usable config, where its values come from, and what its owner should know about it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Parsed {
    /// The config.
    pub config: Config,
    /// What is deprecated or without effect, in the order of the file.
    pub notices: Vec<Notice>,
    /// Every key that was given, with those above it.
    origins: BTreeMap<String, Origin>,
}

impl Parsed {
    /// Where the value of a key comes from.
    pub fn origin(&self, key: &str) -> Origin {
        self.origins.get(key).cloned().unwrap_or_default()
    }
}

impl Config {
    /// Reads a config file; `source` names it in messages, and a name that ends in `.json` makes it JSON.
    ///
    /// An empty file is a config: everything at its default. Every mistake is reported at once.
    pub fn parse(text: &str, source: &str) -> Result<Parsed, Mistakes> {
        Self::layered(text, source, &Environment::new())
    }

    /// As [`Self::parse`], with the environment variables that stand over keys of the file.
    pub fn layered(text: &str, source: &str, environment: &Environment) -> Result<Parsed, Mistakes> {
        let is_json =
            source.rsplit_once('.').is_some_and(|(_, extension)| extension.eq_ignore_ascii_case("json"));
        let mut document = if is_json { Document::from_json(text) } else { Document::from_yaml(text) };
        let overlay = Overlay::of(environment);
        let report = Report::new(source, overlay.names().map(Arc::from).collect());
        let readable = document.root.is_some() || document.faults.is_empty();
        overlay.put_over(&mut document);
        for fault in document.faults {
            report.mistake(fault.at, "", fault.problem);
        }
        for (number, problem) in overlay.mistakes() {
            report.mistake(Position::variable(number), "", problem.to_owned());
        }
        for (number, text) in overlay.notices() {
            report.notice(Position::variable(number), "", text.to_owned());
        }
        let mut config = Self::default();
        if readable {
            config = Self::decode(&Cursor::root(document.root.as_deref(), &report));
            check::cross_check(&config, &report);
        }
        let origins = report.origins();
        let notices = report.finish()?;
        Ok(Parsed { config, notices, origins })
    }

    /// As [`Self::parse`], for the bytes of a file, which may not even be text.
    pub fn parse_bytes(bytes: &[u8], source: &str) -> Result<Parsed, Mistakes> {
        match str::from_utf8(bytes) {
            Ok(text) => Self::parse(text, source),
            Err(error) => Err(not_text(bytes, error.valid_up_to(), source)),
        }
    }
}

fn not_text(bytes: &[u8], valid: usize, source: &str) -> Mistakes {
    let before = String::from_utf8_lossy(bytes.get(..valid).unwrap_or_default());
    let (line, last) = before.split('\n').enumerate().last().unwrap_or_default();
    let at = Position::in_file(line + 1, last.chars().count() + 1);
    Mistakes::one(source, at, "not UTF-8 text")
}
