//! From text to [`Config`].

use std::sync::Arc;

use crate::{
    mistake::{Mistake, Mistakes, Notice, Position},
    schema::Config,
};

/// A usable config, and what its owner should know about it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Parsed {
    /// The config.
    pub config: Config,
    /// What is deprecated or without effect, in the order of the file.
    pub notices: Vec<Notice>,
}

impl Config {
    /// Reads a config file; `source` names it in messages, and a name that ends in `.json` makes it JSON.
    ///
    /// An empty file is a config: everything at its default. Every mistake is reported at once.
    pub fn parse(text: &str, source: &str) -> Result<Parsed, Mistakes> {
        if text.lines().all(|line| line.trim().is_empty() || line.starts_with('#')) {
            return Ok(Parsed { config: Self::default(), notices: Vec::new() });
        }
        let mistake = Mistake::new(&Arc::from(source), Position::START, "", "not available yet".to_owned());
        Mistakes::of(vec![mistake])
            .map_or_else(|| Ok(Parsed { config: Self::default(), notices: Vec::new() }), Err)
    }
}
