//! Where the shared secret of a server that runs alone comes from. Nothing is ever made up.

use std::fs::File;
use std::io::{self, Read};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use thiserror::Error;
use vibectl_config::Jwt;
use vibectl_token::standalone::{Secret, SecretError};
use zeroize::Zeroizing;

/// What to tell about a secret that was chosen and not drawn.
pub const SHORT: &str = "the secret for tokens has less than 32 bytes: it might be guessed from one token";

/// Permissions of everybody but owner and group.
const OTHERS: u32 = 0o007;

/// Why there is no secret to sign or verify with.
#[derive(Debug, Error)]
pub enum NoSecret {
    /// No place names one.
    #[error(
        "no secret for tokens; the first of these counts: VIBECTL_JWT_SECRET, the file that VIBECTL_JWT_SECRET_FILE \
         names, jwt.secret_key of the config, the file that jwt.secret_key_file names\n\
         to make one: vibectl-server config generate-secret --output-file jwt.secret && export \
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
    /// Whoever has an account on the machine has the secret.
    #[error(
        "the secret for tokens in {path} can be read by everybody on this machine (mode {mode:04o}); \
         chmod o= {path}, or mount it with another mode, then take a new secret"
    )]
    Readable {
        /// The file.
        path: String,
        /// Its permissions.
        mode: u32,
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
    let failed = |source| NoSecret::File { path: path.display().to_string(), source };
    let mut file = File::open(path).map_err(failed)?;
    // Of the file that is read, not of what the path leads to a moment later.
    let mode = file.metadata().map_err(failed)?.permissions().mode() & 0o7777;
    if mode & OTHERS != 0 {
        return Err(NoSecret::Readable { path: path.display().to_string(), mode });
    }
    let mut content = Zeroizing::new(Vec::new());
    file.read_to_end(&mut content).map_err(failed)?;
    Ok(content)
}

#[cfg(test)]
mod tests {
    use std::fs;

    use vibectl_token::standalone::{Claims, generate, verify};

    use super::*;

    fn write(path: &Path, content: &str, mode: u32) {
        fs::write(path, content).expect("file");
        fs::set_permissions(path, fs::Permissions::from_mode(mode)).expect("mode");
    }

    fn is(found: Result<Secret, NoSecret>, secret: &str) -> bool {
        let (sub, iss, jti) = ("dev".to_owned(), "iss".to_owned(), "1".to_owned());
        let expected = Secret::new(secret.as_bytes()).expect("a secret");
        let token =
            generate(&expected, &Claims { sub, iss, iat: 1, exp: 10, jti, cnf: None }).expect("a token");
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
        write(&file, "of the file\n", 0o600);

        assert!(is(find(&jwt(Some("of the config"), Some(&file))), "of the config"));
        assert!(is(find(&jwt(None, Some(&file))), "of the file"));
        assert!(matches!(find(&jwt(None, None)), Err(NoSecret::Nowhere)));
    }

    #[test]
    fn a22_a_named_file_that_is_absent_empty_or_no_secret_is_an_error_and_not_passed_over() {
        let folder = tempfile::tempdir().expect("temporary folder");
        let file = folder.path().join("secret");

        assert!(matches!(find(&jwt(None, Some(&file))), Err(NoSecret::File { .. })));
        write(&file, " \n", 0o600);
        assert!(matches!(find(&jwt(None, Some(&file))), Err(NoSecret::Unusable(SecretError::Empty))));
        write(&file, "-----BEGIN PUBLIC KEY-----\n", 0o600);
        assert!(matches!(find(&jwt(None, Some(&file))), Err(NoSecret::Unusable(SecretError::IsKey))));
        assert!(matches!(
            find(&jwt(None, Some(folder.path()))),
            Err(NoSecret::Readable { .. } | NoSecret::File { .. })
        ));
    }

    #[test]
    fn a22_a_secret_that_everybody_can_read_is_refused_and_a_groups_one_is_not() {
        let folder = tempfile::tempdir().expect("temporary folder");
        let file = folder.path().join("secret");

        for mode in [0o644, 0o604, 0o602, 0o666] {
            write(&file, "0123456789abcdef0123456789abcdef", mode);
            assert!(matches!(find(&jwt(None, Some(&file))), Err(NoSecret::Readable { .. })), "{mode:o}");
        }
        write(&file, "0123456789abcdef0123456789abcdef", 0o440);
        assert!(find(&jwt(None, Some(&file))).is_ok());
    }
}
