//! `config show`: what a server would run with.

use std::io::{self, Write};

use clap::{Args, ValueEnum};
use serde_json::{Map, Value, json};
use vibectl_config::Leaf;

use super::selection::{Found, select};
use super::{File, leaves, write_json};
use crate::cli::outcome::Failure;

/// Arguments of `config show`.
#[derive(Debug, Args)]
pub(super) struct Show {
    /// Section or key, such as `server` or `server.port`; all without it
    #[arg(value_name = "SECTION")]
    name: Option<String>,
    /// The same, by name
    #[arg(long, value_name = "SECTION", conflicts_with = "name")]
    section: Option<String>,
    /// How to print
    #[arg(long, value_enum, default_value_t = Format::Yaml, value_name = "FORMAT")]
    format: Format,
    /// Tell where each value comes from
    #[arg(long)]
    origin: bool,
    /// Print secrets as they are
    #[arg(long)]
    include_secrets: bool,
    #[command(flatten)]
    file: File,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Format {
    Yaml,
    Json,
}

impl Show {
    pub(super) fn run(self, out: &mut dyn Write) -> Result<(), Failure> {
        let name = self.section.or(self.name);
        let (_, parsed) = self.file.in_effect()?;
        let found = select(leaves(&parsed, self.include_secrets)?, name.as_deref())?;
        let section = name.as_deref().unwrap_or_default();
        match (found, self.format) {
            (Found::Section(leaves), Format::Json) => write_json(&tree(&leaves, section, self.origin), out),
            (Found::Value(leaf), Format::Json) => write_json(&with_origin(&leaf, self.origin), out),
            (Found::Section(leaves), Format::Yaml) => yaml(&leaves, section, self.origin, out),
            (Found::Value(leaf), Format::Yaml) => {
                let value = block(&leaf.value)?;
                writeln!(out, "{value}{}", comment(&leaf, self.origin))
            }
        }
        .map_err(Failure::running)
    }
}

/// The keys without the name of the section, as the tree that they are.
fn tree(leaves: &[Leaf], section: &str, origin: bool) -> Value {
    let mut root = Value::Object(Map::new());
    for leaf in leaves {
        let mut place = &mut root;
        for name in names_below(leaf, section) {
            let Value::Object(map) = place else { break };
            place = map.entry(name).or_insert_with(|| Value::Object(Map::new()));
        }
        *place = with_origin(leaf, origin);
    }
    root
}

fn with_origin(leaf: &Leaf, origin: bool) -> Value {
    if origin { json!({"value": leaf.value, "origin": leaf.origin.to_string()}) } else { leaf.value.clone() }
}

/// As the file could look, with a comment at each value where it is asked for.
fn yaml(leaves: &[Leaf], section: &str, origin: bool, out: &mut dyn Write) -> io::Result<()> {
    let mut open: Vec<&str> = Vec::new();
    for leaf in leaves {
        let names: Vec<&str> = names_below(leaf, section).collect();
        let Some((last, above)) = names.split_last() else { continue };
        let common = open.iter().zip(above).take_while(|(one, other)| one == other).count();
        for (depth, name) in above.iter().enumerate().skip(common) {
            writeln!(out, "{:indent$}{name}:", "", indent = 2 * depth)?;
        }
        open = above.to_vec();
        let indent = 2 * above.len();
        let value = block(&leaf.value).map_err(|_| io::ErrorKind::InvalidData)?;
        let comment = comment(leaf, origin);
        if is_long(&leaf.value) {
            writeln!(out, "{:indent$}{last}:{comment}", "")?;
            for line in value.lines() {
                writeln!(out, "{:indent$}  {line}", "")?;
            }
        } else {
            writeln!(out, "{:indent$}{last}: {value}{comment}", "")?;
        }
    }
    Ok(())
}

fn names_below<'a>(leaf: &'a Leaf, section: &str) -> impl Iterator<Item = &'a str> {
    let below = leaf.key.strip_prefix(section).map_or(leaf.key.as_str(), |rest| rest.trim_start_matches('.'));
    below.split('.')
}

fn comment(leaf: &Leaf, origin: bool) -> String {
    if origin { format!("  # {}", leaf.origin) } else { String::new() }
}

/// Lists and maps that have something in them do not fit behind their key.
fn is_long(value: &Value) -> bool {
    match value {
        Value::Array(items) => !items.is_empty(),
        Value::Object(map) => !map.is_empty(),
        _ => false,
    }
}

fn block(value: &Value) -> Result<String, Failure> {
    Ok(serde_saphyr::to_string(value).map_err(Failure::running)?.trim_end().to_owned())
}

#[cfg(test)]
mod tests {
    use vibectl_config::layers::Origin;

    use super::*;

    fn leaves() -> Vec<Leaf> {
        let leaf = |key: &str, value, origin| Leaf { key: key.to_owned(), value, origin };
        vec![
            leaf("acme.domains", json!([]), Origin::Default),
            leaf("models", json!([{"name": "small"}]), Origin::File { line: 9 }),
            leaf("server.host", json!("0.0.0.0"), Origin::Default),
            leaf("server.limits.global.max", json!(null), Origin::Default),
            leaf("server.port", json!(7), Origin::Variable("VIBECTL_SERVER_PORT".to_owned())),
        ]
    }

    fn shown(leaves: &[Leaf], section: &str, origin: bool) -> String {
        let mut out = Vec::new();
        yaml(leaves, section, origin, &mut out).expect("written");
        String::from_utf8(out).expect("text")
    }

    #[test]
    fn what_is_shown_is_yaml_of_the_same_values() {
        let text = shown(&leaves(), "", true);

        let read: Value = serde_saphyr::from_str(&text).expect("YAML");
        assert_eq!(read, tree(&leaves(), "", false), "{text}");
        assert!(text.contains("  port: 7  # environment, VIBECTL_SERVER_PORT\n"), "{text}");
    }

    #[test]
    fn a_section_is_shown_without_its_name() {
        let section: Vec<Leaf> =
            leaves().into_iter().filter(|leaf| leaf.key.starts_with("server.")).collect();

        let text = shown(&section, "server", false);

        assert!(text.starts_with("host: ") && text.ends_with("port: 7\n"), "{text}");
        assert_eq!(tree(&section, "server", true)["port"]["origin"], "environment, VIBECTL_SERVER_PORT");
    }
}
