//! Every key that the schema knows.

use std::collections::BTreeSet;

use crate::{
    decode::{Cursor, Keys, Report},
    document::Document,
    schema::Config,
};

/// A file with one of everything that can occur many times or not at all.
const ONE_OF_EVERYTHING: &str = "
server: {limits: {per_token: {SUBJECT: {}}}}
providers: [{echo: {error: {every: 1}, usage: {input_tokens: 1}}}, {openai: {}}, {azure_openai: {}}, {anthropic: {}}, {gemini: {}}, {bedrock: {}}, {vertex: {}}]
models: [{routes: [{price: {}}]}]
tls: {webhook: {}}
jwt: {migration: {}, issuers: [{callers: [{}]}]}
access: {}
acme: {eab: {}, dns: {rfc2136: {}, exec: {command: [WORD]}}}
fleet: {}
";

/// Every key that holds a value, such as `server.port`, `models[].routes[].weight` and
/// `server.limits.per_token.SUBJECT.max_input_length`; retired ones too.
pub fn keys() -> BTreeSet<String> {
    let asked: BTreeSet<String> = of_schema().asked.iter().map(|key| without_indices(key)).collect();
    asked.iter().filter(|key| !holds_others(&asked, key)).cloned().collect()
}

/// What a key holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Form {
    /// One value.
    One,
    /// A list, or a map of names that a person chooses.
    Many,
}

/// Every key that a single value can be put at: not inside of lists or of maps of chosen names, and not retired.
pub(crate) fn addressable() -> Vec<(String, Form)> {
    let Keys { asked, retired, many } = of_schema();
    let is_inside = |key: &str| many.iter().any(|holder| is_below(key, holder));
    let form = |key: &String| match many.contains(key) {
        true => Some(Form::Many),
        false if holds_others(&asked, key) => None,
        false => Some(Form::One),
    };
    let outside = asked.iter().filter(|key| !retired.contains(*key) && !key.contains('[') && !is_inside(key));
    outside.filter_map(|key| Some((key.clone(), form(key)?))).collect()
}

/// Keys that are still understood and have no future, in order.
#[cfg(test)]
pub(crate) fn retired() -> Vec<String> {
    of_schema().retired.into_iter().collect()
}

fn of_schema() -> Keys {
    let document = Document::from_yaml(ONE_OF_EVERYTHING);
    let report = Report::new("", Vec::new());
    Config::decode(&Cursor::root(document.root.as_deref(), &report));
    report.into_keys()
}

fn holds_others(keys: &BTreeSet<String>, holder: &str) -> bool {
    keys.iter().any(|key| is_below(key, holder))
}

fn is_below(key: &str, holder: &str) -> bool {
    key.strip_prefix(holder).is_some_and(|rest| rest.starts_with(['.', '[']))
}

/// `models[0].name` becomes `models[].name`.
fn without_indices(key: &str) -> String {
    let mut parts = key.split('[');
    let first = parts.next().unwrap_or_default().to_owned();
    parts.fold(first, |key, part| key + "[" + part.trim_start_matches(|char: char| char.is_ascii_digit()))
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::keys;
    use crate::{Config, layers::variable_of, locate::Environment};

    const DOCUMENTATION: &str = include_str!("../../../docs/configuration.md");

    /// The keys of the documentation with their defaults: the lines of its tables that start with a key.
    fn documented() -> impl Iterator<Item = (&'static str, &'static str)> {
        DOCUMENTATION.lines().filter_map(|line| {
            let mut cells = line.strip_prefix("| `")?.split(" | ");
            let key = cells.next()?.strip_suffix('`')?;
            Some((key, cells.next()?)).filter(|_| !key.starts_with("VIBECTL_"))
        })
    }

    /// Four kinds of limits have the same keys and share their lines.
    fn as_documented(key: &str) -> String {
        ["total", "per_namespace", "global", "per_token.SUBJECT"].iter().fold(key.to_owned(), |key, whose| {
            key.replace(&format!("server.limits.{whose}."), "server.limits.WHOSE.")
        })
    }

    #[test]
    fn the_documentation_names_every_key_and_no_other() {
        let documented: BTreeSet<String> = documented().map(|(key, _)| key.to_owned()).collect();
        let known: BTreeSet<String> = keys().iter().map(|key| as_documented(key)).collect();

        let missing: Vec<_> = known.difference(&documented).collect();
        let strange: Vec<_> = documented.difference(&known).collect();

        assert!(missing.is_empty() && strange.is_empty(), "missing: {missing:#?} strange: {strange:#?}");
    }

    #[test]
    fn the_documented_defaults_are_the_defaults() {
        let single = documented().filter(|(key, _)| !key.contains("[]") && !key.starts_with("access."));
        for (key, default) in single {
            let Some(value) = default.strip_prefix('`').and_then(|value| value.strip_suffix('`')) else {
                continue;
            };
            let mut levels = key.split('.').rev();
            let last = levels.next().unwrap();
            let file =
                levels.fold(format!("{last}: {value}"), |inner, level| format!("{level}: {{{inner}}}"));
            let without = if key.starts_with("fleet.") { "fleet: {}" } else { "" };

            let config = |text: &str| Config::parse(text, "docs").unwrap().config;
            assert_eq!(config(&file), config(without), "{file}");
        }
    }

    #[test]
    fn the_documented_defaults_can_be_said_by_variables_too() {
        let mut said = 0;
        for (key, default) in documented().filter(|(key, _)| !key.starts_with("access.")) {
            let value = default.strip_prefix('`').and_then(|value| value.strip_suffix('`'));
            let Some((variable, value)) = variable_of(key).zip(value) else { continue };
            let without = if key.starts_with("fleet.") { "fleet: {}" } else { "" };

            let environment = Environment::from([(variable.name.clone(), value.to_owned())]);
            let config = Config::layered(without, "docs", &environment).unwrap().config;

            assert_eq!(config, Config::parse(without, "docs").unwrap().config, "{}", variable.name);
            said += 1;
        }
        assert!(said > 20, "{said}");
    }

    #[test]
    fn keys_reach_into_everything_that_repeats() {
        let keys = keys();

        for key in [
            "server.port",
            "server.limits.per_token.SUBJECT.max_input_length",
            "providers[].echo.error.every",
            "providers[].openai.base_url",
            "models[].routes[].weight",
            "acme.challenge.type",
            "fleet.dir",
        ] {
            assert!(keys.contains(key), "{key} {keys:#?}");
        }
        assert!(!keys.contains("server") && !keys.contains("models"));
    }
}
