//! `generate-token`: a token for a server that runs alone.

use std::io::{self, Write};
use std::path::{Path, PathBuf};

use clap::Args;
use vibectl_token::Confirmation;
use vibectl_token::standalone::Lifetime;

use crate::cli::alone::Alone;
use crate::cli::environment;
use crate::cli::minting::Order;
use crate::cli::outcome::Failure;
use crate::settings::Settings;
use crate::state::unix_now;
use crate::tls::ca_directory::read_chain;
use crate::tls::private_file::{self, PRIVATE};

const MAX_SUBJECT_BYTES: usize = 253;

/// Arguments of `generate-token`.
#[derive(Debug, Args)]
pub struct GenerateToken {
    /// Whom the token is for: the name in logs, and the key of limits and usage
    #[arg(value_parser = subject)]
    subject: String,
    /// How long it is good for: 30d, 12m (months of 30 days), 1y or a number of days [default: as configured, or 1y]
    #[arg(long, value_name = "DURATION")]
    expires_in: Option<Lifetime>,
    /// File for the token, readable by its owner alone [default: standard output]
    #[arg(long, value_name = "FILE")]
    output: Option<PathBuf>,
    /// Certificate, PEM, of the one client that may use the token; needs a server with `tls.ca_bundle_file`
    #[arg(long, value_name = "FILE")]
    client_cert: Option<PathBuf>,
    /// Config file of the server [default: config.yaml in the server's config directory]
    #[arg(long, value_name = "PATH")]
    config: Option<PathBuf>,
}

impl GenerateToken {
    /// Runs the command. Standard output gets the token and one line feed, nothing else.
    pub fn run(self) -> Result<(), Failure> {
        let settings = environment::settings(self.config.clone())?;
        let (now, jti) = (unix_now(), uuid::Uuid::new_v4().to_string());
        self.run_with(settings, now, jti, &mut io::stdout().lock())
    }

    /// With the settings that `serve` would have, so that the server accepts the token.
    fn run_with(self, settings: Settings, now: i64, jti: String, out: &mut dyn Write) -> Result<(), Failure> {
        let Self { subject, expires_in: lifetime, output, client_cert, config: _ } = self;
        let confirmation = client_cert.as_deref().map(confirmation).transpose()?;
        let token = Alone::of(settings)?.mint(Order { subject, lifetime, confirmation, jti }, now)?;
        match &output {
            None => writeln!(out, "{}", token.expose()).map_err(Failure::running),
            Some(path) => {
                let written = private_file::replace(path, token.expose().as_bytes(), PRIVATE);
                written.map_err(|error| failed_to_write(path, error))?;
                writeln!(out, "Token generated and saved to {}", path.display()).map_err(Failure::running)
            }
        }
    }
}

/// Binds to the first certificate of a file.
fn confirmation(path: &Path) -> Result<Confirmation, Failure> {
    let chain = read_chain(path).map_err(|error| Failure::unusable(&error))?;
    Ok(Confirmation::of_certificate(chain.leaf()))
}

fn subject(text: &str) -> Result<String, &'static str> {
    if text.is_empty() || text.len() > MAX_SUBJECT_BYTES || text.chars().any(char::is_control) {
        return Err("expected a name of 1 to 253 bytes without control characters");
    }
    Ok(text.to_owned())
}

fn failed_to_write(path: &Path, error: io::Error) -> Failure {
    Failure::Running(anyhow::Error::from(error).context(format!("failed to write {}", path.display())))
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::PermissionsExt;

    use vibectl_config::locate::Environment;
    use vibectl_token::standalone::{Secret, Verified, verify};

    use super::*;

    const NOW: i64 = 1_790_000_000;
    const DAY: i64 = 86_400;
    const SECRET: &str = "0123456789abcdef0123456789abcdef";

    fn command() -> GenerateToken {
        GenerateToken {
            subject: "dev".to_owned(),
            expires_in: None,
            output: None,
            client_cert: None,
            config: None,
        }
    }

    /// Runs the command with this config file, and the secret where there is one.
    fn run_with(command: GenerateToken, secret: Option<&str>, config: &str) -> Result<String, Failure> {
        let folder = tempfile::tempdir().expect("temporary folder");
        let file = folder.path().join("config.yaml");
        fs::write(&file, config).expect("config");
        let secret = secret.map(|secret| ("VIBECTL_JWT_SECRET".to_owned(), secret.to_owned()));
        let variables: Environment = secret.into_iter().collect();
        let settings = Settings { file: Some(file), file_is_named: true, variables, ..Settings::default() };
        let mut out = Vec::new();
        command.run_with(settings, NOW, "1".to_owned(), &mut out)?;
        Ok(String::from_utf8(out).expect("text"))
    }

    fn run(command: GenerateToken, config: &str) -> Result<String, Failure> {
        run_with(command, Some(SECRET), config)
    }

    fn verified(token: &str, issuer: &str) -> Verified {
        verify(&Secret::new(SECRET.as_bytes()).expect("a secret"), issuer, token, NOW).expect("a good token")
    }

    fn mode(path: &Path) -> u32 {
        fs::metadata(path).expect("a file").permissions().mode() & 0o777
    }

    #[test]
    fn standard_output_gets_the_token_and_one_line_feed() {
        let out = run(command(), "").expect("a token");

        let token = out.strip_suffix('\n').expect("a line feed");
        let verified = verified(token, "vibectl-server");
        assert_eq!((verified.subject.as_str(), verified.expires_at), ("dev", NOW + 365 * DAY));
    }

    #[test]
    fn the_config_that_is_named_decides_issuer_and_lifetime() {
        let config = "jwt: {issuer: mine, expiration_days: 7}\n";
        let longer = GenerateToken { expires_in: "2m".parse().ok(), ..command() };

        let as_configured = run(command(), config).expect("a token");
        let as_asked = run(longer, config).expect("a token");

        assert_eq!(verified(as_configured.trim(), "mine").expires_at, NOW + 7 * DAY);
        assert_eq!(verified(as_asked.trim(), "mine").expires_at, NOW + 60 * DAY);
    }

    #[test]
    fn a_file_gets_the_token_alone_and_is_its_owners_alone_even_if_it_was_not() {
        let folder = tempfile::tempdir().expect("temporary folder");
        let path = folder.path().join("dev.jwt");
        fs::write(&path, "an old token that is longer than the new one").expect("file");
        fs::set_permissions(&path, fs::Permissions::from_mode(0o644)).expect("mode");

        let out = run(GenerateToken { output: Some(path.clone()), ..command() }, "").expect("a token");

        assert_eq!(out, format!("Token generated and saved to {}\n", path.display()));
        assert_eq!(mode(&path), 0o600);
        let token = fs::read_to_string(&path).expect("a token");
        assert_eq!(token.trim(), token);
        verified(&token, "vibectl-server");
    }

    #[test]
    fn a_token_made_in_the_second_of_a_revocation_is_not_a_dead_one() {
        let folder = tempfile::tempdir().expect("temporary folder");
        let list = folder.path().join("revoked.jsonl");
        let config = format!("jwt: {{revocation_file: {}}}\n", list.display());
        let made = |before: i64| {
            fs::write(&list, format!("{{\"sub\":\"dev\",\"before\":{before},\"at\":1}}\n")).expect("list");
            run(command(), &config)
        };

        let token = made(NOW + 1).expect("a token");

        assert_eq!(verified(token.trim(), "vibectl-server").issued_at, Some(NOW + 1));
        assert!(matches!(made(NOW + 60), Err(Failure::Running(_))));
    }

    #[test]
    fn without_a_secret_the_ways_to_give_one_and_the_command_that_makes_one_are_named() {
        let error = run_with(command(), None, "");

        let Err(Failure::Usage(text)) = error else { panic!("no mistake in usage: {error:?}") };
        for way in [
            "VIBECTL_JWT_SECRET",
            "VIBECTL_JWT_SECRET_FILE",
            "jwt.secret_key",
            "jwt.secret_key_file",
            "config generate-secret",
        ] {
            assert!(text.contains(way), "{text}");
        }
    }

    #[test]
    fn a_config_with_a_mistake_makes_no_token() {
        assert!(matches!(run(command(), "jwt: {secret: x}\n"), Err(Failure::Usage(_))));
        assert!(matches!(run(command(), "jwt: {expiration_days: 0}\n"), Err(Failure::Usage(_))));
    }

    #[test]
    fn a_subject_is_a_name_that_fits_into_a_line() {
        assert!(subject("dev-user").is_ok());
        for bad in ["", "a\nb", "a\u{1b}[0m", &"x".repeat(254)] {
            assert!(subject(bad).is_err(), "{bad:?}");
        }
    }
}
