//! Where a person's own files are: one rule for the config, certificates, CA and whatever else belongs to the server.

use std::{collections::BTreeMap, path::PathBuf};

/// The name of the config file in [`server_dir`].
pub const CONFIG_FILE: &str = "config.yaml";
/// The name of the list of revoked tokens in [`server_dir`].
pub const REVOCATION_FILE: &str = "revoked.jsonl";
/// The name of the folder of signing keys in [`server_dir`].
pub const SIGNING_KEYS_DIR: &str = "signing-keys";

/// Environment variables as text; the caller reads the process's own.
pub type Environment = BTreeMap<String, String>;

/// There is no directory to look in.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("no directory for files of the server: set VIBECTL_SERVER_CONFIG_DIR, or HOME")]
pub struct NoDirectory;

/// The directory of the server's files: `VIBECTL_SERVER_CONFIG_DIR`, or `server` in `VIBECTL_CONFIG_DIR`, or
/// `vibectl/server` in `XDG_CONFIG_HOME`, or `.config/vibectl/server` in `HOME`. An empty variable counts as unset.
pub fn server_dir(environment: &Environment) -> Result<PathBuf, NoDirectory> {
    VARIABLES
        .iter()
        .find_map(|(variable, below)| {
            let base = environment.get(*variable).filter(|value| !value.is_empty())?;
            let base = PathBuf::from(base);
            Some(below.map_or_else(|| base.clone(), |below| base.join(below)))
        })
        .ok_or(NoDirectory)
}

/// The config file of a command that was not told another one.
pub fn config_file(environment: &Environment) -> Result<PathBuf, NoDirectory> {
    server_dir(environment).map(|dir| dir.join(CONFIG_FILE))
}

/// Each variable with what follows its value, the first that is set wins.
pub(crate) const VARIABLES: [(&str, Option<&str>); 4] = [
    ("VIBECTL_SERVER_CONFIG_DIR", None),
    ("VIBECTL_CONFIG_DIR", Some("server")),
    ("XDG_CONFIG_HOME", Some("vibectl/server")),
    ("HOME", Some(".config/vibectl/server")),
];

#[cfg(test)]
mod tests {
    use super::*;

    fn located(variables: &[(&str, &str)]) -> Result<String, NoDirectory> {
        let environment =
            variables.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
        config_file(&environment).map(|path| path.display().to_string())
    }

    #[test]
    fn the_most_specific_variable_wins() {
        let mut variables = vec![
            ("HOME", "/h"),
            ("XDG_CONFIG_HOME", "/x"),
            ("VIBECTL_CONFIG_DIR", "/v"),
            ("VIBECTL_SERVER_CONFIG_DIR", "/s"),
        ];

        for expected in [
            "/s/config.yaml",
            "/v/server/config.yaml",
            "/x/vibectl/server/config.yaml",
            "/h/.config/vibectl/server/config.yaml",
        ] {
            assert_eq!(located(&variables), Ok(expected.to_owned()));
            variables.pop();
        }
        assert_eq!(located(&variables), Err(NoDirectory));
    }

    #[test]
    fn an_empty_variable_counts_as_unset() {
        let located = located(&[("VIBECTL_SERVER_CONFIG_DIR", ""), ("HOME", "/h")]);

        assert_eq!(located, Ok("/h/.config/vibectl/server/config.yaml".to_owned()));
    }
}
