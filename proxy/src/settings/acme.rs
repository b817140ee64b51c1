//! What `serve-acme` puts over the section `acme` of the config. Pure.

use vibectl_config::{Acme, ChallengeType, Config};

/// The port of `serve-acme` unless flag, variable or file say another: ACME servers look at it for tls-alpn-01, and callers
/// expect it.
pub const HTTPS: u16 = 443;

/// The flags of `serve-acme`; each absent one leaves the file's value.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct AcmeFlags {
    /// `--email`.
    pub email: Option<String>,
    /// `--domain`, in order.
    pub domains: Vec<String>,
    /// `--directory-url`.
    pub directory_url: Option<String>,
    /// `--staging`.
    pub staging: bool,
    /// `--challenge-type`.
    pub challenge: Option<ChallengeType>,
    /// `--agree-tos`.
    pub agree_tos: bool,
}

impl AcmeFlags {
    /// Puts them over the file and checks the whole.
    pub fn put_over(&self, config: &mut Config) -> Result<(), String> {
        let Self { email, domains, directory_url, staging, challenge, agree_tos } = self.clone();
        let acme = &mut config.acme;
        acme.enabled = true;
        acme.email = email.or(acme.email.take());
        if !domains.is_empty() {
            acme.domains = domains;
        }
        if let Some(url) = directory_url {
            (acme.directory_url, acme.staging) = (url, false);
        }
        if staging {
            (acme.directory_url, acme.staging) = (Acme::default().directory_url, true);
        }
        acme.challenge.kind = challenge.unwrap_or(acme.challenge.kind);
        acme.agree_tos |= agree_tos;
        config.tls.enabled = Some(true);
        (config.tls.cert_file, config.tls.key_file) = (None, None);
        check(config)
    }
}

/// What a flag has enabled needs what a file would need, and is told in the same words.
pub fn check(config: &Config) -> Result<(), String> {
    let problems = if config.acme.enabled { config.acme.problems() } else { Vec::new() };
    let problems: Vec<_> = problems.into_iter().map(|(key, text)| format!("{key}: {text}")).collect();
    if problems.is_empty() { Ok(()) } else { Err(problems.join("\n")) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn put_over(flags: &AcmeFlags, text: &str) -> Result<Config, String> {
        let mut config = Config::parse(text, "c.yaml").expect("a good file").config;
        flags.put_over(&mut config).map(|()| config)
    }

    fn flags() -> AcmeFlags {
        AcmeFlags {
            email: Some("a@b.example".to_owned()),
            domains: vec!["b.example".to_owned()],
            agree_tos: true,
            ..AcmeFlags::default()
        }
    }

    #[test]
    fn flags_are_enough_and_stand_over_the_file() {
        let text = "acme: {email: x@y.example, domains: [y.example], ca_cert_file: /ca}\ntls: {cert_file: /c, key_file: /k}";

        let config = put_over(&flags(), text).expect("usable");

        assert_eq!(
            (config.acme.email.as_deref(), config.acme.domains.as_slice()),
            (Some("a@b.example"), &["b.example".to_owned()][..])
        );
        assert_eq!(config.acme.ca_cert_file, Some("/ca".into()));
        assert_eq!((config.tls.enabled, config.tls.cert_file), (Some(true), None));
    }

    #[test]
    fn h12_terms_that_were_not_accepted_are_an_error_that_names_them_and_the_flag() {
        let error = put_over(&AcmeFlags { agree_tos: false, ..flags() }, "").expect_err("not accepted");

        assert!(
            error.contains("--agree-tos") && error.contains("https://letsencrypt.org/repository/"),
            "{error}"
        );
    }

    #[test]
    fn of_two_servers_the_flags_win() {
        let staging = AcmeFlags { staging: true, ..flags() };
        let other = AcmeFlags { directory_url: Some("https://ca.example/dir".to_owned()), ..flags() };

        let one = put_over(&staging, "acme: {directory_url: \"https://ca.example/dir\"}").expect("usable");
        let two = put_over(&other, "acme: {staging: true}").expect("usable");

        assert!(one.acme.directory().contains("staging"));
        assert_eq!(two.acme.directory(), "https://ca.example/dir");
    }
}
