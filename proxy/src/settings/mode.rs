//! Which way `serve` serves, from its flags and the config together. Pure.
//!
//! One source of a certificate, or none on purpose; two that contradict each other are an error that names both, never a
//! choice, and a certificate that is missing is never replaced by something weaker.

use std::fmt;
use std::path::PathBuf;

use vibectl_config::Config;

/// A way to serve; each has a command of its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mode {
    /// Without TLS: `serve-insecure`.
    Insecure,
    /// With certificate files: `serve-custom`.
    Custom,
    /// With a certificate that is its own issuer: `serve --tls`.
    SelfSigned,
    /// With certificates of a private CA: `serve-ca`.
    Ca,
    /// With certificates of an ACME server: `serve-acme`.
    Acme,
}

impl fmt::Display for Mode {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(match self {
            Self::Insecure => "insecure",
            Self::Custom => "custom",
            Self::SelfSigned => "self-signed",
            Self::Ca => "ca",
            Self::Acme => "acme",
        })
    }
}

/// The way that was chosen, and what chose it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Chosen {
    /// The way.
    pub mode: Mode,
    /// The flags, keys or command that ask for it.
    pub because: Vec<&'static str>,
    /// The command to use instead of these flags.
    pub deprecated: Option<&'static str>,
}

impl Chosen {
    /// Chosen by the name of a command.
    pub fn by_command(mode: Mode, command: &'static str) -> Self {
        Self { mode, because: vec![command], deprecated: None }
    }
}

/// What the flags of `serve` say. Flags that contradict each other do not get here.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ServeFlags {
    /// `--tls` or `--no-tls`.
    pub tls: Option<bool>,
    /// `--cert-file`; comes with the key.
    pub cert_file: Option<PathBuf>,
    /// `--key-file`.
    pub key_file: Option<PathBuf>,
    /// `--generate-certs`.
    pub generate_certs: bool,
    /// `--acme` or `--no-acme`.
    pub acme: Option<bool>,
}

impl ServeFlags {
    /// Decides, and puts what was decided into the config.
    pub fn put_over(&self, config: &mut Config) -> Result<Chosen, String> {
        let chosen = self.choose(config)?;
        config.acme.enabled = chosen.mode == Mode::Acme;
        let tls = &mut config.tls;
        tls.enabled = Some(chosen.mode != Mode::Insecure);
        match chosen.mode {
            Mode::Custom if self.cert_file.is_some() => {
                (tls.cert_file, tls.key_file) = (self.cert_file.clone(), self.key_file.clone());
            }
            Mode::Custom => {}
            _ => (tls.cert_file, tls.key_file) = (None, None),
        }
        Ok(chosen)
    }

    fn choose(&self, config: &Config) -> Result<Chosen, String> {
        let tls = &config.tls;
        let acme_in_file = config.acme.enabled && self.acme != Some(false);
        let off = first([
            (self.tls == Some(false), "--no-tls"),
            (tls.enabled == Some(false), "tls.enabled: false"),
        ]);
        // A file may name a certificate and switch it off; who says `--no-tls` may not know that there is one.
        let named = tls.cert_file.is_some() && tls.enabled != Some(false);
        let on = first([
            (self.cert_file.is_some(), "--cert-file"),
            (self.generate_certs, "--generate-certs"),
            (self.acme == Some(true), "--acme"),
            (self.tls == Some(true), "--tls"),
            (tls.enabled == Some(true), "tls.enabled: true"),
            (acme_in_file, "acme.enabled: true"),
            (named, "tls.cert_file"),
            // Callers who are known by their certificate would not be known any longer.
            (tls.ca_bundle_file.is_some(), "tls.ca_bundle_file"),
        ]);
        if let Some(off) = off {
            return match on {
                Some(on) => Err(contradiction(
                    off,
                    on,
                    "; `serve-insecure` serves without TLS whatever the file says",
                )),
                None => Ok(self.chosen(Mode::Insecure, [off])),
            };
        }
        self.with_tls(config, acme_in_file)
    }

    fn with_tls(&self, config: &Config, acme_in_file: bool) -> Result<Chosen, String> {
        let tls = &config.tls;
        let acme = first([(self.acme == Some(true), "--acme"), (acme_in_file, "acme.enabled: true")]);
        let made = first([(self.generate_certs, "--generate-certs")]);
        let file =
            first([(self.cert_file.is_some(), "--cert-file"), (tls.cert_file.is_some(), "tls.cert_file")]);
        let mut sources = [acme, made, file].into_iter().flatten();
        if let (Some(one), Some(other)) = (sources.next(), sources.next()) {
            return Err(contradiction(one, other, ""));
        }
        match (acme, made, file) {
            (Some(acme), ..) => Ok(self.chosen(Mode::Acme, [acme])),
            (_, Some(made), _) => Ok(self.chosen(Mode::SelfSigned, [made])),
            (.., Some("--cert-file")) => Ok(self.chosen(Mode::Custom, ["--cert-file", "--key-file"])),
            _ if tls.cert_file.is_some() != tls.key_file.is_some() => {
                Err("tls.cert_file and tls.key_file are only of use together: one of them is missing"
                    .to_owned())
            }
            (.., Some(_)) => Ok(self.chosen(Mode::Custom, ["tls.cert_file", "tls.key_file"])),
            _ if self.tls == Some(true) => Ok(self.chosen(Mode::SelfSigned, ["--tls"])),
            _ => Err(NO_CERTIFICATE.to_owned()),
        }
    }

    fn chosen<const N: usize>(&self, mode: Mode, because: [&'static str; N]) -> Chosen {
        let deprecated = match mode {
            Mode::Insecure if self.tls == Some(false) => Some("vibectl-server serve-insecure"),
            Mode::Custom if self.cert_file.is_some() => {
                Some("vibectl-server serve-custom --cert-file FILE --key-file FILE")
            }
            Mode::Acme if self.acme == Some(true) => {
                Some("vibectl-server serve-acme --email ADDRESS --domain NAME")
            }
            _ => None,
        };
        Chosen { mode, because: because.to_vec(), deprecated }
    }
}

/// The ways to have a certificate, or to do without.
const NO_CERTIFICATE: &str = "no certificate: set tls.cert_file and tls.key_file, or use `serve --tls` (self-signed), `serve-acme`, \
                              `serve-ca` or `serve-custom`, or set tls.enabled: false for plaintext";

fn first<const N: usize>(said: [(bool, &'static str); N]) -> Option<&'static str> {
    said.into_iter().find_map(|(said, by)| said.then_some(by))
}

fn contradiction(one: &str, other: &str, way_out: &str) -> String {
    format!("{one} and {other} contradict each other; leave one of them out{way_out}")
}

#[cfg(test)]
mod tests {
    use super::*;

    const FILES: &str = "tls: {cert_file: /c, key_file: /k}";

    fn flags() -> ServeFlags {
        ServeFlags::default()
    }

    fn put_over(flags: &ServeFlags, text: &str) -> Result<(Chosen, Config), String> {
        let mut config = Config::parse(text, "c.yaml").expect("a good file").config;
        flags.put_over(&mut config).map(|chosen| (chosen, config))
    }

    fn chosen(flags: &ServeFlags, text: &str) -> (Mode, Vec<&'static str>) {
        let (chosen, _) = put_over(flags, text).expect("a mode");
        (chosen.mode, chosen.because)
    }

    fn custom_flags() -> ServeFlags {
        ServeFlags { cert_file: Some("/f.crt".into()), key_file: Some("/f.key".into()), ..flags() }
    }

    #[test]
    fn the_mode_and_what_chose_it_are_told() {
        let tls = ServeFlags { tls: Some(true), ..flags() };
        let no_tls = ServeFlags { tls: Some(false), ..flags() };
        let generate = ServeFlags { generate_certs: true, ..flags() };
        let acme = ServeFlags { acme: Some(true), ..flags() };

        assert_eq!(chosen(&flags(), FILES), (Mode::Custom, vec!["tls.cert_file", "tls.key_file"]));
        assert_eq!(chosen(&tls, FILES), (Mode::Custom, vec!["tls.cert_file", "tls.key_file"]));
        assert_eq!(chosen(&flags(), "tls: {enabled: false}"), (Mode::Insecure, vec!["tls.enabled: false"]));
        assert_eq!(chosen(&no_tls, ""), (Mode::Insecure, vec!["--no-tls"]));
        assert_eq!(chosen(&tls, ""), (Mode::SelfSigned, vec!["--tls"]));
        assert_eq!(chosen(&tls, "tls: {enabled: true}"), (Mode::SelfSigned, vec!["--tls"]));
        assert_eq!(chosen(&generate, ""), (Mode::SelfSigned, vec!["--generate-certs"]));
        assert_eq!(chosen(&custom_flags(), FILES), (Mode::Custom, vec!["--cert-file", "--key-file"]));
        assert_eq!(chosen(&acme, ""), (Mode::Acme, vec!["--acme"]));
    }

    #[test]
    fn files_of_flags_replace_those_of_the_config_together() {
        let (_, config) = put_over(&custom_flags(), FILES).expect("a mode");

        assert_eq!(config.tls.enabled, Some(true));
        assert_eq!(
            (config.tls.cert_file, config.tls.key_file),
            (Some("/f.crt".into()), Some("/f.key".into()))
        );
    }

    #[test]
    fn a_file_may_name_a_certificate_and_switch_it_off() {
        let (chosen, config) =
            put_over(&flags(), "tls: {enabled: false, cert_file: /c, key_file: /k}").expect("a mode");

        assert_eq!((chosen.mode, config.tls.cert_file), (Mode::Insecure, None));
    }

    #[test]
    fn a_contradiction_names_both_sides_and_is_never_a_choice() {
        let tls = ServeFlags { tls: Some(true), ..flags() };
        let no_tls = ServeFlags { tls: Some(false), ..flags() };
        let generate = ServeFlags { generate_certs: true, ..flags() };
        let acme = ServeFlags { acme: Some(true), ..flags() };
        let off = "tls: {enabled: false}";

        for (flags, text, sides) in [
            (&tls, off, ["--tls", "tls.enabled: false"]),
            (&generate, off, ["--generate-certs", "tls.enabled: false"]),
            (&custom_flags(), off, ["--cert-file", "tls.enabled: false"]),
            (&acme, off, ["--acme", "tls.enabled: false"]),
            (&no_tls, "tls: {enabled: true}", ["--no-tls", "tls.enabled: true"]),
            (&no_tls, FILES, ["--no-tls", "tls.cert_file"]),
            (&generate, FILES, ["--generate-certs", "tls.cert_file"]),
            (&acme, FILES, ["--acme", "tls.cert_file"]),
            (
                &flags(),
                "tls: {enabled: false, ca_bundle_file: /ca}",
                ["tls.enabled: false", "tls.ca_bundle_file"],
            ),
        ] {
            let error = put_over(flags, text).expect_err(text);
            assert!(error.contains("contradict") && sides.iter().all(|side| error.contains(side)), "{error}");
        }
    }

    #[test]
    fn tls_without_a_certificate_is_an_error_that_names_the_ways() {
        for text in ["", "tls: {enabled: true}"] {
            let error = put_over(&flags(), text).expect_err(text);
            for way in ["tls.cert_file", "serve --tls", "serve-ca", "serve-custom", "tls.enabled: false"] {
                assert!(error.contains(way), "{way}: {error}");
            }
        }
    }

    #[test]
    fn acme_of_the_file_can_be_left_out_by_a_flag_and_never_competes_with_a_certificate() {
        let mut config = Config::parse(FILES, "c.yaml").expect("a good file").config;
        config.acme.enabled = true;
        let without = ServeFlags { acme: Some(false), ..flags() };

        let error = flags().put_over(&mut config.clone()).expect_err("two sources");
        let chosen = without.put_over(&mut config).expect("one source");

        assert!(error.contains("acme.enabled: true") && error.contains("tls.cert_file"), "{error}");
        assert_eq!((chosen.mode, config.acme.enabled), (Mode::Custom, false));
    }

    #[test]
    fn flags_with_a_command_of_their_own_name_it() {
        let deprecated = |flags: &ServeFlags| put_over(flags, "").expect("a mode").0.deprecated;

        assert!(deprecated(&custom_flags()).is_some_and(|command| command.contains("serve-custom")));
        assert!(
            deprecated(&ServeFlags { tls: Some(false), ..flags() })
                .is_some_and(|command| command.contains("serve-insecure"))
        );
        assert_eq!(deprecated(&ServeFlags { tls: Some(true), ..flags() }), None);
    }
}
