//! Where the shared secret of a server that runs alone comes from. Nothing is ever made up.

use std::path::{Path, PathBuf};
use std::{fs, io};

use thiserror::Error;
use vibectl_config::Jwt;
use vibectl_token::standalone::{Secret, SecretError};
use zeroize::Zeroizing;

/// The secret itself.
pub const SECRET_VARIABLE: &str = "VIBECTL_JWT_SECRET";
/// A file that holds it.
pub const SECRET_FILE_VARIABLE: &str = "VIBECTL_JWT_SECRET_FILE";

/// What to tell about a secret that was chosen and not drawn.
pub const SHORT: &str = "the secret for tokens has less than 32 bytes: it might be guessed from one token";

/// Why there is no secret to sign or verify with.
#[derive(Debug, Error)]
pub enum NoSecret {
    /// No place names one.
    #[error(
        "no secret for tokens; the first of these counts: {SECRET_VARIABLE}, the file that {SECRET_FILE_VARIABLE} names, \
         jwt.secret_key of the config, the file that jwt.secret_key_file names\n\
         to make one: (umask 077; openssl rand -base64 32 > jwt.secret) && export {SECRET_FILE_VARIABLE}=$PWD/jwt.secret"
    )]
    Nowhere,
    /// A file is named and cannot be read. The next place is not tried: its secret would be another one.
    #[error("failed to read the file {path} that {place} names")]
    File {
        /// The file.
        path: String,
        /// What names it.
        place: &'static str,
        /// Why.
        source: io::Error,
    },
    /// What is there is no secret.
    #[error("failed to use the secret of {place}")]
    Unusable {
        /// Where it is.
        place: &'static str,
        /// Why.
        source: SecretError,
    },
}

/// The first secret that is set: variable, file of the variable, config, file of the config. `variable` looks up the
/// environment; an empty variable is as good as none.
pub fn find(jwt: &Jwt, variable: impl Fn(&str) -> Option<String>) -> Result<Secret, NoSecret> {
    let set = |name: &str| variable(name).filter(|value| !value.is_empty());
    if let Some(text) = set(SECRET_VARIABLE).map(Zeroizing::new) {
        return usable(text.as_bytes(), SECRET_VARIABLE);
    }
    if let Some(path) = set(SECRET_FILE_VARIABLE) {
        return from_file(&PathBuf::from(path), SECRET_FILE_VARIABLE);
    }
    if let Some(secret) = &jwt.secret_key {
        return usable(secret.expose().as_bytes(), "jwt.secret_key");
    }
    match &jwt.secret_key_file {
        Some(path) => from_file(path, "jwt.secret_key_file"),
        None => Err(NoSecret::Nowhere),
    }
}

fn from_file(path: &Path, place: &'static str) -> Result<Secret, NoSecret> {
    let content = fs::read(path).map(Zeroizing::new);
    let content =
        content.map_err(|source| NoSecret::File { path: path.display().to_string(), place, source })?;
    usable(&content, place)
}

fn usable(secret: &[u8], place: &'static str) -> Result<Secret, NoSecret> {
    Secret::new(secret).map_err(|source| NoSecret::Unusable { place, source })
}

#[cfg(test)]
mod tests {
    use vibectl_token::standalone::{Claims, generate, verify};

    use super::*;

    fn is(found: Result<Secret, NoSecret>, secret: &str) -> bool {
        let (sub, iss, jti) = ("dev".to_owned(), "iss".to_owned(), "1".to_owned());
        let expected = Secret::new(secret.as_bytes()).expect("a secret");
        let token = generate(&expected, &Claims { sub, iss, iat: 1, exp: 10, jti }).expect("a token");
        verify(&found.expect("a secret"), "iss", token.expose(), 5).is_ok()
    }

    #[test]
    fn the_first_place_that_has_a_secret_counts() {
        let folder = tempfile::tempdir().expect("temporary folder");
        let (one, other) = (folder.path().join("one"), folder.path().join("other"));
        fs::write(&one, "file of the variable\n").expect("file");
        fs::write(&other, "file of the config\n").expect("file");
        let variables = |name: &str| match name {
            SECRET_VARIABLE => Some("variable".to_owned()),
            _ => Some(one.display().to_string()),
        };
        let only_file = |name: &str| (name == SECRET_FILE_VARIABLE).then(|| one.display().to_string());
        let secret_key = Some(vibectl_config::Secret::new("config"));
        let both = Jwt { secret_key, secret_key_file: Some(other), ..Jwt::default() };
        let file = Jwt { secret_key: None, ..both.clone() };

        assert!(is(find(&both, variables), "variable"));
        assert!(is(find(&both, only_file), "file of the variable"));
        assert!(is(find(&both, |_| None), "config"));
        assert!(is(find(&both, |_| Some(String::new())), "config"));
        assert!(is(find(&file, |_| None), "file of the config"));
        assert!(matches!(find(&Jwt::default(), |_| None), Err(NoSecret::Nowhere)));
    }

    #[test]
    fn a_named_file_that_is_absent_is_an_error_and_not_passed_over() {
        let secret_key = Some(vibectl_config::Secret::new("config"));
        let jwt = Jwt { secret_key, ..Jwt::default() };
        let absent = |name: &str| (name == SECRET_FILE_VARIABLE).then(|| "/nonexistent/secret".to_owned());

        let error = find(&jwt, absent).expect_err("no file");

        assert_eq!(
            error.to_string(),
            "failed to read the file /nonexistent/secret that VIBECTL_JWT_SECRET_FILE names"
        );
    }

    #[test]
    fn an_empty_file_is_no_secret() {
        let folder = tempfile::tempdir().expect("temporary folder");
        let file = folder.path().join("secret");
        fs::write(&file, " \n").expect("file");
        let jwt = Jwt { secret_key_file: Some(file), ..Jwt::default() };

        assert!(matches!(find(&jwt, |_| None), Err(NoSecret::Unusable { .. })));
    }
}
