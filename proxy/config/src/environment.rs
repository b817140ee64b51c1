//! The documented environment variables and the keys that they stand over.

use std::{error::Error, fmt, path::PathBuf};

use vibectl_token::standalone::Lifetime;

use crate::{
    layers::{JwtSecret, Overrides},
    locate::Environment,
    schema::{JwtAlgorithm, LogLevel},
    secret::Secret,
};

/// An environment variable that the server reads.
#[derive(Clone, Copy, Debug)]
pub struct Variable {
    /// Its name.
    pub name: &'static str,
    /// The key of the config that it stands over.
    pub key: &'static str,
    /// What it holds.
    pub meaning: &'static str,
    read: fn(&str, &mut Overrides) -> Result<(), &'static str>,
}

/// Every variable that stands over a key of the config. An empty one counts as unset, except for the secret.
pub const VARIABLES: [Variable; 6] = [
    Variable {
        name: "VIBECTL_LOG_LEVEL",
        key: "server.log_level",
        meaning: "debug, info, warning or error",
        read: |text, overrides| {
            overrides.log_level =
                Some(LogLevel::from_name(text).ok_or("expected one of debug, info, warning, error")?);
            Ok(())
        },
    },
    // The file comes before the secret, which therefore wins where both are set.
    Variable {
        name: "VIBECTL_JWT_SECRET_FILE",
        key: "jwt.secret_key_file",
        meaning: "a file with the shared secret",
        read: |text, overrides| {
            overrides.jwt_secret = Some(JwtSecret::File(PathBuf::from(text)));
            Ok(())
        },
    },
    Variable {
        name: "VIBECTL_JWT_SECRET",
        key: "jwt.secret_key",
        meaning: "the shared secret itself, before all other places",
        read: |text, overrides| {
            overrides.jwt_secret = Some(JwtSecret::Value(Secret::new(text)));
            Ok(())
        },
    },
    Variable {
        name: "VIBECTL_JWT_ALGORITHM",
        key: "jwt.algorithm",
        meaning: "HS256",
        read: |text, overrides| {
            overrides.jwt_algorithm = Some(JwtAlgorithm::from_name(text).ok_or("expected HS256")?);
            Ok(())
        },
    },
    Variable {
        name: "VIBECTL_JWT_ISSUER",
        key: "jwt.issuer",
        meaning: "who issues the tokens",
        read: |text, overrides| {
            overrides.jwt_issuer = Some(text.to_owned());
            Ok(())
        },
    },
    Variable {
        name: "VIBECTL_JWT_EXPIRATION_DAYS",
        key: "jwt.expiration_days",
        meaning: "how many days a new token is good for",
        read: |text, overrides| {
            let days = text.trim().parse().ok().filter(|days| (1..=Lifetime::MAX_DAYS).contains(days));
            overrides.jwt_expiration_days = Some(days.ok_or("expected an integer from 1 to 36500")?);
            Ok(())
        },
    },
];

/// Variables that people set because some document names them, with the one that is read.
const MISTAKEN: [(&str, &str); 1] = [("VIBECTL_JWT_SECRET_KEY", "VIBECTL_JWT_SECRET")];

/// The one variable that is not unset by being empty: a secret that went missing on its way must not be replaced.
const NEVER_EMPTY: &str = "VIBECTL_JWT_SECRET";

/// One variable that cannot be used. Its value is never shown.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EnvironmentMistake {
    /// The name of the variable.
    pub variable: &'static str,
    /// What is wrong with it.
    pub problem: String,
}

/// Every variable that cannot be used; never empty. Displayed as one line each.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EnvironmentMistakes(Vec<EnvironmentMistake>);

impl EnvironmentMistakes {
    /// The mistakes, in the order of [`VARIABLES`].
    pub fn iter(&self) -> impl Iterator<Item = &EnvironmentMistake> {
        self.0.iter()
    }
}

impl fmt::Display for EnvironmentMistake {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "environment variable {}: {}", self.variable, self.problem)
    }
}

impl fmt::Display for EnvironmentMistakes {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, mistake) in self.0.iter().enumerate() {
            let separator = if index > 0 { "\n" } else { "" };
            write!(formatter, "{separator}{mistake}")?;
        }
        Ok(())
    }
}

impl Error for EnvironmentMistakes {}

pub(crate) fn read(environment: &Environment) -> Result<Overrides, EnvironmentMistakes> {
    let mut overrides = Overrides::default();
    let mut mistakes = Vec::new();
    for Variable { name, read, .. } in &VARIABLES {
        let problem = match environment.get(*name).map_or("", String::as_str) {
            "" if *name == NEVER_EMPTY && environment.contains_key(*name) => {
                Some("is set and empty; unset it to use another place of the secret")
            }
            "" => None,
            text => read(text, &mut overrides).err(),
        };
        mistakes.extend(
            problem.map(|problem| EnvironmentMistake { variable: name, problem: problem.to_owned() }),
        );
    }
    for (variable, right) in MISTAKEN.iter().filter(|(variable, _)| environment.contains_key(*variable)) {
        mistakes.push(EnvironmentMistake { variable, problem: format!("not read by anything; use {right}") });
    }
    if mistakes.is_empty() { Ok(overrides) } else { Err(EnvironmentMistakes(mistakes)) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn environment(variables: &[(&str, &str)]) -> Environment {
        variables.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
    }

    #[test]
    fn each_variable_stands_over_its_key() {
        let environment = environment(&[
            ("VIBECTL_LOG_LEVEL", "DEBUG"),
            ("VIBECTL_JWT_SECRET_FILE", "/run/secret"),
            ("VIBECTL_JWT_ALGORITHM", "HS256"),
            ("VIBECTL_JWT_ISSUER", "me"),
            ("VIBECTL_JWT_EXPIRATION_DAYS", "7"),
            ("VIBECTL_JWT_TOKEN", "a client's own"),
        ]);

        let expected = Overrides {
            log_level: Some(LogLevel::Debug),
            jwt_secret: Some(JwtSecret::File("/run/secret".into())),
            jwt_algorithm: Some(JwtAlgorithm::Hs256),
            jwt_issuer: Some("me".to_owned()),
            jwt_expiration_days: Some(7),
            ..Overrides::default()
        };
        assert_eq!(read(&environment), Ok(expected));
    }

    #[test]
    fn the_secret_itself_comes_before_its_file() {
        let overrides =
            read(&environment(&[("VIBECTL_JWT_SECRET", "s"), ("VIBECTL_JWT_SECRET_FILE", "/f")])).unwrap();

        assert_eq!(overrides.jwt_secret, Some(JwtSecret::Value(Secret::new("s"))));
    }

    #[test]
    fn every_unusable_variable_is_named_and_none_is_shown() {
        let mistakes = read(&environment(&[
            ("VIBECTL_LOG_LEVEL", "hunter2"),
            ("VIBECTL_JWT_SECRET", ""),
            ("VIBECTL_JWT_ALGORITHM", "RS256"),
            ("VIBECTL_JWT_EXPIRATION_DAYS", "0"),
            ("VIBECTL_JWT_SECRET_KEY", "hunter2"),
        ]));

        let expected = "\
environment variable VIBECTL_LOG_LEVEL: expected one of debug, info, warning, error
environment variable VIBECTL_JWT_SECRET: is set and empty; unset it to use another place of the secret
environment variable VIBECTL_JWT_ALGORITHM: expected HS256
environment variable VIBECTL_JWT_EXPIRATION_DAYS: expected an integer from 1 to 36500
environment variable VIBECTL_JWT_SECRET_KEY: not read by anything; use VIBECTL_JWT_SECRET";
        assert_eq!(mistakes.unwrap_err().to_string(), expected);
    }

    #[test]
    fn an_empty_variable_counts_as_unset() {
        let overrides = read(&environment(&[("VIBECTL_LOG_LEVEL", ""), ("VIBECTL_JWT_ISSUER", "")]));

        assert_eq!(overrides, Ok(Overrides::default()));
    }
}
