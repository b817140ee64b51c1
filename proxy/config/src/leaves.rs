//! A config key by key, defaults included: for people and programs that look at one.

use serde_json::{Map, Value};

use crate::{
    differences,
    keys::{self, Form},
    layers::Origin,
    parse::Parsed,
    render::RenderError,
};

/// One key with its value.
#[derive(Clone, Debug, PartialEq)]
pub struct Leaf {
    /// The key, such as `server.port`.
    pub key: String,
    /// What it holds; lists, and maps of chosen names, as a whole.
    pub value: Value,
    /// Where that comes from.
    pub origin: Origin,
}

/// Whether secrets are shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Secrets {
    /// `<hidden>` stands in their place.
    Hidden,
    /// As they are: somebody asked for them.
    Shown,
}

impl Parsed {
    /// Every key with its value, in order. Keys without a value are null.
    pub fn leaves(&self, secrets: Secrets) -> Result<Vec<Leaf>, RenderError> {
        let tree = differences::with_defaults(|| serde_json::to_value(&self.config))?;
        let mut leaves: Vec<Leaf> = keys::addressable()
            .into_iter()
            .map(|(key, form)| {
                let value = key.split('.').try_fold(&tree, |tree, name| tree.get(name));
                let value = value.cloned().unwrap_or_else(|| nothing(form));
                Leaf { origin: self.origin(&key), key, value }
            })
            .collect();
        if secrets == Secrets::Shown {
            let secret = self.config.jwt.secret_key.as_ref();
            for leaf in leaves.iter_mut().filter(|leaf| leaf.key == "jwt.secret_key") {
                leaf.value = secret.map_or(Value::Null, |secret| Value::from(secret.expose()));
            }
        }
        Ok(leaves)
    }
}

/// What a key holds that a section leaves out, or whose section is not there.
fn nothing(form: Form) -> Value {
    match form {
        Form::One => Value::Null,
        Form::Many => Value::Object(Map::new()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{HIDDEN, schema::Config};

    fn leaf(leaves: &[Leaf], key: &str) -> Leaf {
        leaves.iter().find(|leaf| leaf.key == key).unwrap().clone()
    }

    #[test]
    fn every_key_is_there_with_its_value_and_where_it_comes_from() {
        let parsed = Config::parse("server:\n  port: 7\n", "c.yaml").unwrap();

        let leaves = parsed.leaves(Secrets::Hidden).unwrap();

        assert_eq!(leaf(&leaves, "server.port").value, Value::from(7));
        assert_eq!(leaf(&leaves, "server.port").origin, Origin::File { line: 2 });
        assert_eq!(leaf(&leaves, "server.host").value, Value::from("0.0.0.0"));
        assert_eq!(leaf(&leaves, "server.host").origin, Origin::Default);
        assert_eq!(leaf(&leaves, "jwt.secret_key").value, Value::Null);
        assert_eq!(leaf(&leaves, "fleet.port").value, Value::Null);
        assert_eq!(leaf(&leaves, "providers").value[0]["name"], "echo");
        assert_eq!(leaves.len(), keys::addressable().len());
    }

    #[test]
    fn a_secret_is_shown_only_to_whom_asks_for_it() {
        let parsed = Config::parse("jwt: {secret_key: hunter2}", "c.yaml").unwrap();

        let shown = |secrets| leaf(&parsed.leaves(secrets).unwrap(), "jwt.secret_key").value;

        assert_eq!(shown(Secrets::Hidden), HIDDEN);
        assert_eq!(shown(Secrets::Shown), "hunter2");
    }

    #[test]
    fn what_is_rendered_afterwards_is_without_defaults_again() {
        let config = Config::default();
        Config::parse("", "").unwrap().leaves(Secrets::Hidden).unwrap();

        assert_eq!(crate::show(&config).unwrap().trim(), "{}");
    }
}
