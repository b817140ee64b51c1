//! `init-config`: a config file to start from.

use std::io::{self, Write};
use std::path::PathBuf;

use anyhow::Context;
use clap::Args;
use vibectl_config::TEMPLATE;
use vibectl_pki::Name;

use crate::cli::environment;
use crate::cli::outcome::Failure;
use crate::tls::private_file::{self, PRIVATE, PRIVATE_DIR};

/// Arguments of `init-config`.
#[derive(Debug, Args)]
pub struct InitConfig {
    /// File to write [default: config.yaml in the server's config directory]
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// Get the certificate for this name from an ACME server; may be repeated
    #[arg(long = "acme-domain", value_name = "NAME", requires = "acme_email")]
    acme_domains: Vec<Name>,
    /// Address for notices of the ACME server
    #[arg(long, value_name = "ADDRESS", requires = "acme_domains")]
    acme_email: Option<String>,
    /// Replace the file that is there
    #[arg(long)]
    force: bool,
}

impl InitConfig {
    /// Writes the file, readable by its owner alone: a secret may go into it.
    pub fn run(self) -> Result<(), Failure> {
        let path = environment::required_config_file(self.config)?;
        let content = content(&self.acme_domains, self.acme_email.as_deref())?;
        if let Some(folder) = path.parent().filter(|folder| !folder.as_os_str().is_empty()) {
            private_file::create_dir(folder, PRIVATE_DIR)
                .with_context(|| format!("failed to create {}", folder.display()))
                .map_err(Failure::Running)?;
        }
        let write = if self.force { private_file::replace } else { private_file::create };
        match write(&path, content.as_bytes(), PRIVATE) {
            Ok(()) => {}
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
                let problem = anyhow::anyhow!("{} exists; --force replaces it", path.display());
                return Err(Failure::Running(problem));
            }
            Err(error) => {
                let error = anyhow::Error::new(error).context(format!("failed to write {}", path.display()));
                return Err(Failure::Running(error));
            }
        }
        writeln!(io::stdout(), "wrote {}", path.display()).map_err(Failure::running)
    }
}

/// The template, with the section `acme` filled in where it is asked for. The terms are left for a person to accept.
fn content(domains: &[Name], email: Option<&str>) -> Result<String, Failure> {
    let Some(email) = email else { return Ok(TEMPLATE.to_owned()) };
    let quoted = |text: &str| serde_json::to_string(text).map_err(Failure::running);
    let domains = domains.iter().map(|name| quoted(&name.to_string())).collect::<Result<Vec<_>, _>>()?;
    let section = format!(
        "\nacme:\n  enabled: true\n  email: {}\n  domains: [{}]\n  agree_tos: false                      \
         # read https://letsencrypt.org/repository/ and say true, or the server does not start\n",
        quoted(email)?,
        domains.join(", ")
    );
    Ok(TEMPLATE.replacen("\nacme:\n", &section, 1))
}

#[cfg(test)]
mod tests {
    use vibectl_config::Config;

    use super::*;

    #[test]
    fn the_section_acme_is_filled_in_and_only_the_terms_are_left_to_accept() {
        let name: Name = "llm.example.org".parse().expect("a name");

        let content = content(&[name], Some("a@example.org")).expect("content");

        let mistakes = Config::parse(&content, "c.yaml").expect_err("not accepted yet").to_string();
        assert!(mistakes.contains("acme.agree_tos") && mistakes.lines().count() == 1, "{mistakes}");
        let accepted = Config::parse(&content.replace("agree_tos: false", "agree_tos: true"), "c.yaml");
        let acme = accepted.expect("good").config.acme;
        assert_eq!(
            (acme.email.as_deref(), acme.domains),
            (Some("a@example.org"), vec!["llm.example.org".to_owned()])
        );
    }
}
