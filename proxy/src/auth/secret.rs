//! Where the shared secret of a server that runs alone comes from. Nothing is ever made up.

use std::path::Path;
use std::{fs, io};

use thiserror::Error;
use vibectl_config::Jwt;
use vibectl_token::standalone::{Secret, SecretError};
use zeroize::Zeroizing;

/// What to tell about a secret that was chosen and not drawn.
pub const SHORT: &str = "the secret for tokens has less than 32 bytes: it might be guessed from one token";

/// Why there is no secret to sign or verify with.
#[derive(Debug, Error)]
pub enum NoSecret {
    /// No place names one.
    #[error(
        "no secret for tokens; the first of these counts: VIBECTL_JWT_SECRET, the file that VIBECTL_JWT_SECRET_FILE \
         names, jwt.secret_key of the config, the file that jwt.secret_key_file names\n\
         to make one: (umask 077; openssl rand -base64 32 > jwt.secret) && export \
         VIBECTL_JWT_SECRET_FILE=$PWD/jwt.secret"
    )]
    Nowhere,
    /// A file is named and cannot be read. The next place is not tried: its secret would be another one.
    #[error("failed to read the secret for tokens from {path}")]
    File {
        /// The file.
        path: String,
        /// Why.
        source: io::Error,
    },
    /// What is there is no secret.
    #[error("failed to use the secret for tokens")]
    Unusable(#[from] SecretError),
}

/// The secret that the config has or names; the environment's is put over it before.
pub fn find(jwt: &Jwt) -> Result<Secret, NoSecret> {
    match (&jwt.secret_key, &jwt.secret_key_file) {
        (Some(secret), _) => Ok(Secret::new(secret.expose().as_bytes())?),
        (None, Some(path)) => Ok(Secret::new(&read(path)?)?),
        (None, None) => Err(NoSecret::Nowhere),
    }
}

fn read(path: &Path) -> Result<Zeroizing<Vec<u8>>, NoSecret> {
    let content = fs::read(path).map(Zeroizing::new);
    content.map_err(|source| NoSecret::File { path: path.display().to_string(), source })
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

    fn jwt(secret_key: Option<&str>, secret_key_file: Option<&Path>) -> Jwt {
        let secret_key = secret_key.map(vibectl_config::Secret::new);
        Jwt { secret_key, secret_key_file: secret_key_file.map(Path::to_owned), ..Jwt::default() }
    }

    #[test]
    fn a_secret_comes_from_the_config_or_else_from_the_file_that_it_names() {
        let folder = tempfile::tempdir().expect("temporary folder");
        let file = folder.path().join("secret");
        fs::write(&file, "of the file\n").expect("file");

        assert!(is(find(&jwt(Some("of the config"), Some(&file))), "of the config"));
        assert!(is(find(&jwt(None, Some(&file))), "of the file"));
        assert!(matches!(find(&jwt(None, None)), Err(NoSecret::Nowhere)));
    }

    #[test]
    fn a_named_file_that_is_absent_or_empty_is_an_error_and_not_passed_over() {
        let folder = tempfile::tempdir().expect("temporary folder");
        let file = folder.path().join("secret");

        assert!(matches!(find(&jwt(None, Some(&file))), Err(NoSecret::File { .. })));
        fs::write(&file, " \n").expect("file");

        assert!(matches!(find(&jwt(None, Some(&file))), Err(NoSecret::Unusable(SecretError::Empty))));
    }
}
