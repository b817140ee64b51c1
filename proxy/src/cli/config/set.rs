//! `config set`: changes one value of the file, and only if the file is good afterwards.

use std::io::Write;

use clap::Args;
use serde_json::{Map, Value};
use vibectl_config::layers::variable_of;

use super::{File, parse, replace};
use crate::cli::outcome::{Failure, say};

/// Arguments of `config set`.
#[derive(Debug, Args)]
pub(super) struct Set {
    /// Key, such as `server.port`
    key: String,
    /// Value, as it would stand in the file (YAML)
    value: String,
    #[command(flatten)]
    file: File,
}

impl Set {
    pub(super) fn run(self, out: &mut dyn Write) -> Result<(), Failure> {
        let (path, text) = self.file.read()?;
        parse(&text, &path)?;
        let value: Value = serde_saphyr::from_str(&self.value)
            .map_err(|error| Failure::Usage(format!("{}: not YAML: {error}", self.key)))?;
        let mut tree = serde_saphyr::from_str(&text).map_err(Failure::running)?;
        put(&mut tree, &self.key, value)?;
        let changed = serde_saphyr::to_string(&tree).map_err(Failure::running)?;
        parse(&changed, &path)?;
        replace(&path, &changed)?;
        if let Some(variable) = variable_of(&self.key).filter(|known| std::env::var_os(&known.name).is_some())
        {
            say(&format!("warning: the environment variable {} stands over it", variable.name));
        }
        writeln!(out, "set {} in {}", self.key, path.display()).map_err(Failure::running)
    }
}

/// Whether such a key exists is checked on the whole file afterwards.
fn put(tree: &mut Value, key: &str, value: Value) -> Result<(), Failure> {
    let mut place = tree;
    for name in key.split('.') {
        // A section with nothing but comments in it.
        if place.is_null() {
            *place = Value::Object(Map::new());
        }
        let Value::Object(section) = place else {
            return Err(Failure::Usage(format!("{key}: {name} is not inside a section")));
        };
        place = section.entry(name).or_insert(Value::Null);
    }
    *place = value;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn missing_sections_are_made_and_the_rest_stays() {
        let mut tree = serde_json::json!({"server": {"port": 1, "host": "a"}});

        put(&mut tree, "server.port", Value::from(2)).expect("a section");
        put(&mut tree, "admin.enabled", Value::from(true)).expect("a new section");

        assert_eq!(tree, serde_json::json!({"server": {"port": 2, "host": "a"}, "admin": {"enabled": true}}));
        assert!(put(&mut tree, "server.port.deeper", Value::Null).is_err());
    }
}
