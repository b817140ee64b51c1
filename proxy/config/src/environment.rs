//! Environment variables: one for every key of the config, by rule.
//!
//! `server.port` is `VIBECTL_SERVER_PORT`; a few keys have the names that the original documents. What stands at a key by
//! a variable is decoded like what stands there in the file, and a mistake names the variable.

use std::{collections::BTreeMap, sync::LazyLock};

use crate::{
    decode::nearest,
    document::Document,
    keys::{self, Form},
    locate::{Environment, VARIABLES as DIRECTORIES},
};

/// An environment variable that stands over a key of the config.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Variable {
    /// Its name.
    pub name: String,
    /// The key that it stands over.
    pub key: String,
    /// Whether its value is YAML: a list or a map.
    pub is_yaml: bool,
}

/// Keys whose variables have the names that the original documents.
const DOCUMENTED: [(&str, &str); 3] = [
    ("server.log_level", "VIBECTL_LOG_LEVEL"),
    ("jwt.secret_key", "VIBECTL_JWT_SECRET"),
    ("jwt.secret_key_file", "VIBECTL_JWT_SECRET_FILE"),
];

/// Keys that stand in for each other: where a variable gives one of them, none of them is taken from the file.
const TOGETHER: [&[&str]; 3] = [
    &["jwt.secret_key", "jwt.secret_key_file"],
    &["tls.enabled", "server.use_tls"],
    &["tls.cert_file", "tls.key_file", "server.cert_file", "server.key_file"],
];

/// The one variable that is not unset by being empty: a secret that went missing on its way must not be replaced.
const NEVER_EMPTY: &str = "VIBECTL_JWT_SECRET";

/// Variables of the client, which often shares its machine with a server. Those of the keys of its providers are told by
/// their end.
const OF_THE_CLIENT: [&str; 5] = [
    "VIBECTL_CA_BUNDLE",
    "VIBECTL_CLIENT_CONFIG_DIR",
    "VIBECTL_CONFIG_DIR",
    "VIBECTL_JWT_TOKEN",
    "VIBECTL_TRACEBACK",
];

const PREFIX: &str = "VIBECTL_";

static VARIABLES: LazyLock<Vec<Variable>> = LazyLock::new(|| {
    let name = |key: &str| {
        let documented = DOCUMENTED.iter().find(|(known, _)| *known == key);
        documented.map_or_else(|| by_rule(key), |(_, name)| (*name).to_owned())
    };
    let variable =
        |(key, form): (String, Form)| Variable { name: name(&key), key, is_yaml: form == Form::Many };
    keys::addressable().into_iter().map(variable).collect()
});

/// Every variable that stands over a key, in the order of the keys.
pub fn variables() -> &'static [Variable] {
    &VARIABLES
}

/// The variable of a key; none for keys inside of lists, and for retired ones.
pub fn variable_of(key: &str) -> Option<&'static Variable> {
    VARIABLES.iter().find(|variable| variable.key == key)
}

fn by_rule(key: &str) -> String {
    PREFIX.to_owned() + &key.replace('.', "_").to_uppercase()
}

/// The variables of ours that are set, each with what is to be done about it.
#[derive(Debug, Default)]
pub(crate) struct Overlay<'a> {
    set: Vec<(&'a str, Finding<'a>)>,
}

#[derive(Debug)]
enum Finding<'a> {
    Value(&'static Variable, &'a str),
    Mistake(String),
    Notice(String),
}

impl<'a> Overlay<'a> {
    /// Looks at every variable whose name is one of ours, or could be meant to be.
    pub(crate) fn of(environment: &'a Environment) -> Self {
        let ours = environment.range(PREFIX.to_owned()..).take_while(|(name, _)| name.starts_with(PREFIX));
        Self { set: ours.filter_map(|(name, value)| Some((name.as_str(), find(name, value)?))).collect() }
    }

    /// The names of the variables, by their numbers.
    pub(crate) fn names(&self) -> impl Iterator<Item = &str> {
        self.set.iter().map(|(name, _)| *name)
    }

    /// Puts the values over a file.
    pub(crate) fn put_over(&self, document: &mut Document) {
        let values = || {
            self.set.iter().enumerate().filter_map(|(number, (_, finding))| match finding {
                Finding::Value(variable, value) => Some((number, *variable, *value)),
                Finding::Mistake(_) | Finding::Notice(_) => None,
            })
        };
        for group in TOGETHER {
            if values().any(|(_, variable, _)| group.contains(&variable.key.as_str())) {
                for key in group {
                    document.remove(key);
                }
            }
        }
        for (number, Variable { key, is_yaml, .. }, value) in values() {
            if *is_yaml {
                document.put_yaml(key, value, number);
            } else {
                document.put_text(key, value, number);
            }
        }
    }

    /// Variables that cannot be meant as they are, with their numbers.
    pub(crate) fn mistakes(&self) -> impl Iterator<Item = (usize, &str)> {
        self.set.iter().enumerate().filter_map(|(number, (_, finding))| match finding {
            Finding::Mistake(text) => Some((number, text.as_str())),
            Finding::Value(..) | Finding::Notice(_) => None,
        })
    }

    /// Variables that are not read and look as if they should be, with their numbers.
    pub(crate) fn notices(&self) -> impl Iterator<Item = (usize, &str)> {
        self.set.iter().enumerate().filter_map(|(number, (_, finding))| match finding {
            Finding::Notice(text) => Some((number, text.as_str())),
            Finding::Value(..) | Finding::Mistake(_) => None,
        })
    }
}

fn find<'a>(name: &str, value: &'a str) -> Option<Finding<'a>> {
    if let Some(variable) = VARIABLES.iter().find(|variable| variable.name == name) {
        return match value {
            "" if name == NEVER_EMPTY => Some(Finding::Mistake(
                "is set and empty; unset it to use another place of the secret".to_owned(),
            )),
            "" => None,
            link if is_service_link(name, link) => Some(Finding::Notice(
                "not read: this is how Kubernetes tells of a Service of that name (enableServiceLinks)"
                    .to_owned(),
            )),
            value => Some(Finding::Value(variable, value)),
        };
    }
    if let Some((_, right)) = DOCUMENTED.iter().find(|(key, _)| by_rule(key) == name) {
        return Some(Finding::Mistake(format!("not read by anything; use {right}")));
    }
    if is_of_others(name, value) {
        return None;
    }
    let known: BTreeMap<&str, &str> = VARIABLES
        .iter()
        .filter_map(|Variable { name, .. }| Some((name.strip_prefix(PREFIX)?, name.as_str())))
        .collect();
    let candidates: Vec<&str> = known.keys().copied().collect();
    match nearest(name.strip_prefix(PREFIX)?, &candidates).and_then(|near| known.get(near)) {
        Some(near) => Some(Finding::Notice(format!("not read by the server; did you mean {near}?"))),
        None if names_a_section(name) => Some(Finding::Notice(
            "not read by the server; `vibectl-server config precedence` lists the variables that are"
                .to_owned(),
        )),
        None => None,
    }
}

fn names_a_section(name: &str) -> bool {
    VARIABLES.iter().any(|Variable { key, .. }| {
        let section = by_rule(key.split('.').next().unwrap_or_default());
        name.strip_prefix(section.as_str()).is_some_and(|rest| rest.starts_with('_'))
    })
}

fn is_of_others(name: &str, value: &str) -> bool {
    OF_THE_CLIENT.contains(&name)
        || DIRECTORIES.iter().any(|(directory, _)| *directory == name)
        || name.ends_with("_API_KEY")
        || name.ends_with("_API_KEY_FILE")
        || name.contains("_SERVICE_HOST")
        || name.contains("_SERVICE_PORT")
        || is_service_link(name, value)
}

/// What Kubernetes sets in each pod for each Service: `NAME_PORT=tcp://10.0.0.1:443` and `NAME_PORT_443_TCP...`.
fn is_service_link(name: &str, value: &str) -> bool {
    let is_protocol = |part: &str| matches!(part, "TCP" | "UDP" | "SCTP");
    (name.contains("_PORT_") && name.split('_').any(is_protocol))
        || (name.ends_with("_PORT")
            && ["tcp://", "udp://", "sctp://"].iter().any(|link| value.starts_with(link)))
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;
    use crate::{
        layers::Origin,
        parse::Parsed,
        schema::{Config, JwtAlgorithm, LogLevel},
        secret::Secret,
    };

    fn environment(variables: &[(&str, &str)]) -> Environment {
        variables.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
    }

    fn layered(file: &str, variables: &[(&str, &str)]) -> Result<Parsed, String> {
        Config::layered(file, "c.yaml", &environment(variables)).map_err(|mistakes| mistakes.to_string())
    }

    fn config(file: &str, variables: &[(&str, &str)]) -> Config {
        layered(file, variables).unwrap().config
    }

    #[test]
    fn variables_stand_over_the_file_and_leave_the_rest_of_it() {
        let file = "server: {host: 127.0.0.9, port: 1}\nadmin:\n";
        let variables = [
            ("VIBECTL_SERVER_PORT", "7"),
            ("VIBECTL_ADMIN_ENABLED", "true"),
            ("VIBECTL_LOG_LEVEL", "DEBUG"),
            ("VIBECTL_JWT_ISSUER", "123"),
            ("VIBECTL_JWT_ALGORITHM", "hs256"),
            ("VIBECTL_SERVER_LIMITS_GLOBAL_MAX_REQUESTS_PER_MINUTE", "5"),
        ];

        let config = config(file, &variables);

        assert_eq!((config.server.host.as_str(), config.server.port), ("127.0.0.9", 7));
        assert_eq!((config.admin.enabled, config.server.log_level), (true, LogLevel::Debug));
        assert_eq!((config.jwt.issuer.as_str(), config.jwt.algorithm), ("123", JwtAlgorithm::Hs256));
        assert_eq!(config.server.limits.global.max_requests_per_minute, Some(5));
    }

    #[test]
    fn lists_and_maps_are_yaml() {
        let variables = [
            ("VIBECTL_PROVIDERS", "[{name: local, openai: {base_url: 'http://llama:8000/v1'}}]"),
            ("VIBECTL_MODELS", "- {name: small, routes: [{provider: local, model: llama}]}"),
            ("VIBECTL_MODEL_ALIASES", "{tiny: small}"),
            ("VIBECTL_SERVER_LIMITS_PER_TOKEN", "{alice: {max_concurrent_requests: 2}}"),
        ];

        let config = config("models: []", &variables);

        assert_eq!(config.model("tiny").unwrap().routes[0].model, "llama");
        assert_eq!(config.server.limits.per_token["alice"].max_concurrent_requests, Some(2));
    }

    #[test]
    fn mistakes_name_the_variable_and_the_key_and_show_no_secret() {
        let mistakes = layered(
            "server: {prot: 1}",
            &[
                ("VIBECTL_SERVER_PORT", "70000"),
                ("VIBECTL_JWT_SECRET", ""),
                ("VIBECTL_JWT_SECRET_KEY", "hunter2"),
                ("VIBECTL_JWT_SECRET_KEY_FILE", "/f"),
                ("VIBECTL_ADMIN_ENABLED", "yes"),
                ("VIBECTL_MODELS", "[{name: "),
                ("VIBECTL_MODEL_ALIASES", "{tiny: gone}"),
            ],
        )
        .unwrap_err();

        for line in [
            "c.yaml:1:10: server.prot: unknown key; did you mean port?",
            "environment variable VIBECTL_SERVER_PORT: server.port: expected an integer from 1 to 65535, found \"70000\"",
            "environment variable VIBECTL_JWT_SECRET: is set and empty; unset it to use another place of the secret",
            "environment variable VIBECTL_JWT_SECRET_KEY: not read by anything; use VIBECTL_JWT_SECRET",
            "environment variable VIBECTL_JWT_SECRET_KEY_FILE: not read by anything; use VIBECTL_JWT_SECRET_FILE",
            "environment variable VIBECTL_ADMIN_ENABLED: admin.enabled: expected true or false, found \"yes\"",
            "environment variable VIBECTL_MODELS: not valid YAML",
            "environment variable VIBECTL_MODEL_ALIASES: model_aliases.tiny: no model is called \"gone\"",
        ] {
            assert!(mistakes.contains(line), "{line}\n{mistakes}");
        }
        assert!(!mistakes.contains("hunter2"), "{mistakes}");
    }

    #[test]
    fn an_empty_variable_counts_as_unset() {
        assert_eq!(config("", &[("VIBECTL_LOG_LEVEL", ""), ("VIBECTL_SERVER_PORT", "")]), Config::default());
    }

    #[test]
    fn keys_that_stand_in_for_each_other_are_never_mixed_from_file_and_variables() {
        let of_file = "jwt: {secret_key: file}\nserver: {use_tls: true, cert_file: /c, key_file: /k}";

        let secret = config(of_file, &[("VIBECTL_JWT_SECRET_FILE", "/run/secret")]).jwt;
        let off = config(of_file, &[("VIBECTL_TLS_ENABLED", "false")]).tls;
        let both = [("VIBECTL_TLS_CERT_FILE", "/other.crt"), ("VIBECTL_TLS_KEY_FILE", "/other.key")];
        let pair = config(of_file, &both).tls;

        assert_eq!((secret.secret_key, secret.secret_key_file), (None, Some("/run/secret".into())));
        assert_eq!(off.enabled, Some(false));
        assert_eq!((pair.cert_file, pair.key_file), (Some("/other.crt".into()), Some("/other.key".into())));
        let half = layered(of_file, &both[..1]).unwrap_err();
        assert!(half.contains("tls.key_file is missing"), "{half}");
    }

    #[test]
    fn the_secret_itself_comes_before_its_file() {
        let variables = [("VIBECTL_JWT_SECRET", "true"), ("VIBECTL_JWT_SECRET_FILE", "/f")];

        assert_eq!(config("", &variables).jwt.secret_key, Some(Secret::new("true")));
    }

    #[test]
    fn a_slip_is_told_and_what_belongs_to_others_is_left_alone() {
        let of_others = [
            ("VIBECTL_CA_BUNDLE", "/ca"),
            ("VIBECTL_JWT_TOKEN", "t"),
            ("VIBECTL_ANTHROPIC_API_KEY", "k"),
            ("VIBECTL_SERVER_CONFIG_DIR", "/d"),
            ("VIBECTL_CACHE", "/c"),
            ("VIBECTL_SERVER_SERVICE_HOST", "10.0.0.1"),
            ("VIBECTL_SERVER_PORT_50051_TCP_ADDR", "10.0.0.1"),
            ("VIBECTL_SERVER_SERVICE_PORT_GRPC", "50051"),
        ];
        assert_eq!(layered("", &of_others).unwrap().notices, []);

        let slips =
            layered("", &[("VIBECTL_SERVER_PROT", "1"), ("VIBECTL_TLS_SOMETHING_ELSE", "x")]).unwrap();

        let told: Vec<String> = slips.notices.iter().map(ToString::to_string).collect();
        assert_eq!(
            told[0],
            "environment variable VIBECTL_SERVER_PROT: not read by the server; did you mean VIBECTL_SERVER_PORT?"
        );
        assert!(told[1].starts_with("environment variable VIBECTL_TLS_SOMETHING_ELSE: not read"), "{told:?}");
    }

    /// A Service called `vibectl-server` would otherwise keep every server beside it from starting.
    #[test]
    fn the_link_to_a_kubernetes_service_is_no_port() {
        let parsed = layered("", &[("VIBECTL_SERVER_PORT", "tcp://10.96.0.7:50051")]).unwrap();

        assert_eq!(parsed.config, Config::default());
        assert!(parsed.notices[0].to_string().contains("enableServiceLinks"));
    }

    #[test]
    fn every_key_has_a_variable_and_no_two_share_one() {
        let names: BTreeSet<&str> = variables().iter().map(|variable| variable.name.as_str()).collect();

        assert_eq!(names.len(), variables().len());
        for name in
            ["VIBECTL_TLS_ENABLED", "VIBECTL_TLS_CERT_FILE", "VIBECTL_TLS_KEY_FILE", "VIBECTL_PROVIDERS"]
        {
            assert!(names.contains(name), "{name}");
        }
        assert!(!names.iter().any(|name| name.contains("SUBJECT") || name.contains('[')), "{names:?}");
        let without: Vec<String> = keys::keys()
            .into_iter()
            .filter(|key| {
                !variables().iter().any(|known| {
                    *key == known.key
                        || key.starts_with(&format!("{}.", known.key))
                        || key.starts_with(&format!("{}[", known.key))
                })
            })
            .collect();
        assert_eq!(without, keys::retired());
    }

    /// A key that holds a list, and of which the schema does not say so, could not be given by its variable.
    #[test]
    fn a_variable_that_is_not_yaml_is_for_a_key_that_holds_one_value() {
        for Variable { name, .. } in variables().iter().filter(|variable| !variable.is_yaml) {
            let mistakes = layered("", &[(name, "x")]).err().unwrap_or_default();

            assert!(
                !mistakes.contains("expected a list") && !mistakes.contains("expected a map"),
                "{mistakes}"
            );
        }
        assert!(variable_of("acme.dns.exec.command").unwrap().is_yaml);
    }

    #[test]
    fn it_is_known_where_each_value_comes_from() {
        let file = "server:\n  port: 1\n  host: a\n  use_tls: true\n";

        let parsed = layered(file, &[("VIBECTL_SERVER_PORT", "2")]).unwrap();

        let origin = |key: &str| parsed.origin(key);
        assert_eq!(origin("server.port"), Origin::Variable("VIBECTL_SERVER_PORT".to_owned()));
        assert_eq!(origin("server.host"), Origin::File { line: 3 });
        assert_eq!(origin("tls.enabled"), Origin::File { line: 4 });
        assert_eq!(origin("jwt.issuer"), Origin::Default);
    }
}
