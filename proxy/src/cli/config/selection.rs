//! Which part of a config is asked for.

use serde_json::Value;
use vibectl_config::Leaf;

use crate::cli::outcome::Failure;

/// What a name leads to.
#[derive(Debug, PartialEq)]
pub(super) enum Found {
    /// Several keys, with their whole names.
    Section(Vec<Leaf>),
    /// One value.
    Value(Leaf),
}

/// What is at `name`; everything without one. A name may reach into a list or map: `models.0.name`.
pub(super) fn select(leaves: Vec<Leaf>, name: Option<&str>) -> Result<Found, Failure> {
    let Some(name) = name else { return Ok(Found::Section(leaves)) };
    let section: Vec<Leaf> = leaves.iter().filter(|leaf| below(&leaf.key, name).is_some()).cloned().collect();
    if !section.is_empty() {
        return Ok(Found::Section(section));
    }
    let unknown = || Failure::Usage(format!("no such key: {name}; `vibectl-server config show` prints all"));
    let holder = leaves.into_iter().find(|leaf| leaf.key == name || below(name, &leaf.key).is_some());
    let holder = holder.ok_or_else(unknown)?;
    let inside = below(name, &holder.key).map(|rest| rest.split('.').collect()).unwrap_or_default();
    let value = descend(&holder.value, inside).ok_or_else(unknown)?.clone();
    Ok(Found::Value(Leaf { key: name.to_owned(), value, origin: holder.origin }))
}

/// What of `key` is below `section`.
fn below<'a>(key: &'a str, section: &str) -> Option<&'a str> {
    key.strip_prefix(section)?.strip_prefix('.')
}

fn descend<'a>(value: &'a Value, names: Vec<&str>) -> Option<&'a Value> {
    names.into_iter().try_fold(value, |value, name| match value {
        Value::Array(items) => items.get(name.parse::<usize>().ok()?),
        value => value.get(name),
    })
}

#[cfg(test)]
mod tests {
    use serde_json::json;
    use vibectl_config::layers::Origin;

    use super::*;

    fn leaf(key: &str, value: Value) -> Leaf {
        Leaf { key: key.to_owned(), value, origin: Origin::Default }
    }

    fn leaves() -> Vec<Leaf> {
        vec![
            leaf("models", json!([{"name": "small"}])),
            leaf("server.host", json!("a")),
            leaf("server.port", json!(1)),
            leaf("server_name", json!("x")),
        ]
    }

    #[test]
    fn a_name_leads_to_a_section_a_value_or_into_one() {
        let section = vec![leaf("server.host", json!("a")), leaf("server.port", json!(1))];

        assert_eq!(select(leaves(), Some("server")).expect("known"), Found::Section(section));
        assert_eq!(
            select(leaves(), Some("server.port")).expect("known"),
            Found::Value(leaf("server.port", json!(1)))
        );
        assert_eq!(
            select(leaves(), Some("models.0.name")).expect("known"),
            Found::Value(leaf("models.0.name", json!("small")))
        );
    }

    #[test]
    fn a_name_that_leads_nowhere_is_a_mistake() {
        for name in ["serve", "server.prot", "models.1", "models.x", "server.port.x", ""] {
            assert!(matches!(select(leaves(), Some(name)), Err(Failure::Usage(_))), "{name}");
        }
    }
}
